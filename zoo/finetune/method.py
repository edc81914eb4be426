"""Which weights of a network learn when it is fine-tuned: values, one class for each way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from torch import Tensor, nn

from zoo.architecture import AnyNetwork, body_of, layers_of
from zoo.errors import ZooError
from zoo.finetune import low_rank

FASTEST_HEAD, FASTEST_LOW_RANK = 1e-2, 3e-3
"""Learning rates of a head alone, and at most of low-rank changes."""
HEADS = ("pooler", "classifier")
AFTER = ("final_norm", "transform", "output", *HEADS)
"""What stands after the blocks."""


class MethodSettings(ABC):
    """A way to learn: which weights do, how fast, and what they become."""

    grows: ClassVar[bool] = False
    """Token vectors learn, so that a vocabulary can be given new ids."""
    frozen: ClassVar[bool] = False
    """Nothing learns but the head."""

    @abstractmethod
    def choose(self, network: AnyNetwork) -> None:
        """Let the weights learn that should (``requires_grad``), and no others.

        Raises:
            ZooError: a network that has no such weights.
        """

    def rate(self, usual: float) -> float:
        """Return the learning rate, where ``usual`` is that of all weights."""
        return usual

    def published(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the weights of a plain network that computes what the one that learnt does."""
        return weights

    def settle(self, network: nn.Module) -> None:  # noqa: B027  # most ways leave it one
        """Make the network a plain one again, which has the names of ``published``."""


@dataclass(frozen=True, kw_only=True)
class Full(MethodSettings):
    """Every weight learns."""

    grows: ClassVar[bool] = True

    def choose(self, network: AnyNetwork) -> None:
        """Let every weight learn."""
        network.requires_grad_(True)


@dataclass(frozen=True, kw_only=True)
class Head(MethodSettings):
    """Only the new head learns (and BERT's pooler before it)."""

    frozen: ClassVar[bool] = True

    def choose(self, network: AnyNetwork) -> None:
        """Let the head learn.

        Raises:
            ZooError: the network has none.
        """
        if body_of(network).classifier is None:
            raise ZooError("method=head: there is no new head to learn; use method=full, last or lora")
        network.requires_grad_(False)
        _learn(network, HEADS)

    def rate(self, usual: float) -> float:
        """Return a rate that is not held back by weights that could forget."""
        return FASTEST_HEAD


@dataclass(frozen=True, kw_only=True)
class Last(MethodSettings):
    """The last blocks learn, and what stands after them; embeddings, and an output tied to them, do not.

    Attributes:
        blocks: how many.
    """

    blocks: int = 2

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise ZooError(f"method.blocks is at least 1, got {self.blocks}")

    def choose(self, network: AnyNetwork) -> None:
        """Let the last blocks learn, and what stands after them.

        Raises:
            ZooError: the network has not so many.
        """
        blocks = layers_of(network)
        if self.blocks > len(blocks):
            raise ZooError(f"method.blocks must be at most {len(blocks)}, the network's layers; got {self.blocks}")
        network.requires_grad_(False)
        blocks[-self.blocks :].requires_grad_(True)
        _learn(network, AFTER)


@dataclass(frozen=True, kw_only=True)
class Lora(MethodSettings):
    """Every matrix of the blocks learns a change of low rank, and the head learns whole (Hu et al. 2021).

    The folder of the run holds the merged weights, and the changes apart in ``adapter/``.

    Attributes:
        rank: of the changes.
        alpha: they are scaled by ``alpha / rank``.
    """

    rank: int = 8
    alpha: float = 16.0

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ZooError(f"method.rank is at least 1, got {self.rank}")
        if not 0 < self.alpha < float("inf"):
            raise ZooError(f"method.alpha is positive, got {self.alpha}")

    def choose(self, network: AnyNetwork) -> None:
        """Let changes of the matrices learn.

        Raises:
            ZooError: the network has no matrices to change.
        """
        network.requires_grad_(False)
        low_rank.insert(network, rank=self.rank, scale=self.alpha / self.rank)
        _learn(network, HEADS)

    def rate(self, usual: float) -> float:
        """Return ten times the rate of all weights: few numbers have to go far."""
        return min(FASTEST_LOW_RANK, 10 * usual)

    def published(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the matrices with their changes in them."""
        return low_rank.merged(weights, scale=self.alpha / self.rank)

    def settle(self, network: nn.Module) -> None:
        """Put the changes into the matrices."""
        low_rank.remove(network)


def _learn(network: AnyNetwork, names: tuple[str, ...]) -> None:
    for name in names:
        part = getattr(body_of(network), name, None)
        if isinstance(part, nn.Module):
            part.requires_grad_(True)


Method: TypeAlias = Full | Head | Last | Lora
