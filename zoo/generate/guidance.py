"""Classifier-free guidance: what labels change, done more strongly (Ho and Salimans 2022, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from zoo.music.lyrics import UNKNOWN as NO_CHARACTER
from zoo.music.names import UNKNOWN
from zoo.music.telling import NOBODY
from zoo.network import NO_CLASS, Cache, Conditioning, Predictor


class Guided(nn.Module):
    """A network that reads every row twice, with what it is told of it and without, and predicts from the difference.

    Its logits are ``without + scale * (with - without)``: scale 1 is the network itself, 0 the network without classes;
    above 1, pictures are more typical of their class and less varied. (Their paper's w is scale - 1.) Both readings of
    a row are in one batch, and samplers, caches and beam search need not know of any of it.

    What is kept back: the class; of music the artist, the genres and the lyrics. A window's place in the piece and the
    codes above are told to both readings.

    Args:
        network: was trained with classes or labels, some of them kept back.
        scale: 0 or more.
    """

    def __init__(self, network: Predictor, scale: float) -> None:
        super().__init__()
        self.network = network
        self.scale = scale
        self.vocabulary, self.output_vocabulary = network.vocabulary, network.output_vocabulary
        self.context = network.context
        self.training = getattr(network, "training", False)
        self._doubled: dict[str, tuple[Tensor, Tensor]] = {}

    def hidden(
        self,
        ids: Tensor,
        *,
        lengths: Tensor | None = None,
        conditioning: Conditioning | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Return both readings side by side, (batch, time, 2 * width)."""
        if cache is not None:
            assert isinstance(cache, GuidedCache)
            cache = cache.both
        both = self.network.hidden(
            torch.cat([ids, ids]),
            lengths=None if lengths is None else torch.cat([lengths, lengths]),
            conditioning=self._both(self.prepare(conditioning)),
            cache=cache,
        )
        return torch.cat(both.chunk(2), dim=-1)

    def head(self, hidden: Tensor) -> Tensor:
        """Return the guided logits (batch, time, output_vocabulary), float32."""
        told, untold = (self.network.head(half).float() for half in hidden.chunk(2, dim=-1))
        return untold + self.scale * (told - untold)

    def forward(
        self,
        ids: Tensor,
        *,
        lengths: Tensor | None = None,
        conditioning: Conditioning | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Return ``head(hidden(...))``."""
        return self.head(self.hidden(ids, lengths=lengths, conditioning=conditioning, cache=cache))

    def prepare(self, conditioning: Conditioning | None) -> Conditioning | None:
        """Return what the network prepares for both readings of each row, side by side in a last axis of two."""
        if conditioning is None or _paired(conditioning):
            return conditioning
        told, untold = self.network.prepare(conditioning), self.network.prepare(without_labels(conditioning))
        assert told is not None
        assert untold is not None
        second = vars(untold)
        return Conditioning(
            **{
                name: torch.stack([value, second[name]], dim=-1)
                for name, value in vars(told).items()
                if value is not None
            }
        )

    def _both(self, told: Conditioning | None) -> Conditioning | None:
        """Return the conditioning of all rows, followed by that of the same rows without labels.

        What does not change from step to step, such as the lyrics, is put together once.
        """
        if told is None:
            return None
        fields: dict[str, Tensor] = {}
        for name, value in vars(told).items():
            if value is not None:
                known = self._doubled.get(name)
                fields[name] = known[1] if known and known[0] is value else torch.cat(value.unbind(-1))
                self._doubled[name] = value, fields[name]
        return Conditioning(**fields)

    def new_cache(self, batch: int, capacity: int | None = None) -> GuidedCache:
        """Allocate a cache for both readings of ``batch`` rows."""
        return GuidedCache(self.network.new_cache(2 * batch, capacity))


@dataclass(frozen=True)
class GuidedCache:
    """What a network remembers of rows with their class, followed by the same rows without."""

    both: Cache

    @property
    def lengths(self) -> Tensor:
        """Ids seen so far by each row, int64 (batch,) on the CPU."""
        return self.both.lengths.chunk(2)[0]

    def select(self, rows: Tensor) -> GuidedCache:
        """Return a cache that holds copies of ``rows`` (int64, repeats allowed), in that order."""
        return GuidedCache(self.both.select(self._twice(rows)))

    def assign(self, rows: Tensor, other: Cache) -> None:
        """Overwrite ``rows`` with the rows of ``other``, in order."""
        assert isinstance(other, GuidedCache)
        self.both.assign(self._twice(rows), other.both)

    def _twice(self, rows: Tensor) -> Tensor:
        return torch.cat([rows, rows + len(self.lengths)])


def guided(network: Predictor, scale: float) -> Predictor:
    """Return ``network`` guided by ``scale``; itself where that changes nothing."""
    return network if scale == 1 else Guided(network, scale)


def without_labels(told: Conditioning) -> Conditioning:
    """Return the conditioning without classes, or without artist, genres and lyrics."""
    if told.classes is not None:
        told = replace(told, classes=torch.full_like(told.classes, NO_CLASS))
    if told.labels is not None:
        labels = told.labels.clone()
        labels[:, 3], labels[:, 4:] = UNKNOWN, NOBODY
        source = None if told.source is None else torch.full_like(told.source, NO_CHARACTER)
        told = replace(told, labels=labels, source=source)
    return told


AXES = {"start": 2, "added": 3, "memory": 3, "memory_lengths": 1, "segments": 2, "source": 2, "source_lengths": 1,
        "classes": 1, "visible": 2, "labels": 2, "above": 2}  # fmt: skip
"""Axes of each kind of conditioning, of one reading."""


def _paired(told: Conditioning) -> bool:
    """Return whether it holds both readings."""
    return any(value is not None and value.ndim > AXES[name] for name, value in vars(told).items())
