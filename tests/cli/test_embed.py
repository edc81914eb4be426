"""``zoo embed`` and ``zoo neighbours``: the contract's arrays, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import zoo as library
from tests.cli.conftest import Zoo
from zoo.features import extract


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.txt").write_text(f"{number} green bottles\n" * (1 + 20 * number))
    return folder


def test_a_folder(zoo: Zoo, checkpoint: Path, texts: Path) -> None:
    done = zoo("embed", str(checkpoint), "texts", "out=there/texts.npz", "layer=1", "threads=1", "--json")
    assert done.code == 0, done.err
    with np.load("there/texts.npz") as arrays:
        embeddings, files = arrays["embeddings"], arrays["files"].tolist()
    assert embeddings.dtype == np.float32
    assert files == [f"texts/{number}.txt" for number in range(5)]
    assert done.document["samples"] == 5
    assert embeddings.shape == (5, done.document["width"])
    model = library.load(checkpoint)
    expected = model.features(model.tokenizer.encode((texts / "0.txt").read_text())[None])[1]
    np.testing.assert_allclose(embeddings[0], expected[0].numpy(), atol=1e-5)
    again = zoo("embed", str(checkpoint), "texts", "out=there/texts.npz")
    assert again.code == 2
    assert "there/texts.npz is there already" in again.err
    near = zoo("neighbours", "there/texts.npz", "3.txt", "count=2", "--json").document
    assert near["neighbours"][0]["name"] in {"texts/2.txt", "texts/4.txt"}
    people = zoo("neighbours", "there/texts.npz", "texts/3.txt", "seed=0", "threads=1")
    assert people.out.count("\n") == 5
    token = zoo("neighbours", str(checkpoint), "token=a", "count=4", "--json").document
    assert len(token["neighbours"]) == 4


def test_a_stopped_call_goes_on(zoo: Zoo, checkpoint: Path, texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["embed", str(checkpoint), "texts", "batch=1", "threads=1"]
    assert zoo(*words, "out=whole.npz").code == 0
    monkeypatch.setattr(extract, "AHEAD", 1)
    (texts / "3.txt").write_text("")
    stopped = zoo(*words, "out=resumed.npz")
    assert stopped.code == 2
    assert "3.txt: is empty" in stopped.err
    assert not Path("resumed.npz").exists()
    (texts / "3.txt").write_text("3 green bottles\n" * 61)
    done = zoo(*words, "out=resumed.npz", "--json")
    assert done.document["resumed"] == 2
    with np.load("whole.npz") as whole, np.load("resumed.npz") as resumed:
        np.testing.assert_allclose(whole["embeddings"], resumed["embeddings"], atol=1e-6)
        assert json.loads(str(resumed["facts"]))["pool"] == "mean"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "which files? For example"),
        (["gone.txt"], "gone.txt: no such file or folder"),
        (["x.txt", "out=x.csv"], "features go into a file that ends in .npz or .parquet"),
        (["x.txt", "layer=99"], "layer: this model has layers 0 to"),
        (["x.png"], "expected texts, but '.png' files are images"),
        (["empty.txt"], "empty.txt: is empty"),
    ],
)
def test_bad_input_is_one_line(zoo: Zoo, checkpoint: Path, words: list[str], line: str) -> None:
    Path("x.txt").write_text("words")
    Path("empty.txt").write_text("")
    Path("x.png").write_bytes(b"\x89PNG")
    done = zoo("embed", str(checkpoint), *words)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert line in done.err
    assert not Path("embeddings.npz").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "of what?"),
        (["gone.npz", "a"], "gone.npz: not a file of embeddings"),
        (["gone.npz"], "which sample of gone.npz?"),
        (["lion"], "which token? Say zoo neighbours CHECKPOINT token=TEXT"),
    ],
)
def test_neighbours_of_nothing(zoo: Zoo, words: list[str], line: str) -> None:
    done = zoo("neighbours", *words)
    assert done.code == 2
    assert line in done.err
