"""The feed-forward half of a block, as value objects that build modules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from zoo.errors import ZooError
from zoo.transformer.linear import Linear, Rows

ActivationName = Literal["gelu", "gelu_tanh", "quick_gelu", "relu", "silu"]


def activation(name: ActivationName) -> Callable[[Tensor], Tensor]:
    """Return the elementwise function that recipes call ``name``."""
    return _ACTIVATIONS[name]


def _gelu_tanh(x: Tensor) -> Tensor:
    """Hendrycks and Gimpel 2016, section 2: ``0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))``."""
    return functional.gelu(x, approximate="tanh")


def _quick_gelu(x: Tensor) -> Tensor:
    """Hendrycks and Gimpel 2016, section 2: ``x sigmoid(1.702 x)``, as a ``silu``, whose gradient is one operation."""
    return functional.silu(1.702 * x) * (1 / 1.702)


_ACTIVATIONS: dict[ActivationName, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_tanh": _gelu_tanh,
    "quick_gelu": _quick_gelu,
    "relu": functional.relu,
    "silu": functional.silu,
}


@dataclass(frozen=True, kw_only=True)
class Mlp:
    """``output(activation(input(x)))``. Vaswani et al. 2017, equation 2.

    Attributes:
        activation: elementwise, between the two matrices.
        ratio: hidden width as a ratio of the width, so that ``hidden`` finds back any whole number over the width.
    """

    activation: ActivationName = "gelu_tanh"
    ratio: float = 4.0

    def __post_init__(self) -> None:
        _check_ratio(self.ratio)

    def hidden(self, width: int) -> int:
        """Return the hidden width."""
        return round(self.ratio * width)

    def build(self, width: int, *, bias: bool, dropout: float) -> FeedForward:
        """Return the module (batch, time, width) -> (batch, time, width)."""
        return PlainFeedForward(width, self.hidden(width), activation(self.activation), bias, dropout)


@dataclass(frozen=True, kw_only=True)
class GatedMlp:
    """``output(activation(gate(x)) * input(x))``. Shazeer 2020, equation 6; 8/3 costs what 4 costs without a gate."""

    activation: ActivationName = "silu"
    ratio: float = 8 / 3

    def __post_init__(self) -> None:
        _check_ratio(self.ratio)

    def build(self, width: int, *, bias: bool, dropout: float) -> FeedForward:
        """Return the module (batch, time, width) -> (batch, time, width)."""
        return GatedFeedForward(width, int(self.ratio * width), activation(self.activation), bias, dropout)


FeedForwardKind = Mlp | GatedMlp


class FeedForward(nn.Module):
    """What both kinds share: an ``input`` and an ``output`` matrix, known by these names to the initialisers."""

    input: Linear
    output: Linear

    def planned(self, rows: int) -> Rows:
        """Return what ``forward`` does to ``rows`` rows from which nothing is learned, as a function alone."""
        raise AssertionError("every kind has its own")


class PlainFeedForward(FeedForward):
    def __init__(
        self, width: int, hidden: int, activate: Callable[[Tensor], Tensor], bias: bool, dropout: float
    ) -> None:
        super().__init__()
        self.input = Linear(width, hidden, bias=bias)
        self.output = Linear(hidden, width, bias=bias)
        self.activate = activate
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, width) -> (batch, time, width)."""
        hidden: Tensor = self.activate(self.input(x))
        result: Tensor = self.dropout(self.output(hidden))
        return result

    def planned(self, rows: int) -> Rows:
        """Return ``forward`` for (rows, width) as a function alone."""
        first, activate, second = self.input.planned(rows), self.activate, self.output.planned(rows)
        return lambda x: second(activate(first(x)))


class GatedFeedForward(FeedForward):
    def __init__(
        self, width: int, hidden: int, activate: Callable[[Tensor], Tensor], bias: bool, dropout: float
    ) -> None:
        super().__init__()
        self.input = Linear(width, 2 * hidden, bias=bias)  # gate and value in one matrix product
        self.output = Linear(hidden, width, bias=bias)
        self.activate = activate
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, width) -> (batch, time, width)."""
        gate, value = self.input(x).chunk(2, dim=-1)
        result: Tensor = self.dropout(self.output(self.activate(gate) * value))
        return result

    def planned(self, rows: int) -> Rows:
        """Return ``forward`` for (rows, width) as a function alone."""
        first, activate, second = self.input.planned(rows), self.activate, self.output.planned(rows)

        def forward(x: Tensor) -> Tensor:
            gate, value = first(x).chunk(2, dim=1)
            return second(activate(gate) * value)

        return forward


def _check_ratio(ratio: float) -> None:
    if not 0 < ratio <= 64:
        raise ZooError(f"ratio must lie in (0, 64], got {ratio}")
