"""``zoo probe``: the contract's files and keys, for texts and pictures, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.cli.conftest import Zoo

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def intents(tmp_path: Path) -> Path:
    """Return a table whose label can be seen in the text's letters."""
    texts = {"bottles": "%d green bottles", "zebras": "zzz zebras %d zzz"}
    rows = [f"{texts[label] % number},{label}" for number in range(40) for label in texts]
    path = tmp_path / "intents, {x=1}.csv"
    path.write_text("body,kind\n" + "\n".join(rows) + "\n")
    return path


def test_texts(zoo: Zoo, checkpoint: Path, intents: Path) -> None:
    words = [f"data.path={intents}", "data.columns.text=body", "data.columns.label=kind", "out=found", "threads=1"]
    done = zoo("probe", str(checkpoint), *words, "--json")
    assert done.code == 0, done.err
    document = done.document
    assert document == json.loads(Path("found/probe.json").read_text())
    assert {"layer", "accuracy"} <= set(document["layers"][0])
    assert [row["layer"] for row in document["layers"]] == list(range(len(document["layers"])))
    assert document["test_samples"] == 7
    assert document["layers"][document["best_layer"]]["accuracy"] == 1.0
    with Pillow.open("found/probe.png") as picture:
        assert picture.size == (960, 560)
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 4
    again = zoo("probe", str(checkpoint), *words)
    assert again.code == 2
    assert "found/probe.json is there already; add overwrite=true" in again.err
    people = zoo("probe", str(checkpoint), *words, "overwrite=true", "pool=last", "train_samples=20")
    assert people.out.strip() == "found/probe.json"
    assert "best: layer" in people.err


def test_pictures_of_the_released_checkpoint(zoo: Zoo, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    stripes = np.zeros((20, 28, 28), np.uint8)
    stripes[::2, :, 10:14], stripes[1::2, 10:14] = 255, 255
    noise = random.integers(0, 30, stripes.shape).astype(np.uint8)
    np.savez(tmp_path / "bars.npz", x=np.maximum(stripes, noise), y=np.arange(20) % 2)
    done = zoo("probe", str(ROOT / "checkpoints" / "mnist"), "data.path=bars.npz", "--json", "threads=1")
    assert done.code == 0, done.err
    assert len(done.document["layers"]) == 7
    assert done.document["labels"] == ["0", "1"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "which data? Say data.path=PATH"),
        (["data.path=there.csv"], "there.csv: no such file or folder"),
        (["data=there.csv"], "which data? Say data.path=there.csv"),
        (["data.path=x", "data.labels=y"], "unknown setting 'data.labels'; did you mean 'data.label'?"),
        (["data.path=x", "data.columns.lable=y"], "unknown setting 'data.columns.lable'; did you mean 'label'?"),
        (["data.path=x", "pool=median"], "pool: 'median' is not possible; did you mean 'mean'?"),
        (["data.path=x", "data.label=genre"], "label=genre is a column of a sound folder's metadata.csv"),
        (["data.path=x", "layers=3"], "unknown setting 'layers'"),
    ],
)
def test_bad_input_is_one_line(zoo: Zoo, checkpoint: Path, words: list[str], line: str) -> None:
    Path("x").write_text("text")
    done = zoo("probe", str(checkpoint), *words)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert line in done.err
    assert not Path("outputs").exists()
