"""Stretches of sounds: what training hears, and what is held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zoo.data.read_sound import SoundRecords
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


def split_spans(records: SoundRecords, lengths: NDArray[np.int64], fraction: float) -> tuple[Spans, Spans]:
    """Return what training hears and what is held out: whole sounds, and the ends of ``records.ends``.

    Where nothing of either is said, the end of each is held out.

    Args:
        records: the sounds.
        lengths: int64 (sounds,), samples of each.
        fraction: of a sound whose end is held out.

    Raises:
        ZooError: a part has no samples.
    """
    train, held_out = (np.asarray(part, dtype=np.int64) for part in (records.train, records.held_out))
    ends = np.asarray(records.ends, dtype=np.int64) if len(held_out) or len(records.ends) else train
    zeros = np.zeros(len(lengths), dtype=np.int64)
    cuts, begins = lengths.copy(), zeros.copy()
    cuts[ends] = begins[ends] = np.rint(lengths[ends] * (1 - fraction)).astype(np.int64)
    parts = {
        "training": _spans(train, zeros, cuts),
        "held-out": _spans(np.sort(np.concatenate([held_out, ends])), begins, lengths),
    }
    for name, part in parts.items():
        if not len(part.counts):
            raise ZooError(f"{records.title}: the {name} part has no samples; give more or longer sounds")
    return parts["training"], parts["held-out"]


def _spans(numbers: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Spans:
    chosen = numbers[ends[numbers] > starts[numbers]]
    return Spans(numbers=chosen, starts=starts[chosen], counts=(ends - starts)[chosen])
