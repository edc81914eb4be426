"""Every kind of network there is, as one annotation that recipes and checkpoints are built by."""

from __future__ import annotations

from torch import nn

from zoo.network import Network
from zoo.recurrent import RecurrentConfig, RecurrentNetwork
from zoo.transformer.config import TransformerConfig
from zoo.transformer.model import Transformer

NetworkConfig = TransformerConfig | RecurrentConfig
AnyNetwork = Transformer | RecurrentNetwork


def build_network(config: NetworkConfig) -> AnyNetwork:
    """Return the network that ``config`` describes, its weights drawn from torch's global generator."""
    if isinstance(config, TransformerConfig):
        return Transformer(config)
    return RecurrentNetwork(config)


def count_parameters(network: nn.Module | Network) -> int:
    """Return the number of trainable numbers, shared ones counted once."""
    assert isinstance(network, nn.Module)
    return sum(parameter.numel() for parameter in network.parameters())
