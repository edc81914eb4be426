"""Stretches of sounds: what training hears, and what is held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.records import Records
from zoo.errors import ZooError


@dataclass(frozen=True, kw_only=True)
class Spans:
    """Stretches of sounds, none of them empty.

    Attributes:
        numbers: int64 (spans,), the sound of each.
        starts: int64 (spans,), the sample at which it begins.
        counts: int64 (spans,), its samples.
    """

    numbers: NDArray[np.int64]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]


def split_spans(records: Records[Any], lengths: NDArray[np.int64], fraction: float) -> tuple[Spans, Spans]:
    """Return what training hears and what is held out: whole sounds, or the end of each where none is held out.

    Args:
        records: the sounds.
        lengths: int64 (sounds,), samples of each.
        fraction: of each sound that is held out, where no whole ones are.

    Raises:
        ZooError: a part has no samples.
    """
    train, held_out = (np.asarray(part, dtype=np.int64) for part in (records.train, records.held_out))
    zeros = np.zeros(len(lengths), dtype=np.int64)
    cuts = lengths if len(held_out) else np.rint(lengths * (1 - fraction)).astype(np.int64)
    parts = {
        "training": _spans(train, zeros, cuts),
        "held-out": _spans(held_out, zeros, lengths) if len(held_out) else _spans(train, cuts, lengths),
    }
    for name, part in parts.items():
        if not len(part.counts):
            raise ZooError(f"{records.title}: the {name} part has no samples; give more or longer sounds")
    return parts["training"], parts["held-out"]


def _spans(numbers: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Spans:
    chosen = numbers[ends[numbers] > starts[numbers]]
    return Spans(numbers=chosen, starts=starts[chosen], counts=(ends - starts)[chosen])
