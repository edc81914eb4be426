"""BERT's examples: what is hidden, how often, and which second part belongs to which first."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.masks import CLASS, FIRST, MASK, PAD, SEPARATOR, STOP, Places
from zoo.data.base import IGNORED, Batch
from zoo.data.gaps import Rows
from zoo.data.masked import Masked, MaskedData
from zoo.data.stream import Stream
from zoo.errors import ZooError
from zoo.settings import build
from zoo.tokenizers.text.settings import Byte, Wordpiece
from zoo.transformer.config import TransformerConfig
from zoo.transformer.heads import Classification
from zoo.transformer.model import Transformer
from zoo.transformer.patterns import Dense

CONTEXT = 40


def stream(count: int, *, sentence: int = 5, document: int = 10**9) -> Stream:
    """Return ids that rise by one, but for a full stop after every sentence and a separator after every document."""
    ids = np.arange(FIRST, FIRST + count, dtype=np.uint16)
    places = np.arange(count)
    ids[places % sentence == sentence - 1] = STOP
    ids[places % document == document - 1] = SEPARATOR
    return Stream(ids=ids, text_bytes=count, lossless=False)


def data(
    train: Stream | None = None,
    held_out: Stream | None = None,
    *,
    pairs: bool = True,
    context: int = CONTEXT,
    share: float = 0.15,
) -> MaskedData:
    parts = train or stream(2000), held_out or stream(500)
    vocabulary = FIRST + max(len(part.ids) for part in parts)
    rows = Rows(Places(vocabulary), context, share)
    return MaskedData(title="x", train=parts[0], held_out=parts[1], rows=rows, next_sentence=pairs)


def whole(batch: Batch) -> torch.Tensor:
    """Return the ids as they were before anything was hidden."""
    return torch.where(batch.targets == IGNORED, batch.ids, batch.targets)


def lengths(batch: Batch) -> list[int]:
    return [batch.ids.shape[1]] * len(batch.ids) if batch.lengths is None else batch.lengths.tolist()


def parts(row: list[int]) -> list[list[int]]:
    """Return A and B of ``[CLS] A [SEP] B [SEP]``."""
    assert row[0] == CLASS
    assert row[-1] == SEPARATOR
    cuts = [place for place, index in enumerate(row) if index == SEPARATOR]
    return [row[start + 1 : stop] for start, stop in zip([0, *cuts], cuts, strict=False)]


def rows_of(batch: Batch) -> list[list[list[int]]]:
    return [parts(row[:length]) for row, length in zip(whole(batch).tolist(), lengths(batch), strict=True)]


def place(part: list[int]) -> int:
    """Return where a part stands in the stream, from its first id that is a word."""
    number = next(number for number, index in enumerate(part) if index >= FIRST)
    return part[number] - FIRST - number


def test_four_fifths_are_masked_a_tenth_is_random_and_a_tenth_stays() -> None:
    source = data()
    fates: Counter[str] = Counter()
    chosen = np.zeros(CONTEXT)
    for step in range(150):
        batch = source.batch(step=step, size=16, seed=3)
        hidden = batch.targets != IGNORED
        assert (hidden.sum(dim=1) == torch.tensor([round(0.15 * length) for length in lengths(batch)])).all()
        special = (whole(batch) == CLASS) | (whole(batch) == SEPARATOR) | (whole(batch) == PAD)
        assert not (hidden & special).any()
        assert torch.equal(batch.ids[~hidden], whole(batch)[~hidden])
        if batch.lengths is None:
            chosen += hidden.sum(dim=0).numpy()
        now, before = batch.ids[hidden], batch.targets[hidden]
        fates["mask"] += int((now == MASK).sum())
        fates["kept"] += int((now == before).sum())
        fates["random"] += int(((now != MASK) & (now != before)).sum())
    count = fates.total()
    assert 0.98 * 150 * 16 * 6 < count <= 150 * 16 * 6
    assert fates["mask"] / count == pytest.approx(0.8, abs=0.01)
    assert fates["random"] / count == pytest.approx(0.1, abs=0.01)
    assert fates["kept"] / count == pytest.approx(0.1, abs=0.01)
    assert chosen[0] == chosen[-1] == 0
    assert chosen[1:-1].min() > 0.6 * chosen[1:-1].max()  # everywhere alike, but for where the second [SEP] may stand


def test_random_ids_are_of_the_whole_vocabulary() -> None:
    source = data(stream(60), share=0.9)
    seen: Counter[int] = Counter()
    for step in range(400):
        batch = source.batch(step=step, size=8, seed=0)
        hidden = (batch.targets != IGNORED) & (batch.ids != MASK) & (batch.ids != batch.targets)
        seen.update(batch.ids[hidden].tolist())
    assert set(seen) == set(range(FIRST + 500)) - {MASK}
    assert max(seen.values()) < 6 * seen.total() / len(seen)


@given(share=st.floats(0.01, 0.99), length=st.integers(3, 60), seed=st.integers(0, 99))
def test_as_many_are_hidden_as_said_and_at_least_one(share: float, length: int, seed: int) -> None:
    ids, candidates = np.arange(length) + FIRST, np.arange(1, length - 1)
    rows = Rows(Places(100), length, share)
    shown, targets = rows.hide(ids, candidates, np.random.default_rng(seed))
    hidden = targets != IGNORED
    assert hidden.sum() == min(len(candidates), max(1, round(share * length)))
    assert not hidden[0]
    assert not hidden[-1]
    assert (shown[~hidden] == ids[~hidden]).all()
    assert (targets[hidden] == ids[hidden]).all()
    assert (ids == np.arange(length) + FIRST).all()


def test_half_of_the_second_parts_come_next() -> None:
    source = data()
    labels: list[int] = []
    for step in range(60):
        batch = source.batch(step=step, size=16, seed=1)
        assert batch.labels is not None
        assert batch.conditioning is not None
        assert batch.conditioning.segments is not None
        labels += batch.labels.tolist()
        for row, (first, second) in enumerate(rows_of(batch)):
            assert place(first) % 5 == place(second) % 5 == 0  # both begin where sentences do
            assert len(first) + len(second) <= CONTEXT - 3
            assert (place(first) + len(first) == place(second)) is (int(batch.labels[row]) == 0)
            assert int(batch.indices[row]) == place(first)
            segments = [0] * (len(first) + 2) + [1] * (len(second) + 1)
            assert batch.conditioning.segments[row].tolist()[: len(segments)] == segments
    assert np.mean(labels) == pytest.approx(0.5, abs=0.05)


def test_the_length_of_a_row_does_not_tell_its_label() -> None:
    source = data(stream(20_000, document=400))
    full: dict[int, list[bool]] = {0: [], 1: []}
    for step in range(100):
        batch = source.batch(step=step, size=16, seed=1)
        assert batch.labels is not None
        for label, length in zip(batch.labels.tolist(), lengths(batch), strict=True):
            full[label].append(length == CONTEXT)
    assert np.mean(full[0]) == pytest.approx(np.mean(full[1]), abs=0.05)


def test_a_row_stays_in_its_document() -> None:
    source = data(stream(3000, document=50))
    for step in range(20):
        for first, second in rows_of(source.batch(step=step, size=16, seed=0)):
            for part in (first, second):
                assert place(part) // 50 == (place(part) + len(part) - 1) // 50


def test_batches_are_functions_of_step_and_seed() -> None:
    source, again = data(), data()
    for step in (0, 7, 2**40):
        one, other = source.batch(step=step, size=4, seed=5), again.batch(step=step, size=4, seed=5)
        assert torch.equal(one.ids, other.ids)
        assert torch.equal(one.targets, other.targets)
        assert one.labels is not None
        assert other.labels is not None
        assert torch.equal(one.labels, other.labels)
    assert not torch.equal(source.batch(step=1, size=4, seed=5).ids, source.batch(step=1, size=4, seed=6).ids)
    assert not torch.equal(source.batch(step=1, size=4, seed=5).ids, source.batch(step=2, size=4, seed=5).ids)


@settings(max_examples=30)
@given(count=st.integers(9, 300), sentence=st.integers(1, 30), document=st.integers(3, 80), size=st.integers(1, 9))
def test_every_held_out_id_is_in_one_row_whatever_the_batch(
    count: int, sentence: int, document: int, size: int
) -> None:
    held_out = stream(count, sentence=sentence, document=document)
    for pairs in (True, False):
        source = data(held_out=held_out, pairs=pairs)
        seen: list[int] = []
        rows: list[tuple[list[int], list[int]]] = []
        labels: list[int] = []
        for batch in source.held_out(size):
            assert batch.ids.shape[0] <= size
            assert batch.ids.shape[1] <= CONTEXT
            labels += [] if batch.labels is None else batch.labels.tolist()
            for row, length in enumerate(lengths(batch)):
                rows.append((batch.ids[row, :length].tolist(), batch.targets[row, :length].tolist()))
                assert (batch.ids[row, length:] == PAD).all()
                assert (batch.targets[row, length:] == IGNORED).all()
            seen += [index for row in rows_of(batch) for part in row for index in part]
        single = pairs and count % document == 1  # a document of one id has no two parts
        expected = [index for index in held_out.ids.tolist() if index != SEPARATOR]
        assert sorted(seen) == sorted(expected) or (single and set(seen) <= set(expected))
        assert len(labels) == (len(rows) if pairs else 0)
        if pairs:
            assert sum(labels) == (len(rows) // 2 if len(rows) > 3 else 0)
        again = [
            (batch.ids[row, :length].tolist(), batch.targets[row, :length].tolist())
            for batch in source.held_out(3)
            for row, length in enumerate(lengths(batch))
        ]
        assert rows == again


def test_held_out_labels_are_true() -> None:
    for batch in data(held_out=stream(1000)).held_out(8):
        assert batch.labels is not None
        for label, (first, second) in zip(batch.labels.tolist(), rows_of(batch), strict=True):
            assert (place(first) + len(first) == place(second)) is (label == 0)


def test_without_next_sentences_a_row_is_one_stretch() -> None:
    source = data(pairs=False)
    batch = source.batch(step=0, size=8, seed=0)
    assert batch.labels is None
    assert batch.conditioning is None
    assert batch.lengths is None or int(batch.lengths.max()) <= CONTEXT
    for (only,) in rows_of(batch):
        assert place(only) % 5 == 0


def network(*, causal: bool = False, labels: tuple[str, ...] = ("next", "random")) -> Transformer:
    head = Classification(labels=labels) if labels else None
    config = TransformerConfig(vocabulary=20, context=8, width=8, depth=1, heads=1, segments=2, head=head)
    return Transformer(dataclasses.replace(config, patterns=(Dense(causal=causal),)))


def test_networks_that_cannot_learn_it_are_refused() -> None:
    source, alone = data(), data(pairs=False)
    source.check(network())
    alone.check(network(labels=()))
    for causal in (source, alone):
        with pytest.raises(ZooError, match=r"model\.patterns: masked text needs a model that sees both sides"):
            causal.check(network(causal=True))
    for labels in ((), ("a", "b", "c")):
        with pytest.raises(ZooError, match=rf"takes a head with 2 labels, this has {len(labels)}; .*next_sentence=f"):
            source.check(network(labels=labels))


def test_what_is_too_little_says_so() -> None:
    with pytest.raises(ZooError, match="x: its held-out part has 1 tokens, at least 2 are needed"):
        data(held_out=stream(1))
    with pytest.raises(ZooError, match=r"no document of its training part has two sentences; .*next_sentence=false"):
        data(stream(40, sentence=99, document=4))
    assert data(stream(40, sentence=99, document=4), pairs=False).batch(step=0, size=2, seed=0).ids.shape == (2, 5)


def test_settings_and_tokenizers_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("The fox saw the crow. The crow had cheese! What did it want? " * 60)
    corpus = build(Masked, {"path": str(path), "share": 0.2}).open()
    assert corpus.describe()[0]["name"] == "text.txt"
    tokenizer = Wordpiece(vocabulary=64).fit(corpus.samples())
    encoded = corpus.encode(tokenizer, 16)
    assert encoded.train_tokens > 500
    assert encoded.metrics(1.0, 1) == {}
    assert encoded.label_name == "next_sentence"
    with pytest.raises(ZooError, match=r"the tokenizer 'byte' has no \[MASK\], .* use tokenizer=wordpiece"):
        corpus.encode(Byte().fit([]), 16)
    with pytest.raises(ZooError, match=r"model\.context=7 is too short"):
        corpus.encode(tokenizer, 7)
    for wrong in ({"share": 0.0}, {"share": 1.0}, {"held_out": 1.5}, {"encoding": "utf-99"}):
        with pytest.raises(ZooError):
            build(Masked, wrong)
