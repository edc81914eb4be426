"""The probe finds what is in features, refuses what it cannot learn from, and says the same each time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.features.test_extract import model
from zoo.data.records import Records
from zoo.errors import ZooError
from zoo.features.probe import probe


def records(texts: list[str], labels: list[str], held_out: int = 3) -> Records[Any]:
    count = len(texts)
    return Records(
        title="animals",
        names=[f"row {number}" for number in range(count)],
        labels=labels,
        train=range(count - held_out),
        held_out=range(count - held_out, count),
        load=texts.__getitem__,
        sha256="0" * 64,
    )


def sounds(count: int = 120) -> Records[Any]:
    """Return texts whose class is a letter that comes somewhere in them: to be seen in a mean of embeddings."""
    random = np.random.default_rng(0)
    labels = [("lion", "bird")[number % 2] for number in range(count)]
    marks = {"lion": "R", "bird": "t"}
    texts = ["".join(random.permutation([*"abcdef", marks[label] * 2])) for label in labels]
    return records(texts, labels, held_out=40)


def test_what_is_in_the_features_is_found() -> None:
    found = probe(model(), sounds())
    assert [score.layer for score in found.layers] == [0, 1, 2, 3]
    assert found.layers[0].accuracy == 1.0
    assert found.layers[0].macro_f1 == 1.0
    assert found.best.layer == 0
    assert found.majority == 0.5
    assert (found.train_samples, found.test_samples) == (80, 40)
    assert found.labels == ("bird", "lion")
    assert probe(model(), sounds()) == found


def test_labels_without_a_reason_are_not_found() -> None:
    data = sounds(400)
    shuffled = np.random.default_rng(1).permutation(data.labels).tolist()
    found = probe(model(), records([data[number] for number in range(400)], shuffled, held_out=200))
    assert all(0.35 < score.accuracy < 0.65 for score in found.layers)


def test_fewer_samples_are_drawn_by_seed() -> None:
    found = probe(model(), sounds(), train=30, test=11)
    assert (found.train_samples, found.test_samples) == (30, 11)
    with pytest.raises(ZooError, match="train_samples"):
        probe(model(), sounds(), train=0)
    with pytest.raises(ZooError, match="of one class; take more"):
        probe(model(), sounds(), train=1)
    with pytest.raises(ZooError, match="has the label 'c', which is tested; take more"):
        probe(model(), records(["x", "y", "z", "z"], ["a", "b", "c", "c"], held_out=1), train=2, seed=1)
