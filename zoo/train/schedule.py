"""Learning-rate schedules: values that say by what factor the peak rate is multiplied at a step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from zoo.errors import ZooError


def _warm(step: int, warmup: int) -> float:
    """Rise linearly over ``warmup`` steps; the first update already moves, the one after the warm-up is at the peak."""
    return min(1.0, (step + 1) / (warmup + 1))


def _check(warmup: int, final_ratio: float = 0.0) -> None:
    if warmup < 0:
        raise ZooError(f"warmup is a number of steps, got {warmup}")
    if not 0.0 <= final_ratio <= 1.0:
        raise ZooError(f"final_ratio lies between 0 and 1, got {final_ratio}")


def _progress(step: int, steps: float, warmup: int) -> float:
    return min(1.0, max(0.0, (step - warmup) / max(1.0, steps - warmup)))


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """Linear warm-up, then half a cosine down to ``final_ratio`` of the peak (Loshchilov and Hutter 2017, eq. 5).

    Attributes:
        warmup: steps until the peak.
        final_ratio: the last rate as a share of the peak.
        until: share of all steps after which the last rate is reached, and stays (GPT-3: 260 of 300 billion tokens).
    """

    warmup: int = 100
    final_ratio: float = 0.1
    until: float = 1.0

    def __post_init__(self) -> None:
        _check(self.warmup, self.final_ratio)
        if not 0.0 < self.until <= 1.0:
            raise ZooError(f"until is a share of all steps above 0 and at most 1, got {self.until}")

    def factor(self, step: int, steps: int) -> float:
        """Return the factor for the update after ``step`` completed ones, of ``steps`` in all."""
        wave = 0.5 * (1.0 + math.cos(math.pi * _progress(step, self.until * steps, self.warmup)))
        return _warm(step, self.warmup) * (self.final_ratio + (1.0 - self.final_ratio) * wave)


@dataclass(frozen=True, kw_only=True)
class WarmupStableDecay:
    """Linear warm-up, the peak for most of the run, then a straight line down (Hu et al. 2024, section 4).

    Attributes:
        warmup: steps until the peak.
        decay: share of all steps that the way down takes.
        final_ratio: the last rate as a share of the peak.
    """

    warmup: int = 100
    decay: float = 0.2
    final_ratio: float = 0.0

    def __post_init__(self) -> None:
        _check(self.warmup, self.final_ratio)
        if not 0.0 <= self.decay <= 1.0:
            raise ZooError(f"decay is a share of all steps between 0 and 1, got {self.decay}")

    def factor(self, step: int, steps: int) -> float:
        """Return the factor for the update after ``step`` completed ones, of ``steps`` in all."""
        down = steps * self.decay
        left = min(1.0, (steps - step) / down) if down else 1.0
        return _warm(step, self.warmup) * (self.final_ratio + (1.0 - self.final_ratio) * left)


@dataclass(frozen=True, kw_only=True)
class Linear:
    """Linear warm-up, then a straight line down to ``final_ratio`` of the peak (BERT, GPT-1's fine-tuning)."""

    warmup: int = 100
    final_ratio: float = 0.0

    def __post_init__(self) -> None:
        _check(self.warmup, self.final_ratio)

    def factor(self, step: int, steps: int) -> float:
        """Return the factor for the update after ``step`` completed ones, of ``steps`` in all."""
        left = 1.0 - _progress(step, steps, self.warmup)
        return _warm(step, self.warmup) * (self.final_ratio + (1.0 - self.final_ratio) * left)


@dataclass(frozen=True, kw_only=True)
class Constant:
    """Linear warm-up, then the peak to the end."""

    warmup: int = 0

    def __post_init__(self) -> None:
        _check(self.warmup)

    def factor(self, step: int, steps: int) -> float:
        """Return the factor for the update after ``step`` completed ones, of ``steps`` in all."""
        return _warm(step, self.warmup)


Schedule: TypeAlias = Cosine | WarmupStableDecay | Linear | Constant
