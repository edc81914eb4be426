"""What recipes there are, and what each says of itself: read in milliseconds, without Hydra, for lists and hints.

Only facts that stand at the top of a recipe are read; what a recipe is as a whole, ``zoo.recipe`` composes. A test
holds every fact here to what Hydra composes.
"""

from __future__ import annotations

from typing import Any

import yaml

from zoo.errors import ZooError
from zoo.paths import recipes_folder

PARTS = ("base", "tokenizer")
"""Folders below recipes/ that hold pieces of recipes, not recipes."""


def names() -> list[str]:
    """Return the names of all recipes, sorted."""
    folder = recipes_folder()
    found = (path.relative_to(folder).with_suffix("") for path in folder.rglob("*.yaml"))
    return sorted(path.as_posix() for path in found if path.parts[0] not in PARTS)


def tokenizers() -> list[str]:
    """Return what ``tokenizer=`` may name, sorted."""
    return sorted(path.stem for path in (recipes_folder() / "tokenizer").glob("*.yaml"))


def describe(name: str) -> dict[str, Any]:
    """Return what a list shows of a recipe: name, modality, tokenizer, parameters, paper, summary, sizes.

    ``sizes`` maps each size to its number of parameters, None where it states none.

    Raises:
        ZooError: the recipe's file cannot be read.
    """
    said = _said(name)
    facts = {"name": name, "modality": said.get("modality"), "tokenizer": said.get("tokenizer", {}).get("type")}
    facts |= {fact: said.get(fact) for fact in ("parameters", "paper", "summary")}
    return facts | {"sizes": {size: changes.get("parameters") for size, changes in said.get("sizes", {}).items()}}


def _said(name: str) -> dict[str, Any]:
    """Return the top of a recipe's file over the tops of those it builds on (its ``defaults`` list)."""
    own = _read(name)
    below: dict[str, Any] = {}
    for entry in own.get("defaults", []):
        match entry:
            case {"/tokenizer": str(kind)}:
                below["tokenizer"] = _read(f"tokenizer/{kind}")
            case str(base) if base != "_self_":
                below |= _said(base[1:] if base.startswith("/") else f"{name.rpartition('/')[0]}/{base}")
    tokenizer = own.get("tokenizer", {})
    return below | own | {"tokenizer": {**below.get("tokenizer", {}), **tokenizer}}


def _read(name: str) -> dict[str, Any]:
    path = recipes_folder() / f"{name}.yaml"
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ZooError(f"recipes/{name}.yaml: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise ZooError(f"recipes/{name}.yaml: expected settings, found none")
    return value
