"""Every kind of network there is, as one annotation that recipes and checkpoints are built by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from zoo.errors import ZooError
from zoo.music.config import PriorConfig
from zoo.music.prior import Prior
from zoo.network import Network
from zoo.recurrent import RecurrentConfig, RecurrentNetwork
from zoo.transformer.config import TransformerConfig
from zoo.transformer.model import Transformer

NetworkConfig = TransformerConfig | RecurrentConfig | PriorConfig
AnyNetwork = Transformer | RecurrentNetwork | Prior
Module = TypeVar("Module", bound=nn.Module)


def build_network(config: NetworkConfig) -> AnyNetwork:
    """Return the network that ``config`` describes, its weights drawn from torch's global generator."""
    if isinstance(config, TransformerConfig):
        return Transformer(config)
    if isinstance(config, PriorConfig):
        return Prior(config)
    return RecurrentNetwork(config)


def body_of(network: AnyNetwork) -> Transformer | RecurrentNetwork:
    """Return what the layers of a network are in, and its head: itself, or the transformer of a prior."""
    return network.transformer if isinstance(network, Prior) else network


def layers_of(network: AnyNetwork) -> nn.ModuleList:
    """Return the blocks of a transformer, or the layers of a recurrent network, the first one first."""
    body = body_of(network)
    return body.layers if isinstance(body, RecurrentNetwork) else body.blocks


def outline(config: NetworkConfig) -> AnyNetwork:
    """Return the network on torch's meta device: all shapes, no memory, and nothing drawn.

    Raises:
        ZooError: sizes beyond what a tensor can have.
    """
    return outlined(lambda: build_network(config))


def outlined(make: Callable[[], Module]) -> Module:
    """Return what ``make`` makes on torch's meta device; see ``outline``."""
    try:
        with torch.device("meta"), _Undrawn():
            return make()
    except (TypeError, RuntimeError, OverflowError):
        raise ZooError("these settings make no network: no tensor can be this large") from None


class _Undrawn(TorchFunctionMode):
    """Leaves out ``nn.init.normal_``: on the meta device it draws nothing, but imports 150 MB of torch to do so."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run ``func``, or return its tensor as it is."""
        given = kwargs or {}
        if func is not nn.init.normal_:
            return func(*args, **given)
        return args[0] if args else given["tensor"]


def count_parameters(network: nn.Module | Network) -> int:
    """Return the number of trainable numbers, shared ones counted once."""
    assert isinstance(network, nn.Module)
    return sum(parameter.numel() for parameter in network.parameters())
