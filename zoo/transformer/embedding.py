"""From ids to the first hidden state: tokens, positions, segments and conditioning, summed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.network import Conditioning
from zoo.transformer.initial import Role
from zoo.transformer.recent import Recent

if TYPE_CHECKING:
    from zoo.transformer.cache import TransformerCache
    from zoo.transformer.config import TransformerConfig


class Embedding(nn.Module):
    """Sum of token, position and segment vectors and of the per-position condition, then norm (BERT) and dropout.

    The start vector of a condition, or the vector of a row's class, takes the place of the token vector at position 0.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocabulary, config.width)
        self.positions = config.positions.table(config.context, config.width)
        self.segments = nn.Embedding(config.segments, config.width) if config.segments else None
        self.classes = nn.Embedding(len(config.classes), config.width) if config.classes else None
        self.recent = Recent(config.recent, config.width) if config.recent else None
        self.norm = config.norm.build(config.width) if config.embedding_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        ids: Tensor,
        positions: Tensor,
        conditioning: Conditioning | None,
        lengths: Tensor | None = None,
        cache: TransformerCache | None = None,
    ) -> Tensor:
        """Return (batch, time, width).

        Args:
            ids: (batch, time) int64.
            positions: (time,) or (batch, time) int64, where the ids stand.
            conditioning: see ``zoo.network.Conditioning``.
            lengths: (batch,) int64, real ids of each row; None if all are.
            cache: remembers the last token vectors for what follows, where they are mixed.
        """
        x = self.tokens(ids)
        if conditioning is not None:
            x = self._replaced(x, positions, conditioning)
        if self.recent is not None:
            before = None if cache is None else cache.recent
            if cache is not None and before is not None:
                cache.recent = self.recent.kept(x, before, lengths)
            x = self.recent(x, before)
        if self.positions is not None:
            x = x + self.positions(positions)
        if self.segments is not None:
            given = None if conditioning is None else conditioning.segments
            x = x + self.segments(torch.zeros_like(ids) if given is None else given)
        if conditioning is not None and conditioning.added is not None:
            if conditioning.added.shape[1] not in (1, ids.shape[1]):
                raise ZooError(f"added has {conditioning.added.shape[1]} positions for {ids.shape[1]} ids")
            x = x + conditioning.added
        result: Tensor = self.dropout(self.norm(x))
        return result

    def _replaced(self, x: Tensor, positions: Tensor, told: Conditioning) -> Tensor:
        """Return token vectors (batch, time, width) with those of the start and of hidden ids replaced."""
        first = rearrange((positions == 0).expand(x.shape[:2]), "b t -> b t 1")
        if told.start is not None:
            x = torch.where(first, told.start.to(x.dtype)[:, None], x)
        if told.classes is not None:
            if self.classes is None:
                raise ZooError("this model was trained without classes; leave the label out")
            known = rearrange(told.classes >= 0, "b -> b 1 1")
            x = torch.where(first & known, self.classes(told.classes.clamp(min=0))[:, None], x)
        if told.visible is not None:
            x = x * rearrange(told.visible, "b t -> b t 1").to(x.dtype)
        return x

    def new_recent(self, batch: int) -> Tensor | None:
        """Return what a cache of so many rows remembers of token vectors before it has seen any; None for nothing."""
        if self.recent is None:
            return None
        return self.tokens.weight.new_zeros(batch, self.recent.count - 1, self.recent.width)

    def matrices(self) -> Iterator[tuple[Role, Tensor]]:
        """Yield every table with what it is for."""
        yield Role.TOKENS, self.tokens.weight
        if self.positions is not None:
            yield Role.POSITIONS, self.positions.weight
        if self.segments is not None:
            yield Role.TOKENS, self.segments.weight
        if self.classes is not None:
            yield Role.TOKENS, self.classes.weight
        if self.recent is not None:
            yield Role.FEEDFORWARD_OUTPUT, self.recent.mix.weight
