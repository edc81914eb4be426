"""What is minimised: values that turn a network and a batch into summed nats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.data.base import IGNORED, Batch


@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """Negative log-likelihood of the targets, in nats, positions with IGNORED left out."""

    def count(self, batch: Batch) -> int:
        """Return how many ids of a batch (on the CPU) are predicted."""
        return int((batch.targets != IGNORED).sum())

    def nats(self, network: Callable[..., Tensor], batch: Batch) -> Tensor:
        """Return the summed loss of ``batch``, a float32 scalar."""
        logits = network(batch.ids, lengths=batch.lengths, conditioning=batch.conditioning)
        # The log-softmax converts while it reads, so half-precision logits are never held a second time in float32.
        logs = torch.log_softmax(logits.flatten(0, -2), dim=-1, dtype=torch.float32)
        return nn.functional.nll_loss(logs, batch.targets.flatten(), ignore_index=IGNORED, reduction="sum")
