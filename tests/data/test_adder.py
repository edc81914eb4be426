"""Sums as minGPT writes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zoo.data.adder import Adder, AdderData, spell
from zoo.data.base import IGNORED
from zoo.errors import ZooError
from zoo.tokenizers.text.settings import Bpe, Byte, Digits


@pytest.fixture(scope="module")
def data() -> AdderData:
    return Adder().open().encode(Digits().fit([]), 6)


def test_spelling() -> None:
    assert spell(np.array([8550, 0, 9999, 5545]), 2).tolist() == [
        [8, 5, 5, 0, 5, 3, 1],
        [0, 0, 0, 0, 0, 0, 0],
        [9, 9, 9, 9, 8, 9, 1],
        [5, 5, 4, 5, 0, 0, 1],
    ]
    assert spell(np.array([7_005]), 3).tolist() == [[0, 0, 7, 0, 0, 5, 2, 1, 0, 0]]


def test_held_out_pairs_are_mingpts() -> None:
    corpus = Adder().open()
    order = torch.randperm(10_000, generator=torch.Generator().manual_seed(1337))
    assert corpus.held_out.tolist() == order[:500].tolist()
    assert corpus.train.tolist() == order[500:].tolist()
    assert len(Adder(digits=1).open().held_out) == 20
    assert len(Adder(digits=3).open().train) == 999_500


def test_batches(data: AdderData) -> None:
    batch = data.batch(step=2, size=300, seed=5)
    assert batch.ids.shape == batch.targets.shape == (300, 6)
    assert (batch.targets[:, :3] == IGNORED).all()
    assert torch.equal(batch.ids[:, 4:], batch.targets[:, 3:5])
    a, b = batch.ids[:, 0] * 10 + batch.ids[:, 1], batch.ids[:, 2] * 10 + batch.ids[:, 3]
    assert torch.equal(a + b, batch.targets[:, 3] + 10 * batch.targets[:, 4] + 100 * batch.targets[:, 5])
    assert torch.equal(a * 100 + b, batch.indices)
    assert torch.equal(batch.ids, data.batch(step=2, size=300, seed=5).ids)
    assert not torch.equal(batch.ids, data.batch(step=3, size=300, seed=5).ids)


def test_training_never_sees_the_held_out_pairs(data: AdderData) -> None:
    held_out = {int(pair) for batch in data.held_out(64) for pair in batch.indices}
    assert len(held_out) == 500
    seen = {int(pair) for step in range(100) for pair in data.batch(step=step, size=1000, seed=0).indices}
    assert len(seen) == 9500
    assert not seen & held_out


def test_problems(data: AdderData) -> None:
    held_out, everything = data.problems()
    assert (held_out.name, held_out.prompts.shape, held_out.answers.shape) == ("held_out", (500, 4), (500, 3))
    assert (everything.name, everything.prompts.shape, everything.answers.shape) == ("all", (10_000, 4), (10_000, 3))
    assert everything.answers[5545].tolist() == [0, 0, 1]
    assert len(Adder(digits=3).open().encode(Digits().fit([]), 9).problems()) == 1
    assert data.metrics(1.0, 1) == {}


def test_any_tokenizer_with_an_id_for_each_digit() -> None:
    corpus = Adder().open()
    batch = corpus.encode(Byte().fit([]), 6).batch(step=0, size=2, seed=0)
    assert torch.equal(batch.ids, corpus.encode(Digits().fit([]), 6).batch(step=0, size=2, seed=0).ids + 48)
    with pytest.raises(ZooError, match="needs an id for each digit, 'bpe' has none; use tokenizer=digits"):
        corpus.encode(Bpe(vocabulary=300).fit(["0123456789 " * 100]), 6)


def test_bad_settings() -> None:
    with pytest.raises(ZooError, match="digits must be 1, 2 or 3, got 4"):
        Adder(digits=4)
    with pytest.raises(ZooError, match=r"^data\.path: the adder makes its own sums; leave it out, or use text/file"):
        Adder(path="x")
    with pytest.raises(ZooError, match=r"model\.context=5 is too short for 2 digits; use 6"):
        Adder().open().encode(Digits().fit([]), 5)


def test_the_card_entry_is_fixed() -> None:
    (entry,) = Adder().open().describe()
    assert entry["license"] == "CC0-1.0"
    assert len(entry["sha256"]) == 64
