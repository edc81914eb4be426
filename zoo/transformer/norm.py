"""Normalisation over the width, as value objects that build modules."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from zoo.errors import ZooError
from zoo.transformer.linear import Rows


@dataclass(frozen=True, kw_only=True)
class LayerNorm:
    """Mean removed, variance one, then a gain and (if ``bias``) an offset. Ba et al. 2016, equation 4."""

    eps: float = 1e-5
    bias: bool = True

    def __post_init__(self) -> None:
        _check_eps(self.eps)

    def build(self, width: int) -> PlannedLayerNorm:
        """Return the module for (..., width)."""
        return PlannedLayerNorm(width, eps=self.eps, bias=self.bias)


@dataclass(frozen=True, kw_only=True)
class RMSNorm:
    """``x / sqrt(mean(x^2) + eps) * gain``: no mean removal, no offset. Image GPT's norm; Zhang and Sennrich 2019."""

    eps: float = 1e-5

    def __post_init__(self) -> None:
        _check_eps(self.eps)

    def build(self, width: int) -> PlannedRMSNorm:
        """Return the module for (..., width)."""
        return PlannedRMSNorm(width, eps=self.eps)


class PlannedLayerNorm(nn.LayerNorm):
    """``nn.LayerNorm``, which also is a function alone."""

    def planned(self) -> Rows:
        """Return what ``forward`` does as a function of (rows, width)."""
        shape, weight, bias, eps = self.normalized_shape, self.weight, self.bias, self.eps
        return lambda x: torch.layer_norm(x, shape, weight, bias, eps)


class PlannedRMSNorm(nn.RMSNorm):
    """``nn.RMSNorm``, which also is a function alone.

    torch makes it of eight small operations, but LayerNorm of one; of x and -x together, whose mean is 0 and whose
    variance is the mean square of x, that is the same.
    """

    def planned(self) -> Rows:
        """Return what ``forward`` does as a function of (rows, width), for few rows."""
        width, gains, eps = len(self.weight), torch.cat((self.weight, self.weight)), self.eps or 0.0
        return lambda x: torch.layer_norm(torch.cat((x, -x), dim=1), (2 * width,), gains, eps=eps).narrow(1, 0, width)


Norm = LayerNorm | RMSNorm


def _check_eps(eps: float) -> None:
    if not 0 < eps < 1:
        raise ZooError(f"eps must lie in (0, 1), got {eps}")
