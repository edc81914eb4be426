"""Which weights of a network learn when it is fine-tuned: values, one class for each way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from torch import nn

from zoo.errors import ZooError


@dataclass(frozen=True, kw_only=True)
class Full:
    """Every weight learns."""

    def choose(self, network: nn.Module) -> None:
        """Let the weights learn that should (``requires_grad``), and no others."""
        network.requires_grad_(True)


@dataclass(frozen=True, kw_only=True)
class Last:
    """The last blocks learn, and what stands after them; embeddings, and an output tied to them, do not.

    Attributes:
        blocks: how many.
    """

    blocks: int = 2

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise ZooError(f"method.blocks is at least 1, got {self.blocks}")

    def choose(self, network: nn.Module) -> None:
        """Let the weights learn that should (``requires_grad``), and no others.

        Raises:
            ZooError: the network has no blocks, or not so many.
        """
        blocks = getattr(network, "blocks", None)
        if not isinstance(blocks, nn.ModuleList):
            raise ZooError("method=last is for transformers, and this network has no blocks; use method=full")
        if self.blocks > len(blocks):
            raise ZooError(f"method.blocks: this network has {len(blocks)} blocks, got {self.blocks}")
        network.requires_grad_(False)
        after = (getattr(network, name, None) for name in ("final_norm", "transform", "output"))
        for part in (*blocks[-self.blocks :], *after):
            if isinstance(part, nn.Module):
                part.requires_grad_(True)


Method: TypeAlias = Full | Last
