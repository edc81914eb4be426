"""The ids just before each position, mixed into its vector before the first layer sees it.

A causal convolution over token vectors: attention finds out slowly that the last few ids matter together (in sound,
whose ids repeat with a note's period, that is nearly all there is to know), and a convolution knows their order from
the start. Token shift of RWKV (Peng et al. 2023, section 3.1) and the convolutions of "Physics of Language Models:
Part 4.1" (Allen-Zhu 2025) are of this kind.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from zoo.transformer.linear import Linear


class Recent(nn.Module):
    """Adds to every token vector a linear map of it and of the ``count - 1`` before it."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.count, self.width = count, width
        self.mix = Linear(count * width, width, bias=False)

    def forward(self, x: Tensor, before: Tensor | None) -> Tensor:
        """Return (batch, time, width), of as many vectors.

        Args:
            x: (batch, time, width).
            before: (batch, count - 1, width), the vectors in front of ``x``; None where there are none, as zeros.
        """
        if before is None:
            before = x.new_zeros(len(x), self.count - 1, self.width)
        windows = torch.cat((before.to(x.dtype), x), dim=1).unfold(1, self.count, 1)
        mixed: Tensor = self.mix(rearrange(windows, "b t w k -> b t (k w)"))
        return x + mixed

    def kept(self, x: Tensor, before: Tensor, lengths: Tensor | None) -> Tensor:
        """Return the ``before`` of what will follow ``x``, whose rows have ``lengths`` (batch,) real vectors."""
        whole = torch.cat((before, x.to(before.dtype)), dim=1)
        if lengths is None:
            return whole[:, x.shape[1] :].contiguous()
        places = lengths.to(x.device)[:, None] + torch.arange(self.count - 1, device=x.device)
        return whole.gather(1, rearrange(places, "b k -> b k 1").expand(-1, -1, self.width))
