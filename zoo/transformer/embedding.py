"""From ids to the first hidden state: tokens, positions, segments and conditioning, summed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.network import Conditioning
from zoo.transformer.initial import Role

if TYPE_CHECKING:
    from zoo.transformer.config import TransformerConfig


class Embedding(nn.Module):
    """Sum of token, position and segment vectors and of the per-position condition, then norm (BERT) and dropout.

    The start vector of a condition takes the place of the token vector at position 0.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocabulary, config.width)
        self.positions = config.positions.table(config.context, config.width)
        self.segments = nn.Embedding(config.segments, config.width) if config.segments else None
        self.norm = config.norm.build(config.width) if config.embedding_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids: Tensor, positions: Tensor, conditioning: Conditioning | None) -> Tensor:
        """Return (batch, time, width).

        Args:
            ids: (batch, time) int64.
            positions: (time,) or (batch, time) int64, where the ids stand.
            conditioning: see ``zoo.network.Conditioning``.
        """
        x = self.tokens(ids)
        if conditioning is not None and conditioning.start is not None:
            first = (positions == 0).expand(ids.shape)[..., None]
            x = torch.where(first, conditioning.start.to(x.dtype)[:, None], x)
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

    def matrices(self) -> Iterator[tuple[Role, Tensor]]:
        """Yield every table with what it is for."""
        yield Role.TOKENS, self.tokens.weight
        if self.positions is not None:
            yield Role.POSITIONS, self.positions.weight
        if self.segments is not None:
            yield Role.TOKENS, self.segments.weight
