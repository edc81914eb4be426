"""How a transformer knows where a token stands: value objects, and the rotation of queries and keys."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn

from zoo.errors import ZooError


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A learned vector for each position, added to the embedding (GPT-1 onwards, BERT, Image GPT, Jukebox)."""

    def table(self, context: int, width: int) -> nn.Embedding | None:
        """Return the (context, width) table that is added to the embedding."""
        return nn.Embedding(context, width)

    def rotation(self, head_width: int) -> Rotation | None:
        """Return what turns queries and keys, None if nothing does."""
        return None


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """Queries and keys are turned by angles that grow with the position. Su et al. 2021, equation 34.

    Attributes:
        base: wavelength of the slowest pair, in units of 2 pi positions.
    """

    base: float = 10000.0

    def __post_init__(self) -> None:
        if not self.base > 1:
            raise ZooError(f"base must be greater than 1, got {self.base}")

    def table(self, context: int, width: int) -> nn.Embedding | None:
        """Return None: nothing is added to the embedding."""
        return None

    def rotation(self, head_width: int) -> Rotation | None:
        """Return what turns queries and keys of ``head_width``, which must be even."""
        if head_width % 2:
            raise ZooError(f"rotary positions need an even width per head, got {head_width}")
        return Rotation(self.base, head_width)


@dataclass(frozen=True, kw_only=True)
class NoPositions:
    """No positions: order is known from the causal mask alone, or from conditioning."""

    def table(self, context: int, width: int) -> nn.Embedding | None:
        """Return None: nothing is added to the embedding."""
        return None

    def rotation(self, head_width: int) -> Rotation | None:
        """Return None: nothing is turned."""
        return None


Positions = Learned | Rotary | NoPositions
Angles = tuple[Tensor, Tensor]
"""Cosines and sines, each (..., 1, time, head_width)."""


class Rotation(nn.Module):
    """Turns pairs (feature i, feature i + head_width / 2) by ``position * base ** (-2 i / head_width)``."""

    def __init__(self, base: float, head_width: int) -> None:
        super().__init__()
        self.base = base
        self.head_width = head_width

    def angles(self, positions: Tensor) -> Angles:
        """Return cosines and sines for ``positions`` (time,) or (batch, time), each (..., 1, time, head_width)."""
        exponent = torch.arange(0, self.head_width, 2, device=positions.device, dtype=torch.float32) / self.head_width
        angle = positions[..., None].float() * self.base**-exponent
        angle = rearrange(torch.cat((angle, angle), dim=-1), "... time feature -> ... 1 time feature")
        return angle.cos(), angle.sin()

    def forward(self, x: Tensor, angles: Angles) -> Tensor:
        """Turn queries or keys (batch, heads, time, head_width)."""
        cosine, sine = angles
        first, second = x.float().chunk(2, dim=-1)
        turned = x.float() * cosine + torch.cat((-second, first), dim=-1) * sine
        return turned.to(x.dtype)
