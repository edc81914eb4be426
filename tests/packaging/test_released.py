"""Checkpoints that are part of the project: small, complete, honest about where they come from, and able to write."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import zoo
from tests.packaging.conftest import ROOT
from zoo.download import check_link
from zoo.model import Model
from zoo.paths import is_card_alone
from zoo.recipe import compose
from zoo.stack.model import Stack
from zoo.weights.hub import HubId

LIMIT, WHOLE = 12_000_000, 24_000_000
"""Bytes at most of a released checkpoint, and of one that is a stack of several."""

NAMED = re.findall(r"^!/checkpoints/([^/\n]+)/$", (ROOT / ".gitignore").read_text(), re.MULTILINE)
FOLDERS = [ROOT / "checkpoints" / name for name in NAMED if (ROOT / "checkpoints" / name).is_dir()]
CARDS = [folder for folder in FOLDERS if is_card_alone(folder)]
RELEASED = [folder for folder in FOLDERS if folder not in CARDS]


def ignored(path: Path) -> bool:
    """Say whether .gitignore keeps a file of a released folder out."""
    return {"training", "tensorboard"} & set(path.parts) != set()


@pytest.mark.parametrize("folder", RELEASED, ids=lambda folder: folder.name)
def test_released_checkpoint(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file() and not ignored(path.relative_to(folder))]
    stacked = json.loads((folder / "config.json").read_text())["family"] == "stack"
    assert sum(path.stat().st_size for path in files) < (WHOLE if stacked else LIMIT)
    assert max(path.stat().st_size for path in files) < LIMIT
    card = yaml.safe_load((folder / "card.yaml").read_text(encoding="utf-8"))
    assert card["name"] == folder.name
    assert card["license"]
    assert card["limits"]
    assert all(entry["license"] and re.fullmatch("[0-9a-f]{64}", entry["sha256"]) for entry in card["data"])
    assert "/tmp" not in card["command"]
    for recipe in folder.rglob("recipe.yaml"):
        assert yaml.safe_load(recipe.read_text(encoding="utf-8"))["data"]["path"] is None
    if json.loads((folder / "config.json").read_text())["family"] == "vqvae":
        keeps(folder)
        return
    model = zoo.load(folder, device="cpu")
    assert model.parameters == card["parameters"]
    {"text": writes, "image": draws, "music": plays}[model.modality](model)


def keeps(folder: Path) -> None:
    """Two chords come back from the finest level with a small error."""
    codec = zoo.load_codec(folder, device="cpu")
    tokenizer = codec.level(0)
    time = np.arange(2 * 22_050) / 22_050
    chord = sum(np.sin(2 * np.pi * pitch * time) for pitch in (220.0, 277.2, 329.6))
    sound = zoo.Audio(samples=(0.2 * chord * np.exp(-time)).astype(np.float32), rate=22_050)
    back = tokenizer.decode(tokenizer.encode(sound))
    error, whole = np.square(back.samples[: len(time)] - sound.samples).sum(), np.square(sound.samples).sum()
    assert 10 * np.log10(whole / error) > 12


def writes(model: Model) -> None:
    text = model.generate("O God, O God!", max_new_tokens=8, seed=1)
    assert isinstance(text, str)
    assert len(text) > len("O God, O God!")


def draws(model: Model) -> None:
    """Complete a picture whose upper part is kept, all but one row."""
    rows, columns = (model.tokenizer.spec.shape or ())[:2]
    given = model.tokenizer.decode(torch.zeros(rows * columns, dtype=torch.int64))
    drawn = model.complete(given, keep_rows=rows - 1, seed=1)
    assert drawn.size == (columns, rows)


def plays(model: Model) -> None:
    """Play as long a piece on every level as is drawn in a moment."""
    assert isinstance(model, Stack)
    sound = model.generate(conditions={"artist": "flute", "genre": "folk"}, seconds=0.05, total_seconds=12, seed=1)
    assert sound.rate == model.rate
    assert 0.04 < len(sound.samples) / sound.rate < 0.07
    assert np.abs(sound.samples).max() > 0


@pytest.mark.parametrize("folder", CARDS, ids=lambda folder: folder.name)
def test_card_of_a_checkpoint_that_is_fetched(folder: Path) -> None:
    card = yaml.safe_load((folder / "card.yaml").read_text(encoding="utf-8"))
    assert card["name"] == folder.name
    source = HubId.parse(card["source"])
    if source is None:
        check_link(card["source"], card["sha256"] or "0" * 64)
    else:
        assert source.name.endswith(f"/{folder.name}")
    assert "not shipped" in card["weights"]
    assert card["license"]
    assert card["limits"]
    assert all(entry["name"] and entry["license"] for entry in card["data"])
    assert card["metrics"]
    assert all(isinstance(value, float) for value in card["metrics"].values())
    assert "not measured here" in card["metrics_from"]
    recipe = compose(card["recipe"], {}, size=card.get("size"))
    assert recipe["parameters"] == card["parameters"]


def test_the_originals_have_cards() -> None:
    expected = {"openai-gpt", "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "bert-base-uncased", "bert-large-uncased"}
    assert expected | {"jukebox-vqvae"} <= {folder.name for folder in CARDS}
