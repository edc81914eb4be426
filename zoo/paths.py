"""Where things are: the user's cache, the recipes, the checkpoints."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import ZooError, suggest

CARD = "card.yaml"


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
            if folder.name not in seen and is_checkpoint(folder):
                seen.add(folder.name)
                yield folder


def is_checkpoint(folder: Path) -> bool:
    """Return whether a folder has ``config.json``, as ours and Hugging Face's do."""
    return (folder / "config.json").is_file()


def is_card_alone(folder: Path) -> bool:
    """Return whether a checkpoint's folder holds its card and nothing else: its weights are fetched when asked for."""
    return folder.is_dir() and {entry.name for entry in folder.iterdir()} == {CARD}


def cards() -> Iterator[Path]:
    """Yield every folder with a card alone whose checkpoint is not here yet."""
    here = {folder.name for folder in checkpoints()}
    for parent in checkpoint_homes():
        for folder in sorted(parent.iterdir()) if parent.is_dir() else ():
            if folder.name not in here and is_card_alone(folder):
                here.add(folder.name)
                yield folder


def local_checkpoint(name: str | Path) -> Path | None:
    """Return the folder or file that ``name`` stands for: a path, else a name in the folders of ``checkpoint_homes``.

    A folder at that path without ``config.json`` gives way to a checkpoint of that name that has one.

    None where nothing here has that name, or a card alone.
    """
    if not isinstance(name, str | Path):
        raise ZooError(f"a checkpoint is named by text or a path, got {name!r}")
    if not str(name).strip() or "\0" in str(name):
        return None
    places = [Path(name), *(parent / name for parent in checkpoint_homes())]
    if is_card_alone(places[0]):  # a path to a card stands for what it describes
        places += [parent / places[0].name for parent in checkpoint_homes()]
    there = [place for index, place in enumerate(places) if (place.is_dir() if index else place.exists())]
    found = [place for place in there if not is_card_alone(place)]
    if found and found[0].is_dir() and not is_checkpoint(found[0]):
        # somebody's folder of that name, music/ or mine/, must not hide the checkpoint that is called so
        found = [place for place in found[1:] if is_checkpoint(place)] + found
    return next(iter(found), None)


def missing_checkpoint(name: str | Path, also: str = "") -> ZooError:
    """Return the error that says where ``name`` was looked for and what it may have meant.

    Args:
        name: what was asked for.
        also: where else it is not, for the message.
    """
    places = " or ".join(str(parent) for parent in checkpoint_homes())
    known = [folder.name for folder in (*checkpoints(), *cards())]
    hint = suggest(str(name), known) or "; make one with 'zoo train RECIPE'"
    return ZooError(f"no checkpoint '{name}': no such path, no such name in {places}{also}{hint}")
