"""A running average of the weights, which generalises better than the last weights (Polyak averaging)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from zoo.errors import ZooError


class Average:
    """Exponential moving average of a network's parameters.

    The decay rises from 0.18 at the first update to ``decay``, so that the random start is soon forgotten. (Jukebox's
    priors average with ``decay`` from the first update on, which is the same after about ``9 / (1 - decay)`` of them.)

    Args:
        network: its current parameters are the first average.
        decay: in (0, 1); 0.999 looks back about a thousand updates.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.names = [name for name, _ in network.named_parameters()]
        self.parameters = [parameter for _, parameter in network.named_parameters()]
        self.values = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the parameters after update number ``step`` (from 1)."""
        weight = 1.0 - min(self.decay, (1.0 + step) / (10.0 + step))
        torch._foreach_lerp_(self.values, [parameter.detach() for parameter in self.parameters], weight)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Let the network use the averages inside the block; tensors change places, nothing is copied."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for index, parameter in enumerate(self.parameters):
            parameter.data, self.values[index] = self.values[index], parameter.data

    def state(self) -> dict[str, Tensor]:
        """Return the averages by parameter name."""
        return dict(zip(self.names, self.values, strict=True))

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what ``state`` gave."""
        if set(tensors) != set(self.names):
            raise ZooError("the saved average of the weights belongs to another network; start over in another out=DIR")
        for name, value in zip(self.names, self.values, strict=True):
            value.copy_(tensors[name])
