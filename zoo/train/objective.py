"""What is minimised: values that turn a network and a batch into summed nats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from zoo.data.base import IGNORED, Batch

# An objective is a sum of terms, each a mean over things of its own. ``counts`` says how many of them a batch has,
# ``nats`` their summed loss: the loop adds up both over all micro-batches of an update before it divides.


@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """Negative log-likelihood of the targets, in nats, positions with IGNORED left out."""

    def counts(self, batch: Batch) -> tuple[int, ...]:
        """Return how many ids of a batch (on the CPU) are predicted."""
        return (predicted(batch),)

    def nats(self, network: Any, batch: Batch) -> tuple[Tensor, ...]:
        """Return the summed loss of ``batch``, a float32 scalar.

        Args:
            network: a ``zoo.network.Network``, perhaps compiled.
            batch: on its device.
        """
        logits = network(batch.ids, lengths=batch.lengths, conditioning=batch.conditioning)
        return (summed(logits.flatten(0, -2), batch.targets.flatten()),)


@dataclass(frozen=True, kw_only=True)
class MaskedLanguageModel:
    """The mean loss of the masked ids, plus that of the rows' labels where there are any (next sentence prediction).

    Devlin et al. 2018, appendix A.2. Only positions with a target meet the vocabulary.
    """

    def counts(self, batch: Batch) -> tuple[int, ...]:
        """Return how many ids of a batch (on the CPU) are predicted, and how many labels."""
        return (predicted(batch),) if batch.labels is None else (predicted(batch), len(batch.labels))

    def nats(self, network: Any, batch: Batch) -> tuple[Tensor, ...]:
        """Return the summed losses of ids and of labels, float32 scalars; see ``CrossEntropy``.

        Raises:
            ZooError: labels, and a network without a head for them.
        """
        hidden = network.hidden(batch.ids, lengths=batch.lengths, conditioning=batch.conditioning)
        wanted = batch.targets != IGNORED
        ids = summed(network.head(hidden[wanted]), batch.targets[wanted])
        if batch.labels is None:
            return (ids,)
        return ids, summed(network.classify(hidden, lengths=batch.lengths), batch.labels)


Objective: TypeAlias = CrossEntropy | MaskedLanguageModel


def predicted(batch: Batch) -> int:
    """Return how many ids of a batch have a target."""
    return int((batch.targets != IGNORED).sum())


def summed(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the summed loss of logits (rows, classes) in nats; targets (rows,) that are IGNORED count nothing."""
    # The log-softmax converts while it reads, so half-precision logits are never held a second time in float32.
    logs = torch.log_softmax(logits, dim=-1, dtype=torch.float32)
    return nn.functional.nll_loss(logs, targets, ignore_index=IGNORED, reduction="sum")
