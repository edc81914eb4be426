"""Normalisation over the width, as value objects that build modules."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from zoo.errors import ZooError


@dataclass(frozen=True, kw_only=True)
class LayerNorm:
    """Mean removed, variance one, then a gain and (if ``bias``) an offset. Ba et al. 2016, equation 4."""

    eps: float = 1e-5
    bias: bool = True

    def __post_init__(self) -> None:
        _check_eps(self.eps)

    def build(self, width: int) -> nn.Module:
        """Return the module for (..., width)."""
        return nn.LayerNorm(width, eps=self.eps, bias=self.bias)


@dataclass(frozen=True, kw_only=True)
class RMSNorm:
    """``x / sqrt(mean(x^2) + eps) * gain``: no mean removal, no offset. Image GPT's norm; Zhang and Sennrich 2019."""

    eps: float = 1e-5

    def __post_init__(self) -> None:
        _check_eps(self.eps)

    def build(self, width: int) -> nn.Module:
        """Return the module for (..., width)."""
        return nn.RMSNorm(width, eps=self.eps)


Norm = LayerNorm | RMSNorm


def _check_eps(eps: float) -> None:
    if not 0 < eps < 1:
        raise ZooError(f"eps must lie in (0, 1), got {eps}")
