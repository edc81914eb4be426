"""Blocks computed again for the gradient: the same numbers, less memory."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.transformer.config import TransformerConfig
from zoo.transformer.model import Transformer
from zoo.transformer.patterns import Block, Column, PreviousBlock
from zoo.transformer.recompute import recompute

CONFIG = TransformerConfig(
    vocabulary=50,
    context=64,
    width=32,
    depth=6,
    heads=4,
    dropout=0.1,
    patterns=(Block(size=8), Column(size=8), PreviousBlock(size=8)),
)


def learned(network: Transformer, ids: Tensor) -> tuple[Tensor, list[Tensor], int]:
    """Return the loss, every gradient, and how many numbers were kept for them."""
    kept = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.numel()
        return tensor

    torch.manual_seed(5)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = network(ids).square().mean()
    loss.backward()
    return loss.detach(), [weight.grad.clone() for weight in network.parameters() if weight.grad is not None], kept


def test_gradients_are_the_same_and_memory_is_not() -> None:
    torch.manual_seed(0)
    network = Transformer(CONFIG).train()
    ids = torch.randint(50, (2, 64))
    loss, gradients, kept = learned(network, ids)
    network.zero_grad()
    recompute(network)
    again, others, fewer = learned(network, ids)
    assert torch.equal(loss, again)
    assert len(gradients) == len(others) > 0
    assert all(torch.equal(one, other) for one, other in zip(gradients, others, strict=True))
    assert fewer < kept / 2
    with torch.no_grad():
        assert torch.isfinite(network(ids)).all()
