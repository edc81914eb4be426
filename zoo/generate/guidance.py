"""Classifier-free guidance: what the label changes, done more strongly (Ho and Salimans 2022, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.network import NO_CLASS, Cache, Conditioning, Predictor


class Guided(nn.Module):
    """A network that reads every row twice, with its class and without, and predicts from the difference.

    Its logits are ``without + scale * (with - without)``: scale 1 is the network itself, 0 the network without classes;
    above 1, pictures are more typical of their class and less varied. (Their paper's w is scale - 1.) Both readings of
    a row are in one batch, and samplers, caches and beam search need not know of any of it.

    Args:
        network: was trained with classes, some of them kept back.
        scale: 0 or more.
    """

    def __init__(self, network: Predictor, scale: float) -> None:
        super().__init__()
        self.network = network
        self.scale = scale
        self.vocabulary, self.output_vocabulary = network.vocabulary, network.output_vocabulary
        self.context = network.context
        self.training = getattr(network, "training", False)

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
            conditioning=_twice(conditioning),
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
        """Return what the network prepares: it is the same for both readings."""
        return self.network.prepare(conditioning)

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


def _twice(told: Conditioning | None) -> Conditioning | None:
    """Return the conditioning of all rows, followed by the same without classes."""
    if told is None:
        return None
    fields = {name: torch.cat([value, value]) for name, value in vars(told).items() if value is not None}
    if told.classes is not None:
        fields["classes"] = torch.cat([told.classes, torch.full_like(told.classes, NO_CLASS)])
    return Conditioning(**fields)
