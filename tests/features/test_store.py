"""Rows of features survive a stop at any place, and are what they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from zoo.errors import ZooError
from zoo.features.neighbours import nearest, of_file, of_token
from zoo.features.store import Store, check_suffix, read_embeddings

FACTS = {"checkpoint": "lion", "layer": 2}
ROWS = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)


def names(count: int = 7) -> list[str]:
    return [f"sound {number}, ünïcode.wav" for number in range(count)]


def fill(store: Store, begin: int, end: int) -> None:
    for number in range(begin, end):
        store.add(names()[number], ROWS[number])


def test_rows_come_back(tmp_path: Path) -> None:
    path = tmp_path / "there" / "lions.npz"
    with Store(path, FACTS, resume=True) as store:
        fill(store, 0, 7)
        store.finish()
    vectors, files = read_embeddings(path)
    np.testing.assert_array_equal(vectors, ROWS)
    assert vectors.dtype == np.float32
    assert files == names()
    assert [entry.name for entry in path.parent.iterdir()] == ["lions.npz"]


@pytest.mark.parametrize("cut", range(0, 40, 3))
def test_a_stop_at_any_byte(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "lions.npz"
    with Store(path, FACTS, resume=True) as store:
        fill(store, 0, 5)
    rows, log = tmp_path / ".lions.npz.rows", tmp_path / ".lions.npz.names"
    rows.write_bytes(rows.read_bytes()[: -cut or None])
    log.write_bytes(log.read_bytes()[: -(cut * 5 % 37) or None])
    assert not path.exists()
    with Store(path, FACTS, resume=True) as store:
        assert store.names == names()[: len(store.names)]
        assert 1 <= len(store.names) <= 5
        fill(store, len(store.names), 7)
        store.finish()
    vectors, files = read_embeddings(path)
    np.testing.assert_array_equal(vectors, ROWS)
    assert files == names()


def test_rows_of_something_else_are_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "lions.npz"
    with Store(path, FACTS, resume=True) as store:
        fill(store, 0, 3)
    with pytest.raises(ZooError, match="was begun with layer=2, not 3; say resume=false"):
        Store(path, {**FACTS, "layer": 3}, resume=True)
    with Store(path, {**FACTS, "layer": 3}, resume=False) as store:
        assert store.names == []
        with pytest.raises(ZooError, match="no samples to be embedded"):
            store.finish()


def test_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "lions.parquet"
    with Store(path, FACTS, resume=True) as store:
        fill(store, 0, 7)
        store.finish()
    vectors, files = read_embeddings(path)
    np.testing.assert_array_equal(vectors, ROWS)
    assert list(files) == names()


def test_what_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=r"a file that ends in \.npz or \.parquet"):
        check_suffix(tmp_path / "lions.csv")
    (tmp_path / "bad.npz").write_bytes(b"PK no")
    for name in ("bad.npz", "gone.npz"):
        with pytest.raises(ZooError, match="not a file of embeddings"):
            read_embeddings(tmp_path / name)


def test_neighbours() -> None:
    vectors = np.array([[1, 0], [2, 0.1], [0, 1], [-1, 0]], np.float32)
    found = nearest(vectors, 0, ["a", "b", "c", "d"], 9)
    assert [one.name for one in found] == ["b", "c", "d"]
    assert [one.similarity for one in found] == pytest.approx([2 / np.sqrt(4.01), 0, -1])
    assert of_file(vectors, ["a", "b", "c", "d"], "d", 1)[0].name == "c"
    with pytest.raises(ZooError, match="no sample is called 'e'"):
        of_file(vectors, ["a", "b", "c", "d"], "e", 1)
    with pytest.raises(ZooError, match="count must be at least 1"):
        nearest(vectors, 0, ["a", "b", "c", "d"], 0)


def test_neighbours_of_a_token() -> None:
    import torch

    from tests.features.test_extract import model
    from zoo.transformer.model import Transformer

    lion = model()
    assert isinstance(lion.network, Transformer)
    with torch.no_grad():
        weights = lion.network.embedding.tokens.weight
        weights[ord("b")] = 3 * weights[ord("a")]
    first = of_token(lion, "a", 3)[0]
    assert (first.name, first.number) == ("b", ord("b"))
    assert first.similarity == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(ZooError, match="'ab' is not one token of this model but 2: 'a', 'b'"):
        of_token(lion, "ab", 3)
