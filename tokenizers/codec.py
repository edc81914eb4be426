"""What every codec is: a network trained to keep samples in ids, whose levels then serve as tokenizers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.precision import exact_convolutions
from zoo.tokenizers.base import Modality
from zoo.tokenizers.codebook import Codebook


@dataclass(frozen=True, kw_only=True)
class Reconstructed:
    """What a codec makes of samples, one entry a level, the finest first.

    Attributes:
        outputs: samples of the inputs' shape, not clipped.
        commitments: (batch,) each; see ``Quantized``.
        ids: (batch, time) or (batch, rows, columns) int64 each.
    """

    outputs: tuple[Tensor, ...]
    commitments: tuple[Tensor, ...]
    ids: tuple[Tensor, ...]


class Codec(nn.Module, ABC):
    """Samples to ids of one or several levels, and each level's ids back to samples.

    Samples are floats in [-1, 1], channels last: sound (batch, time, 1), pictures (batch, rows, columns, channels).

    Args:
        hops: samples (of sound; pixels along a side of a picture) that one id of each level stands for.
        codebooks: one a level, the finest level first.

    Attributes:
        card: where the codec comes from: licence, data, figures.
        recipe: the recipe that it was trained by, ``{}`` if there was none.
    """

    modality: ClassVar[Modality]
    codebooks: nn.ModuleList

    def __init__(self, *, hops: Sequence[int], codebooks: Iterable[Codebook]) -> None:
        super().__init__()
        self.hops = tuple(hops)
        self.codebooks = nn.ModuleList(codebooks)
        self.card: dict[str, Any] = {}
        self.recipe: dict[str, Any] = {}

    def __repr__(self) -> str:
        """Return the kind and size in one line; its modules are listed by ``print(list(codec.named_modules()))``."""
        hops = ", ".join(map(str, self.hops))
        count = sum(parameter.numel() for parameter in self.parameters())
        return f"{type(self).__name__}({self.modality}, hops {hops}, {count:,} parameters)"

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.hops)

    @abstractmethod
    def check(self, samples: Tensor, levels: Iterable[int]) -> None:
        """Refuse samples of a shape that does not divide into ids of these levels.

        Raises:
            ZooError: say what is wrong with it.
        """

    @abstractmethod
    def features(self, samples: Tensor, level: int) -> Tensor:
        """Return what the codebook of ``level`` quantises: (batch, time, width) or (batch, rows, columns, width)."""

    @abstractmethod
    def render(self, vectors: Tensor, level: int) -> Tensor:
        """Return the samples of quantised vectors: the way back from ``features``."""

    def codebook(self, level: int) -> Codebook:
        """Return the codebook of a level.

        Raises:
            ZooError: there is no such level.
        """
        if not 0 <= level < self.levels:
            raise ZooError(f"no level {level}: this codec has levels 0 to {self.levels - 1}, the finest first")
        book = self.codebooks[level]
        assert isinstance(book, Codebook)
        return book

    @torch.no_grad()
    def encode(self, samples: Tensor, levels: Sequence[int] | None = None) -> tuple[Tensor, ...]:
        """Return the ids of ``samples``, (batch, time) or (batch, rows, columns) for each level asked for.

        Args:
            samples: of a shape that is a multiple of the hop of the levels asked for.
            levels: which, None for all.

        Raises:
            ZooError: no such level, or samples of another shape.
        """
        wanted = range(self.levels) if levels is None else levels
        books = [self.codebook(level) for level in wanted]
        self.check(samples, wanted)
        found = []
        for level, book in zip(wanted, books, strict=True):
            with exact_convolutions():
                features = self.features(samples, level)
            found.append(book.nearest(features.flatten(0, -2)).view(features.shape[:-1]))
        return tuple(found)

    @torch.no_grad()
    def decode(self, ids: Tensor, level: int) -> Tensor:
        """Return the samples that ids of one level stand for, not clipped.

        Raises:
            ZooError: no such level, or ids outside its codebook.
        """
        return self.render(self.codebook(level).lookup(ids), level)

    def forward(self, samples: Tensor) -> Reconstructed:
        """Return every level's reconstruction of ``samples``; in training, codebooks remember what they saw.

        Raises:
            ZooError: samples of a shape that the codec does not take.
        """
        self.check(samples, range(self.levels))
        quantized = [self.codebook(level)(self.features(samples, level)) for level in range(self.levels)]
        return Reconstructed(
            outputs=tuple(self.render(kept.vectors, level) for level, kept in enumerate(quantized)),
            commitments=tuple(kept.commitment for kept in quantized),
            ids=tuple(kept.ids for kept in quantized),
        )

    def settle(self, candidates: Sequence[Tensor] | None = None) -> None:
        """Update every codebook with what it saw since the last update; see ``Codebook.settle``."""
        for level in range(self.levels):
            self.codebook(level).settle(None if candidates is None else candidates[level])

    def forget(self) -> None:
        """Drop what the codebooks saw since the last update."""
        for level in range(self.levels):
            self.codebook(level).forget()

    def health(self) -> dict[str, float]:
        """Return the health of every codebook, named ``level_0_usage`` and so on where there are several levels."""
        if self.levels == 1:
            return self.codebook(0).health()
        return {
            f"level_{level}_{name}": value
            for level in range(self.levels)
            for name, value in self.codebook(level).health().items()
        }
