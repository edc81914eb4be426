"""What the logits of a head mean: one label, any number of labels, or one of several sequences."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from zoo.classify.scores import Report, of_choices, of_labels, of_several
from zoo.errors import ZooError
from zoo.transformer.heads import Head, MultiLabel, MultipleChoice, Span

Together = Literal["sum", "mean"]
"""What the logits of a sample's rows come to: those of both orders of a pair are added (Radford et al. 2018, section
3.3), those of a sound's windows, of which there are more or fewer, averaged."""


class Kind(ABC):
    """From the logits of rows to losses, probabilities and figures of samples."""

    @abstractmethod
    def gathered(self, logits: Tensor, groups: Tensor) -> Tensor:
        """Return the logits of samples (samples, labels) from those of rows (rows, labels or 1).

        Args:
            logits: of rows, the rows of a sample one after another.
            groups: int64 (rows,), the sample of each.
        """

    @abstractmethod
    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the summed loss in nats, a float32 scalar, of logits (samples, labels)."""

    @abstractmethod
    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probability of each label, float32 (samples, labels)."""

    @abstractmethod
    def report(self, probabilities: Tensor, labels: Tensor, names: Sequence[str]) -> Report:
        """Return figures of what was said (samples, labels) against what is right."""


@dataclass(frozen=True, kw_only=True)
class OneLabel(Kind):
    """A sample has one label: softmax.

    Attributes:
        weights: what a sample of each label counts in the loss, about 1 on average; empty where all count alike.
        together: what the logits of its rows come to.
    """

    weights: tuple[float, ...] = ()
    together: Together = "sum"

    def gathered(self, logits: Tensor, groups: Tensor) -> Tensor:
        """Return the sum or mean over the rows of each sample."""
        counts = torch.bincount(groups)
        total = logits.new_zeros(len(counts), logits.shape[1]).index_add(0, groups, logits)
        return total / counts[:, None] if self.together == "mean" else total

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the summed cross-entropy."""
        weights = logits.new_tensor(self.weights) if self.weights else None
        return functional.cross_entropy(logits.float(), labels, weight=weights, reduction="sum")

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the softmax."""
        return logits.float().softmax(dim=-1)

    def report(self, probabilities: Tensor, labels: Tensor, names: Sequence[str]) -> Report:
        """Return accuracy, F1, calibration and who is taken for whom."""
        return of_labels(probabilities.double().numpy(), labels.numpy(), names)


@dataclass(frozen=True, kw_only=True)
class SeveralLabels(Kind):
    """A sample has any number of labels: a sigmoid each.

    Attributes:
        weights: what a sample that has a label counts in that label's loss; empty for 1.
        together: what the logits of its rows come to.
    """

    weights: tuple[float, ...] = ()
    together: Together = "sum"

    def gathered(self, logits: Tensor, groups: Tensor) -> Tensor:
        """Return the sum or mean over the rows of each sample."""
        return OneLabel(together=self.together).gathered(logits, groups)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the summed mean over labels of binary cross-entropies; ``labels`` (samples, labels) are 0 or 1."""
        weights = logits.new_tensor(self.weights) if self.weights else None
        each = functional.binary_cross_entropy_with_logits(
            logits.float(), labels.float(), pos_weight=weights, reduction="none"
        )
        return each.mean(dim=-1).sum()

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the sigmoids."""
        return logits.float().sigmoid()

    def report(self, probabilities: Tensor, labels: Tensor, names: Sequence[str]) -> Report:
        """Return how often all labels are right, and F1 of each."""
        return of_several(probabilities.double().numpy(), labels.numpy() > 0.5, names)


@dataclass(frozen=True, kw_only=True)
class Choices(Kind):
    """One of the rows of a sample is right: softmax over them (Radford et al. 2018, section 3.3)."""

    def gathered(self, logits: Tensor, groups: Tensor) -> Tensor:
        """Return (samples, most choices) of (rows, 1), minus infinity where a sample has fewer choices."""
        counts = torch.bincount(groups)
        firsts = counts.cumsum(0) - counts
        places = torch.arange(len(groups), device=groups.device) - firsts[groups]
        gathered = logits.new_full((len(counts), int(counts.max())), -torch.inf)
        return gathered.index_put((groups, places), logits[:, 0])

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the summed cross-entropy."""
        return OneLabel().loss(logits, labels)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the softmax."""
        return OneLabel().probabilities(logits)

    def report(self, probabilities: Tensor, labels: Tensor, names: Sequence[str]) -> Report:
        """Return accuracy and calibration: choices have no names to be taken for each other."""
        return of_choices(probabilities.double().numpy(), labels.numpy())


AnyKind: TypeAlias = OneLabel | SeveralLabels | Choices


def kind_of(head: Head | None, *, together: Together = "sum") -> AnyKind:
    """Return what the logits of a head mean.

    Args:
        head: of a network.
        together: what those of a sample's rows come to, where they are of labels.

    Raises:
        ZooError: no head, or one whose logits are of positions.
    """
    if head is None or isinstance(head, Span):
        what = "no head that classifies" if head is None else "a head that finds answers, not labels"
        raise ZooError(f"this model has {what}; give it one with 'zoo finetune CHECKPOINT data.path=PATH'")
    if isinstance(head, MultipleChoice):
        return Choices()
    return (SeveralLabels if isinstance(head, MultiLabel) else OneLabel)(together=together)
