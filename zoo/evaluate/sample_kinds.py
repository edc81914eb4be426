"""What a kind of samples is: pictures, sounds, or passages of text that were drawn, beside real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from zoo.evaluate.outcome import Exhibit, Told
from zoo.generate.settings import SamplingOptions

AT_ONCE = 16
"""Samples that are drawn together."""

Named = tuple[str, Any]
"""A sample with its name."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """Vectors (samples, width) of what was drawn, held out, and learned from.

    Attributes:
        like: numbers of as many learned ones as were drawn, where there are so many: figures depend on how many.
    """

    made: NDArray[Any]
    real: NDArray[Any]
    learned: NDArray[Any]
    like: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How samples come about; see ``zoo.evaluate.samples.Samples``."""

    path: str | None
    count: int
    given: int
    sampling: SamplingOptions


class Kind(Protocol):
    """Samples of one modality."""

    @property
    def title(self) -> str:
        """Name of the data."""

    @property
    def sha256(self) -> str:
        """Hash of its files."""

    @property
    def counts(self) -> tuple[int, int]:
        """How many samples of the held-out and of the training part there are to compare with."""

    @property
    def notes(self) -> Sequence[str]:
        """What people should know of the metrics, a sentence each."""

    def made(self, told: Told | None) -> list[Named]:
        """Draw the samples, or read those that are there."""

    def beside(self, made: Sequence[Named]) -> tuple[Sequence[Named], Sequence[Named]]:
        """Return what is compared of the held-out and of the training part."""

    def judged(self, made: Sequence[Named], features: Features) -> tuple[dict[str, Any], list[Exhibit]]:
        """Return the figures that only this kind has, and what there is to look at."""
