"""Where things are: the user's cache, the recipes, the checkpoints."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import ZooError, suggest


def home() -> Path:
    """Return the folder for downloads and pulled checkpoints, ``$ZOO_HOME`` or ``~/.cache/zoo``; it may not exist."""
    stated = os.environ.get("ZOO_HOME")
    try:
        return Path(stated or "~/.cache/zoo").expanduser()
    except RuntimeError:
        raise ZooError("there is no home folder to keep data in; set the environment variable ZOO_HOME") from None


def recipes_folder() -> Path:
    """Return the folder of the recipes: ``zoo/recipes``, or ``recipes`` beside it in a checkout without symlinks."""
    here = Path(__file__).resolve().parent
    for folder in (here / "recipes", here.parent / "recipes"):
        if folder.is_dir():  # without symlinks, zoo/recipes is a small text file
            return folder
    raise ZooError(f"the recipes are missing from {here / 'recipes'}; reinstall tokenzoo")


def checkpoint_homes() -> tuple[Path, ...]:
    """Return the folders in which a checkpoint is looked up by name, in order."""
    return Path("checkpoints"), home() / "checkpoints"


def checkpoints() -> Iterator[Path]:
    """Yield every checkpoint folder that can be named, the first of each name only."""
    seen: set[str] = set()
    for parent in checkpoint_homes():
        if not parent.is_dir():
            continue
        for folder in sorted(parent.iterdir()):
            if folder.name not in seen and (folder / "config.json").is_file():
                seen.add(folder.name)
                yield folder


def find_checkpoint(name: str | Path) -> Path:
    """Return the folder or file that ``name`` stands for: a path, else a name in the folders of ``checkpoint_homes``.

    Raises:
        ZooError: nothing there has that name.
    """
    if not isinstance(name, str | Path):
        raise ZooError(f"a checkpoint is named by text or a path, got {name!r}")
    if str(name).strip() and (path := Path(name)).exists():
        return path
    for parent in checkpoint_homes():
        if str(name).strip() and (parent / name).is_dir():
            return parent / name
    places = " or ".join(str(parent) for parent in checkpoint_homes())
    hint = suggest(str(name), [folder.name for folder in checkpoints()]) or "; make one with 'zoo train RECIPE'"
    raise ZooError(f"no checkpoint '{name}': no such path, and no such name in {places}{hint}")
