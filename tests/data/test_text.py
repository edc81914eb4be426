"""Text as windows of ids."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoo.data import stream
from zoo.data.base import IGNORED
from zoo.data.documents import from_text
from zoo.data.read import Documents
from zoo.data.stream import Stream
from zoo.data.text import Text, TextCorpus, TextData, Topics
from zoo.errors import ZooError
from zoo.settings import build
from zoo.tokenizers.text.settings import Byte, Char, Word


def of_ids(train: list[int], held_out: list[int], context: int) -> TextData:
    def whole(ids: list[int]) -> Stream:
        return Stream(ids=np.array(ids, dtype=np.uint16), text_bytes=len(ids), lossless=True)

    return TextData(title="x", train=whole(train), held_out=whole(held_out), context=context)


def corpus_of(train: list[str], held_out: list[str]) -> TextCorpus:
    parts = [[from_text(str(index), text) for index, text in enumerate(part)] for part in (train, held_out)]
    return TextCorpus(Documents(title="x", train=parts[0], held_out=parts[1], sha256="s", how="h"), [])


@given(count=st.integers(2, 300), context=st.integers(1, 40), size=st.integers(1, 9))
def test_every_held_out_id_but_the_first_is_predicted_exactly_once(count: int, context: int, size: int) -> None:
    data = of_ids(list(range(1000, 1000 + context + 1)), list(range(count)), context)
    seen: list[int] = []
    for batch in data.held_out(size):
        assert batch.ids.shape == batch.targets.shape == (len(batch.indices), batch.ids.shape[1])
        assert batch.ids.shape[0] <= size
        assert batch.ids.shape[1] <= context
        assert torch.equal(batch.ids + 1, batch.targets)
        assert torch.equal(batch.ids[:, 0], batch.indices)
        assert not (batch.targets == IGNORED).any()
        seen += batch.targets.flatten().tolist()
    assert seen == list(range(1, count))


@given(count=st.integers(2, 100), context=st.integers(1, 30), step=st.integers(0, 2**40), seed=st.integers(0, 2**63))
def test_batches_are_functions_of_step_and_seed(count: int, context: int, step: int, seed: int) -> None:
    count = max(count, context + 1)
    data = of_ids(list(range(count)), [0, 1], context)
    batch = data.batch(step=step, size=5, seed=seed)
    assert batch.ids.shape == (5, context)
    assert torch.equal(batch.ids + 1, batch.targets)
    assert torch.equal(batch.ids[:, 0], batch.indices)
    assert int(batch.targets.max()) < count
    again = of_ids(list(range(count)), [0, 1], context).batch(step=step, size=5, seed=seed)
    assert torch.equal(batch.ids, again.ids)


def test_crops_reach_every_place_and_differ_by_step_and_seed() -> None:
    data = of_ids(list(range(20)), [0, 1], 16)
    starts = {int(start) for step in range(40) for start in data.batch(step=step, size=4, seed=0).indices}
    assert starts == {0, 1, 2, 3}
    wide = of_ids(list(range(10_000)), [0, 1], 4)
    drawn = [tuple(wide.batch(step=step, size=4, seed=seed).indices.tolist()) for step in range(5) for seed in range(5)]
    assert len(set(drawn)) == 25


def test_crops_are_the_same_on_every_machine() -> None:
    data = of_ids(list(range(1000)), [0, 1], 8)
    assert data.batch(step=3, size=4, seed=7).indices.tolist() == [519, 478, 291, 718]


def test_too_short_a_text_names_what_is_needed() -> None:
    with pytest.raises(
        ZooError, match=r"x: its training part has 8 tokens, but model\.context=8 needs at least 9; give more"
    ):
        of_ids(list(range(8)), [0, 1], 8)
    with pytest.raises(ZooError, match=r"x: its held-out part has 1 tokens, but model\.context=8 needs at least 2"):
        of_ids(list(range(9)), [0], 8)


def test_documents_are_joined_by_the_end_id_or_a_newline() -> None:
    corpus = corpus_of(["ab", "c"], ["d", "e", "f"])
    byte = Byte().fit(corpus.samples())
    data = corpus.encode(byte, 2)
    end = byte.spec.end_id
    assert end is not None
    assert data._train.tolist() == [97, 98, end, 99]
    assert data.metrics(math.log(2), 5) == {"bits_per_byte": pytest.approx(1 / 3)}
    char = Char().fit(corpus.samples())
    assert char.spec.end_id is None
    assert char.decode(torch.from_numpy(corpus.encode(char, 2)._train.astype(np.int64))) == "ab\nc"


def test_one_text_has_nothing_added() -> None:
    data = corpus_of(["abc"], ["de"]).encode(Byte().fit([]), 2)
    assert data._train.tolist() == [97, 98, 99]
    assert data._train.dtype == np.uint16  # 257 ids
    assert data.train_tokens == 3


def test_an_alphabet_knows_held_out_characters_but_learns_no_order_from_them() -> None:
    corpus = corpus_of(["abab"], ["zaéz"])
    assert list(corpus.samples()) == list(corpus.samples()) == ["abab", "zé"]
    assert Char().fit(corpus.samples()).spec.vocabulary_size == 4
    assert list(corpus_of(["ab"], ["a"]).samples()) == ["ab"]


def test_bits_per_byte_counts_raw_bytes_and_says_what_is_lost() -> None:
    corpus = corpus_of(["one two one two one two"], ["one é two"])
    word = Word(minimum_count=2).fit(corpus.samples())
    metrics = corpus.encode(word, 2).metrics(10 * math.log(2), 3)
    assert metrics == {"bits_per_byte": pytest.approx(10 / 10), "lossless": False}
    kept = corpus_of(["one two one two one two"], ["one two"])
    assert "lossless" not in kept.encode(Word(minimum_count=1).fit(kept.samples()), 1).metrics(1.0, 3)


def test_large_texts_are_kept_in_a_file(monkeypatch: pytest.MonkeyPatch, zoo_home: Path) -> None:
    corpus = corpus_of(["some text, " * 20, "more"], ["the rest"])
    byte = Byte().fit([])
    small = corpus.encode(byte, 4)
    monkeypatch.setattr(stream, "IN_MEMORY", 50)
    large = corpus.encode(byte, 4)
    assert isinstance(large._train, np.memmap)
    assert np.array_equal(large._train, small._train)
    folder = zoo_home / "data" / "ids"
    kept = sorted(path.name for path in folder.iterdir())
    assert [name.split(".")[1] for name in kept] == ["ids", "json"]
    inode = (folder / kept[0]).stat().st_ino
    assert np.array_equal(corpus.encode(byte, 4)._train, small._train)
    assert (folder / kept[0]).stat().st_ino == inode
    (folder / kept[0]).write_bytes(b"cut")
    assert np.array_equal(corpus.encode(byte, 4)._train, small._train)
    char = Char().fit(corpus.samples())
    assert len(corpus.encode(char, 4)._train) == 225
    assert len(list(folder.iterdir())) == 4


def test_settings_check_themselves() -> None:
    for fields, message in (
        ({"held_out": 1.0}, "held_out must be between 0 and 1"),
        ({"encoding": "utf-9"}, "unknown encoding 'utf-9'"),
        ({"columns": {"txt": "a"}}, r"unknown setting 'data\.columns\.txt'; did you mean 'text'"),
    ):
        with pytest.raises(ZooError, match=message):
            build(Text, fields, "data")
    with pytest.raises(ZooError, match=r"no data of its own; say data\.path=FILE"):
        Text().open()


def test_python_topics() -> None:
    corpus = Topics().open()
    (entry,) = corpus.describe()
    assert (entry["name"], entry["license"], len(entry["sha256"])) == ("pydoc_data.topics", "PSF-2.0", 64)
    size = corpus.documents.train[0].size + corpus.documents.held_out[0].size
    assert 300_000 < size < 2_000_000
    assert corpus.documents.train[0].size == pytest.approx(0.9 * size, abs=4)
    assert "assert" in next(iter(corpus.samples()))


def test_topics_can_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 100)
    assert Topics(path=str(tmp_path / "a.txt")).open().documents.held_out[0].size == 10
    (tmp_path / "a.csv").write_bytes("body,n\n".encode("latin-1") + "é,1\n".encode("latin-1") * 20)
    corpus = Topics(path=str(tmp_path / "a.csv"), columns={"text": "body"}, encoding="latin-1").open()
    assert {document.text() for document in corpus.documents.train} == {"é"}
    with pytest.raises(ZooError, match=r"unknown setting 'data\.columns\.txt'; did you mean 'text'"):
        Topics(columns={"txt": "body"})


def test_tiny_shakespeare_splits_as_in_nanogpt(shared_data: Path) -> None:
    corpus = Text(path=str(shared_data / "text" / "tinyshakespeare" / "input.txt")).open()
    char = Char().fit(corpus.samples())
    data = corpus.encode(char, 64)
    assert char.spec.vocabulary_size == 65
    assert data._train.dtype == np.uint8
    assert data.train_tokens == 1_003_854
    assert sum(batch.targets.numel() for batch in data.held_out(64)) == 111_539
    assert corpus.describe()[0]["sha256"].startswith("86c4e6aa9db7")
