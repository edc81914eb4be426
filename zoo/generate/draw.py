"""From logits to one id a row: the most likely one, or a random one whose randomness belongs to the row alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from einops import rearrange
from torch import Tensor

SKIPPED = 1 << 12
"""Draws of keys that are passed over together."""
IMPOSSIBLE = -1
"""Drawn where logits hold NaN or inf, or allow no id at all; the sampler turns it into an error."""


class Draw(Protocol):
    """Draws one id for every row."""

    def __call__(self, logits: Tensor) -> Tensor:
        """Return ids (rows,) for logits (rows, vocabulary), IMPOSSIBLE where there is no distribution."""

    def select(self, rows: Tensor) -> None:
        """Go on with these rows (int64, on the CPU) only."""


class Greedy:
    """The most likely id; the first of equals."""

    def __call__(self, logits: Tensor) -> Tensor:
        """Return ids (rows,)."""
        highest, ids = logits.max(dim=1)
        return _checked(ids, highest)

    def select(self, rows: Tensor) -> None:
        """Nothing to do: rows have no state."""


class Race:
    """Seeded sampling: every id runs a race whose time is exponential with its probability as rate; the first wins.

    This draws exactly from the softmax, as one uniform number on the cumulative probabilities would, but it is steady:
    logits that differ in their last bits (a row alone, or among others) change the winner only if two times are that
    close. Cumulative sums carry such differences on to every later id: with 50257 ids, one draw in 700 changed.

    A row and step have one random key from the row's own generator; a hash of key and id gives each id its number, on
    any device and for many steps at once.
    """

    KEYS = 64
    """Steps for which keys are drawn at once."""
    NUMBERS = 1 << 18
    """Numbers made at once: many steps of a small vocabulary, or one step of a large one."""

    def __init__(self, seeds: Sequence[int], device: torch.device, *, skip: Sequence[int] | None = None) -> None:
        """Draw for rows of these ``seeds``, each as if it had drawn ``skip`` ids (default: none) before."""
        skip = [0] * len(seeds) if skip is None else skip
        self._streams = [_Stream(seed, steps) for seed, steps in zip(seeds, skip, strict=True)]
        self._keys = torch.empty(len(seeds), 0, 2, dtype=torch.int32, device=device)
        self._handicaps = torch.empty(len(seeds), 0, 0, device=device)  # (rows, steps, vocabulary)
        self._step = 0

    def __call__(self, logits: Tensor) -> Tensor:
        """Return ids (rows,)."""
        if self._step == self._handicaps.shape[1]:
            self._refill(logits.shape[1])
        # A NaN or +inf among the logits wins the maximum, and -inf is the maximum only if there is nothing else.
        best, ids = (logits - self._handicaps[:, self._step]).max(dim=1)
        self._step += 1
        return _checked(ids, best)

    def select(self, rows: Tensor) -> None:
        """Go on with these rows (int64, on the CPU) only."""
        self._streams = [self._streams[row] for row in rows.tolist()]
        rows = rows.to(self._keys.device)
        self._keys, self._handicaps = self._keys[rows], self._handicaps[rows]

    def _refill(self, vocabulary: int) -> None:
        if not self._keys.shape[1]:
            keys = [own.take(self.KEYS) for own in self._streams]
            self._keys = torch.stack(keys).to(self._keys.device)
        steps = min(max(self.NUMBERS // (len(self._keys) * vocabulary), 1), self._keys.shape[1])
        group = max(self.NUMBERS // (steps * vocabulary), 1)  # rows at a time, so that numbers stay in the CPU's cache
        parts = torch.split(self._keys[:, :steps], group)
        self._handicaps = torch.cat([log_exponential(hashed_uniform(part, vocabulary)) for part in parts])
        self._keys, self._step = self._keys[:, steps:], 0


class _Stream:
    """The random keys of one row, one a step."""

    def __init__(self, seed: int, skip: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._left = torch.empty(0, 2, dtype=torch.int32)
        drawn = skip // Race.KEYS
        for first in range(0, drawn, SKIPPED):  # many at once give the numbers of one after the other
            self._draw(min(SKIPPED, drawn - first))
        self.take(skip % Race.KEYS)

    def take(self, count: int) -> Tensor:
        """Return the next ``count`` keys, int32 (count, 2), at most as many as are drawn at once."""
        if len(self._left) < count:
            self._left = torch.cat((self._left, self._draw(1)))
        taken, self._left = self._left[:count], self._left[count:]
        return taken

    def _draw(self, times: int) -> Tensor:
        limits, size = torch.iinfo(torch.int32), (times * Race.KEYS, 2)
        return torch.randint(limits.min, limits.max, size, dtype=torch.int32, generator=self._generator)


def hashed_uniform(keys: Tensor, count: int) -> Tensor:
    """Return float32 (..., count) in (0, 1), a function of ``keys``, int32 (..., 2), and the position.

    The mixer is Wellons' ``lowbias32`` (two multiplications and three shifts), run once with each half of the key.
    """
    first, second = rearrange(keys, "... pair -> pair ... 1")
    bits = torch.arange(count, dtype=torch.int32, device=keys.device) + first
    bits = _mix(_mix(bits).bitwise_xor_(second))
    # Small numbers decide races: 31 bits keep them fine-grained. At 1 the time of an id would be infinite.
    return bits.bitwise_and_(0x7FFFFFFF).float().add_(0.5).mul_(2.0**-31).clamp_(max=1 - 2.0**-24)


def log_exponential(uniform: Tensor) -> Tensor:
    """Return ln(-ln(1 - uniform)): the logarithm of exponential times, minus a Gumbel number.

    Small numbers keep their precision by a series; ``log1p`` would too, at seven times the cost of ``log``.
    """
    small = uniform * (uniform * (uniform / 3 + 0.5) + 1)  # relative error below 2e-8 where it is used
    return torch.where(uniform < 1 / 256, small, -torch.log(1 - uniform)).log_()


def _mix(bits: Tensor) -> Tensor:
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B - (1 << 32))):
        bits = bits.bitwise_xor((bits >> shift) & ((1 << (32 - shift)) - 1)).mul_(factor)
    return bits.bitwise_xor_((bits >> 16) & 0xFFFF)


class InverseCumulative:
    """The first id whose cumulative probability exceeds a given number: how recorded samples are replayed."""

    def __init__(self, numbers: Tensor) -> None:
        """Use ``numbers`` (steps, rows) in [0, 1), one row of them a step."""
        self._numbers = numbers.to("cpu", torch.float64)
        self._step = 0

    def __call__(self, logits: Tensor) -> Tensor:
        """Return ids (rows,)."""
        cumulative = logits.softmax(dim=1, dtype=torch.float64).cumsum(dim=1)
        total = cumulative[:, -1:]
        # Below the total by more than rounding, or a number of nearly 1 would point past the last possible id.
        targets = self._numbers[self._step].to(logits.device)[:, None] * total * (1 - 1e-15)
        self._step += 1
        ids = torch.searchsorted(cumulative, targets, right=True)
        return _checked(ids, total)[:, 0]

    def select(self, rows: Tensor) -> None:
        """Go on with these rows (int64, on the CPU) only."""
        self._numbers = self._numbers[:, rows]


class Replayed:
    """Ids that are known already, one step after the other, and from there on what another draw says."""

    def __init__(self, ids: Tensor, then: Draw) -> None:
        """Return ``ids`` (rows, steps) first; ``then`` is asked from the step after them on."""
        self._ids, self._then, self._step = ids, then, 0

    def __call__(self, logits: Tensor) -> Tensor:
        """Return ids (rows,)."""
        if self._step == self._ids.shape[1]:
            return self._then(logits)
        self._step += 1
        return self._ids[:, self._step - 1].to(logits.device)

    def select(self, rows: Tensor) -> None:
        """Go on with these rows (int64, on the CPU) only."""
        self._ids = self._ids[rows]
        self._then.select(rows)


def _checked(ids: Tensor, values: Tensor) -> Tensor:
    """Return ``ids``, but IMPOSSIBLE where the values they rest on are NaN or infinite."""
    return torch.where(values.abs() < math.inf, ids, IMPOSSIBLE)  # isfinite() takes three times as long
