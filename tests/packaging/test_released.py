"""Checkpoints that are part of the project: small, complete, honest about where they come from, and able to write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import zoo
from tests.packaging.conftest import ROOT

LIMIT = 12_000_000
"""Bytes of a released checkpoint at most."""

NAMED = re.findall(r"^!/checkpoints/([^/\n]+)/$", (ROOT / ".gitignore").read_text(), re.MULTILINE)
RELEASED = [ROOT / "checkpoints" / name for name in NAMED if (ROOT / "checkpoints" / name).is_dir()]


def ignored(path: Path) -> bool:
    """Say whether .gitignore keeps a file of a released folder out."""
    return {"training", "tensorboard"} & set(path.parts) != set()


@pytest.mark.parametrize("folder", RELEASED, ids=lambda folder: folder.name)
def test_released_checkpoint(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file() and not ignored(path.relative_to(folder))]
    assert sum(path.stat().st_size for path in files) < LIMIT
    card = yaml.safe_load((folder / "card.yaml").read_text(encoding="utf-8"))
    assert card["name"] == folder.name
    assert card["license"]
    assert card["limits"]
    assert all(entry["license"] and re.fullmatch("[0-9a-f]{64}", entry["sha256"]) for entry in card["data"])
    model = zoo.load(folder, device="cpu")
    assert model.parameters == card["parameters"]
    text = model.generate("O God, O God!", max_new_tokens=8, seed=1)
    assert isinstance(text, str)
    assert len(text) > len("O God, O God!")
