"""How one call passes through the attention layers: a whole sequence, a prompt into a cache, or what follows it.

A route is chosen once a call; layers ask it for attention and never look at the cache's state themselves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.network import Conditioning
from zoo.transformer.cache import LayerCache, TransformerCache
from zoo.transformer.one_query import Seen
from zoo.transformer.patterns import Pattern, attention
from zoo.transformer.position import Angles


class Route(ABC):
    """Where the given ids stand, and what they attend to.

    Attributes:
        positions: (time,) or (batch, time) int64 on the model's device.
    """

    positions: Tensor

    @abstractmethod
    def attend(
        self, pattern: Pattern, cache: LayerCache | None, query: Tensor, key: Tensor, value: Tensor, dropout: float
    ) -> Tensor:
        """Return attention (batch, heads, time, head_width) of the new positions, and put their keys into the cache."""

    def finish(self) -> None:
        """Count the new ids as seen, after the last layer."""
        return None


@dataclass(frozen=True, kw_only=True)
class Call:
    """What every layer of one call is told beside its input.

    Attributes:
        route: where the ids stand, and how they are attended to.
        angles: by which queries and keys are turned, None if positions are not rotary.
        conditioning: see ``zoo.network.Conditioning``.
    """

    route: Route
    angles: Angles | None
    conditioning: Conditioning | None


Layer = Callable[[Tensor, Call], Tensor]
"""What a layer does in a ``Step``, (rows, width) -> (rows, width), as a function alone."""


class Whole(Route):
    """A whole sequence, without a cache."""

    def __init__(self, ids: Tensor, lengths: Tensor | None) -> None:
        self.positions = torch.arange(ids.shape[1], device=ids.device)
        self.lengths = lengths

    def attend(
        self, pattern: Pattern, cache: LayerCache | None, query: Tensor, key: Tensor, value: Tensor, dropout: float
    ) -> Tensor:
        return pattern.attend(query, key, value, lengths=self.lengths, dropout=dropout)


class Prompt(Whole):
    """The first ids of every row, into an empty cache: attended to as a whole, then kept."""

    def __init__(self, ids: Tensor, lengths: Tensor | None, cache: TransformerCache) -> None:
        super().__init__(ids, lengths)
        self.cache = cache
        self.count = _counts(ids, lengths)
        self.added = self.count.to(ids.device)
        self.first = torch.zeros_like(self.added)

    def attend(
        self, pattern: Pattern, cache: LayerCache | None, query: Tensor, key: Tensor, value: Tensor, dropout: float
    ) -> Tensor:
        assert cache is not None
        cache.fill(key, value, self.first, self.added)
        return super().attend(pattern, cache, query, key, value, dropout)

    def finish(self) -> None:
        self.cache.lengths += self.count


class Step(Route):
    """One more id for every row, all rows at the same position: plain slices of the cache, no mask."""

    def __init__(self, ids: Tensor, cache: TransformerCache) -> None:
        self.cache = cache
        self.position = int(cache.lengths[0])
        self.positions = torch.full((1,), self.position, device=ids.device)
        self._seen: dict[tuple[Pattern, torch.Size], Seen] = {}

    def seen(self, pattern: Pattern, shape: torch.Size) -> Seen:
        """Return what layers with this pattern and caches of ``shape`` need to know, worked out once for all."""
        if (pattern, shape) not in self._seen:
            self._seen[pattern, shape] = Seen.of(pattern, self.position, shape)
        return self._seen[pattern, shape]

    def attend(
        self, pattern: Pattern, cache: LayerCache | None, query: Tensor, key: Tensor, value: Tensor, dropout: float
    ) -> Tensor:
        assert cache is not None
        cache.write(key, value, self.position)
        seen = pattern.read(self.position)
        return attention(query, cache.keys[:, :, seen], cache.values[:, :, seen], dropout=dropout)

    def finish(self) -> None:
        self.cache.lengths += 1


class Extension(Route):
    """Any number of further ids after rows of any lengths: the general case, by masks."""

    def __init__(self, ids: Tensor, lengths: Tensor | None, cache: TransformerCache) -> None:
        self.cache = cache
        self.count = _counts(ids, lengths)
        self.first = cache.lengths.to(ids.device)
        self.added = self.count.to(ids.device)
        self.positions = self.first[:, None] + torch.arange(ids.shape[1], device=ids.device)
        # Padding stands after a row's last id and is seen by nothing real; it must not look past the position table.
        self.positions = self.positions.clamp(max=cache.capacity - 1)
        # Rows that stand at the same place see the same: the mask of one serves all, and takes no memory for each.
        alike = lengths is None and bool((cache.lengths == cache.lengths[0]).all())
        self._masks = slice(1 if alike else None)

    def attend(
        self, pattern: Pattern, cache: LayerCache | None, query: Tensor, key: Tensor, value: Tensor, dropout: float
    ) -> Tensor:
        assert cache is not None
        held, positions = cache.held(self.first[self._masks]), self.positions[self._masks]
        at = torch.cat((held, positions), dim=1)[:, None, :]
        real = torch.arange(positions.shape[1], device=held.device) < self.added[self._masks, None]
        real = torch.cat((held >= 0, real), dim=1)[:, None, :]
        mask = (pattern.sees(positions[:, :, None], at) & real)[:, None]
        keys = torch.cat((cache.keys, key), dim=2)
        values = torch.cat((cache.values, value), dim=2)
        cache.fill(key, value, self.first, self.added)
        return attention(query, keys, values, mask=mask, dropout=dropout)

    def finish(self) -> None:
        self.cache.lengths += self.count


class RaggedStep(Extension):
    """One more id for every row, rows at different positions: the cache is written first, then read through a mask."""

    def attend(
        self, pattern: Pattern, cache: LayerCache | None, query: Tensor, key: Tensor, value: Tensor, dropout: float
    ) -> Tensor:
        assert cache is not None
        cache.fill(key, value, self.first, self.added)
        held = cache.held(self.first + self.added)
        mask = (pattern.sees(self.positions, held) & (held >= 0))[:, None, None, :]
        newest = min(cache.keys.shape[2], int(self.cache.lengths.max()) + 1)  # a linear layout has nothing beyond it
        return attention(
            query, cache.keys[:, :, :newest], cache.values[:, :, :newest], mask=mask[..., :newest], dropout=dropout
        )


def choose(ids: Tensor, lengths: Tensor | None, cache: TransformerCache | None, context: int) -> Route:
    """Return the cheapest route for ``ids`` (batch, time) after what ``cache`` has seen.

    Raises:
        ZooError: no ids, or more than the context or the cache can hold.
    """
    if ids.shape[1] == 0:
        raise ZooError("a model needs at least one id")
    if cache is None:
        if ids.shape[1] > context:
            raise ZooError(f"{ids.shape[1]} ids do not fit the context of {context}")
        return Whole(ids, lengths)
    longest = int((cache.lengths + _counts(ids, lengths)).max())
    if longest > cache.capacity:
        raise ZooError(f"{longest} ids do not fit the cache of {cache.capacity}")
    if int(cache.lengths.max()) == 0:
        return Prompt(ids, lengths, cache)
    if ids.shape[1] > 1 or lengths is not None:
        return Extension(ids, lengths, cache)
    if bool((cache.lengths == cache.lengths[0]).all()):
        return Step(ids, cache)
    return RaggedStep(ids, lengths, cache)


def _counts(ids: Tensor, lengths: Tensor | None) -> Tensor:
    return torch.full((ids.shape[0],), ids.shape[1]) if lengths is None else lengths.cpu()
