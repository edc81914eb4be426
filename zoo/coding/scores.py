"""How near files come back from ids: figures of one file, or of many together."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from zoo.evaluate.audio import Measures, measure

Sample = TypeVar("Sample")


@dataclass(frozen=True, kw_only=True)
class Return(Generic[Sample]):
    """A file that went into ids and came back.

    Attributes:
        original: as the tokenizer saw it: at its rate, on its grid.
        ids: int64 (time,) of each level.
        returned: what each level's ids decode to.
    """

    original: Sample
    ids: tuple[NDArray[np.int64], ...]
    returned: tuple[Sample, ...]


class Score(ABC, Generic[Sample]):
    """Measures what comes back from one level.

    Args:
        level: which.
        codes: ids that this level could use.
    """

    def __init__(self, level: int, codes: int) -> None:
        self.level = level
        self.ids = 0
        self._seen = torch.zeros(codes, dtype=torch.bool)

    def add(self, one: Return[Sample]) -> None:
        """Take in a file."""
        ids = one.ids[self.level]
        self.ids += len(ids)
        self._seen[torch.from_numpy(ids)] = True
        self.compare(one.returned[self.level], one.original)

    def join(self, other: Self) -> None:
        """Take in all files of another score of this level."""
        self.ids += other.ids
        self._seen |= other._seen
        self.merge(other)

    def metrics(self) -> dict[str, Any]:
        """Return the figures; None for what is infinite or not defined."""
        return {**self.figures(), "codebook_usage": float(self._seen.double().mean())}

    @abstractmethod
    def compare(self, returned: Sample, original: Sample) -> None:
        """Take in what came back of a file."""

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Take in what ``compare`` took in of other files."""

    @abstractmethod
    def figures(self) -> dict[str, Any]:
        """Return what is known from ``compare``."""


class TextScore(Score[str]):
    """Whether nothing was lost (``lossless``), and UTF-8 bytes of the text an id (``bytes_per_token``)."""

    def __init__(self, level: int, codes: int) -> None:
        super().__init__(level, codes)
        self._bytes, self._equal = 0, True

    def compare(self, returned: str, original: str) -> None:
        """Take in a text."""
        self._bytes += len(original.encode())
        self._equal = self._equal and returned == original

    def merge(self, other: Self) -> None:
        """Take in other texts."""
        self._bytes += other._bytes
        self._equal = self._equal and other._equal

    def figures(self) -> dict[str, Any]:
        """Return both."""
        return {"lossless": self._equal, "bytes_per_token": self._bytes / self.ids if self.ids else None}


class PictureScore(Score[Pillow.Image]):
    """Root mean square change of a channel's level, 0 ... 255, over all pixels (``quantization_rmse``).

    Also ``psnr_db``, the same below 255 in decibels, and ``bits_per_pixel``: bits of the ids if each is written with
    ``log2(codes)`` of them.
    """

    def __init__(self, level: int, codes: int) -> None:
        super().__init__(level, codes)
        self._squares, self._values, self._pixels = 0.0, 0, 0
        self._bits = math.log2(codes)

    def compare(self, returned: Pillow.Image, original: Pillow.Image) -> None:
        """Take in a picture."""
        change = np.asarray(returned, np.float64) - np.asarray(original, np.float64)
        self._squares += float(np.square(change).sum())
        self._values += change.size
        self._pixels += original.width * original.height

    def merge(self, other: Self) -> None:
        """Take in other pictures."""
        self._squares += other._squares
        self._values += other._values
        self._pixels += other._pixels

    def figures(self) -> dict[str, Any]:
        """Return all three."""
        change = math.sqrt(self._squares / self._values) if self._values else 0.0
        return {
            "quantization_rmse": change,
            "psnr_db": 20.0 * math.log10(255.0 / change) if change else None,
            "bits_per_pixel": self._bits * self.ids / self._pixels if self._pixels else None,
        }


class SoundScore(Score[Tensor]):
    """The measures of ``zoo.evaluate.audio`` over clips of ten seconds, and ``bits_per_second``.

    Args:
        level, codes: see ``Score``.
        rate: samples per second.
        bits: bits per second of the ids.
    """

    def __init__(self, level: int, codes: int, *, rate: int, bits: float) -> None:
        super().__init__(level, codes)
        self._measures, self._rate, self._bits = Measures(), rate, bits

    def compare(self, returned: Tensor, original: Tensor) -> None:
        """Take in a sound."""
        self._measures.join(measure(returned, original, rate=self._rate))

    def merge(self, other: Self) -> None:
        """Take in other sounds."""
        self._measures.join(other._measures)

    def figures(self) -> dict[str, Any]:
        """Return the measures."""
        return {**self._measures.metrics(), "bits_per_second": self._bits}
