"""How much of a text stands word for word in another: the longest runs of ids that both have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[Any]
Positions = NDArray[np.int64]
BLOCK = 1 << 21
"""Ids of the known text that are looked at together."""
BASE = 0x9E3779B97F4A7C15
"""Of the hash: odd, so that it has an inverse in arithmetic of 64 bits."""


def longest_copies(samples: Sequence[Ids], known: Ids) -> list[tuple[int, int]]:
    """Return (begin, length) of the longest run of each sample that ``known`` has, too; (0, 0) of none.

    Runs are compared by hashes of 64 bits (Karp and Rabin 1987), first of 1, 2, 4, … ids, then, where they are found,
    of lengths between. ``known`` is read in blocks, so it may be mapped from a file of any size.

    Args:
        samples: integers (time,) each.
        known: integers (time,).
    """
    best = [(0, 0)] * len(samples)
    longest = max((len(sample) for sample in samples), default=0)
    text = _Samples(samples)
    for begin in range(0, len(known), BLOCK):
        block = known[begin : begin + BLOCK + longest - 1]
        best = [max(pair, key=lambda run: run[1]) for pair in zip(best, text.longest(block), strict=True)]
    return best


class _Hashes:
    """Hashes of all runs of a text: a difference of two sums, brought to the place of the first id."""

    def __init__(self, ids: Ids) -> None:
        self.size = len(ids)
        with np.errstate(over="ignore"):
            powers = _powers(BASE, self.size)
            self._sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(_mixed(ids) * powers, dtype=np.uint64)])
            self._inverses = _powers(pow(BASE, -1, 1 << 64), self.size)

    def at(self, starts: Positions, length: int) -> NDArray[np.uint64]:
        """Return the hash of so many ids from each start on."""
        with np.errstate(over="ignore"):
            found: NDArray[np.uint64] = (self._sums[starts + length] - self._sums[starts]) * self._inverses[starts]
        return found


class _Samples:
    """Samples one after another, whose runs do not cross from one to the next."""

    def __init__(self, samples: Sequence[Ids]) -> None:
        lengths = [len(sample) for sample in samples]
        self._starts = np.cumsum([0, *lengths])[:-1].astype(np.int64)
        self._owner = np.repeat(np.arange(len(samples)), lengths)
        self._end = np.repeat(self._starts + np.array(lengths, np.int64), lengths)
        self._hashes = _Hashes(np.concatenate([*samples, np.zeros(0, np.int64)]).astype(np.int64))
        self._count = len(samples)

    def longest(self, known: Ids) -> list[tuple[int, int]]:
        """Return (begin, length) of the longest run of each sample that ``known`` has."""
        best = [(0, 0)] * self._count
        hashes = _Hashes(known)
        ours, theirs = np.arange(self._hashes.size), np.arange(len(known))
        length = 1
        levels = []
        while True:
            ours, theirs = self._shared(ours, theirs, hashes, length)
            if not len(ours):
                break
            levels.append((length, ours, theirs))
            length *= 2
        settled: set[int] = set()
        for length, ours, theirs in reversed(levels):
            ours = ours[~np.isin(self._owner[ours], list(settled))]
            settled |= set(self._owner[ours].tolist())
            self._extend(ours, theirs, hashes, length, length // 2, best)
        return best

    def _extend(
        self, ours: Positions, theirs: Positions, hashes: _Hashes, length: int, step: int, best: list[tuple[int, int]]
    ) -> None:
        """Note the longest runs from our positions on: at least ``length`` ids, and below ``length + 2 * step``."""
        for place in ours[::-1].tolist():
            owner = int(self._owner[place])
            if length >= best[owner][1]:
                best[owner] = (place - int(self._starts[owner]), length)
        if not step or not len(ours):
            return
        longer, places = self._shared(ours, theirs, hashes, length + step)
        self._extend(longer, places, hashes, length + step, step // 2, best)
        self._extend(np.setdiff1d(ours, longer), theirs, hashes, length, step // 2, best)

    def _shared(self, ours: Positions, theirs: Positions, hashes: _Hashes, length: int) -> tuple[Positions, Positions]:
        """Return those of our and of their positions from which on both have the same ``length`` ids."""
        ours = ours[ours + length <= self._end[ours]]
        theirs = theirs[theirs + length <= hashes.size]
        here, there = self._hashes.at(ours, length), hashes.at(theirs, length)
        return ours[np.isin(here, there)], theirs[np.isin(there, here)]


def distinct(samples: Sequence[Ids], length: int = 4) -> float:
    """Return how many different runs of ``length`` ids there are, of all runs (Li et al. 2016, distinct-n).

    It is low where samples repeat themselves or each other, and 0 where no sample is so long.
    """
    runs = [np.lib.stride_tricks.sliding_window_view(sample, length) for sample in samples if len(sample) >= length]
    if not runs:
        return 0.0
    together = np.concatenate(runs)
    return len(np.unique(together, axis=0)) / len(together)


def _mixed(ids: Ids) -> NDArray[np.uint64]:
    """Return ids spread over 64 bits (the finaliser of splitmix64)."""
    value = (ids.astype(np.uint64) + np.uint64(1)) * np.uint64(BASE)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = value ^ (value >> np.uint64(31))
    return mixed


def _powers(base: int, count: int) -> NDArray[np.uint64]:
    """Return 1, base, base^2, … in arithmetic of 64 bits."""
    factors = np.full(count, base, np.uint64)
    factors[:1] = 1
    return np.multiply.accumulate(factors)
