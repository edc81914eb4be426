"""One layer: attention and feed-forward around the residual stream, with the norm before or after."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from zoo.transformer.attention import Attention
from zoo.transformer.cache import LayerCache, MemoryCache
from zoo.transformer.feedforward import FeedForward
from zoo.transformer.norm import Norm
from zoo.transformer.route import Call, Layer


class Block(nn.Module, ABC):
    """What both orders share: the four parts."""

    def __init__(self, width: int, norm: Norm, attention: Attention, feedforward: FeedForward) -> None:
        super().__init__()
        self.attention_norm = norm.build(width)
        self.attention = attention
        self.feedforward_norm = norm.build(width)
        self.feedforward = feedforward

    def normalised(self, x: Tensor) -> Tensor:
        """Return what the attention reads of the residual stream, (batch, time, width) -> (batch, time, width)."""
        return x

    @abstractmethod
    def planned(self, cache: LayerCache | MemoryCache, rows: int) -> Layer:
        """Return what ``forward`` does in a step of ``rows`` rows on a CPU, as a function alone."""


class PreNormBlock(Block):
    def normalised(self, x: Tensor) -> Tensor:
        """(batch, time, width) -> (batch, time, width)."""
        result: Tensor = self.attention_norm(x)
        return result

    def forward(self, x: Tensor, call: Call, cache: LayerCache | MemoryCache | None) -> Tensor:
        """(batch, time, width) -> (batch, time, width)."""
        x = x + self.attention(self.normalised(x), call, cache)
        result: Tensor = x + self.feedforward(self.feedforward_norm(x))
        return result

    def planned(self, cache: LayerCache | MemoryCache, rows: int) -> Layer:
        """Return ``forward`` in a step, as a function alone."""
        attend, feed = self.attention.planned(cache, rows), self.feedforward.planned(rows)
        before, between = self.attention_norm.planned(), self.feedforward_norm.planned()

        def forward(x: Tensor, call: Call) -> Tensor:
            x = x + attend(before(x), call)
            return x + feed(between(x))

        return forward


class PostNormBlock(Block):
    def forward(self, x: Tensor, call: Call, cache: LayerCache | MemoryCache | None) -> Tensor:
        """(batch, time, width) -> (batch, time, width)."""
        x = self.attention_norm(x + self.attention(x, call, cache))
        result: Tensor = self.feedforward_norm(x + self.feedforward(x))
        return result

    def planned(self, cache: LayerCache | MemoryCache, rows: int) -> Layer:
        """Return ``forward`` in a step, as a function alone."""
        attend, feed = self.attention.planned(cache, rows), self.feedforward.planned(rows)
        between, after = self.attention_norm.planned(), self.feedforward_norm.planned()

        def forward(x: Tensor, call: Call) -> Tensor:
            x = between(x + attend(x, call))
            return after(x + feed(x))

        return forward


@dataclass(frozen=True, kw_only=True)
class PreNorm:
    """``x + f(norm(x))`` for both halves. GPT-2 (Radford et al. 2019, section 2.3) and everything since."""

    def build(self, width: int, norm: Norm, attention: Attention, feedforward: FeedForward) -> Block:
        """Return the module."""
        return PreNormBlock(width, norm, attention, feedforward)


@dataclass(frozen=True, kw_only=True)
class PostNorm:
    """``norm(x + f(x))`` for both halves. Vaswani et al. 2017, section 3.1; GPT-1, BERT."""

    def build(self, width: int, norm: Norm, attention: Attention, feedforward: FeedForward) -> Block:
        """Return the module."""
        return PostNormBlock(width, norm, attention, feedforward)


BlockKind = PreNorm | PostNorm
