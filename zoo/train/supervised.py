"""What a head learns: labels of samples, or where answers stand, and beside them the next ids."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from zoo.classify.kinds import AnyKind, OneLabel
from zoo.data.base import Batch
from zoo.errors import ZooError
from zoo.evaluate.language_model import Autocast, EvaluationStopped, ShouldStop
from zoo.generate.sampler import device_of, evaluation_mode
from zoo.train.objective import Objective, predicted, summed


@dataclass(frozen=True, kw_only=True)
class OfHead(Objective):
    """The loss of a network's head, a mean over samples, plus ``generative`` times that of the next ids.

    Radford et al. 2018, equation 5 (0.5); Chen et al. 2020, section 2.3 (1). The mean over ids is over a whole update.

    Attributes:
        generative: weight of the loss of ids; 0 leaves it out.
    """

    unit: ClassVar[str] = "samples"

    generative: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.generative < float("inf"):
            raise ZooError(f"generative must not be negative, got {self.generative}")

    def counts(self, batch: Batch) -> tuple[int, ...]:
        """Return the number of samples, and of ids that are predicted."""
        assert batch.labels is not None
        return (len(batch.labels), predicted(batch)) if self.generative else (len(batch.labels),)

    def losses(self, network: Any, batch: Batch) -> tuple[Tensor, ...]:
        """Return the summed loss of the head, and ``generative`` times that of the ids."""
        logits, hidden = network.judge(
            batch.ids, lengths=batch.lengths, conditioning=batch.conditioning, whole=bool(self.generative)
        )
        of_head = self.of_head(logits, batch)
        if hidden is None:
            return (of_head,)
        of_ids = summed(network.head(hidden).flatten(0, -2), batch.targets.flatten())
        return of_head, self.generative * of_ids

    def report(self, means: Sequence[float], network: Any, data: Any) -> dict[str, float]:
        """Return the loss of the head, and that of the ids as it is without its weight."""
        of_ids = {"generative_loss": means[1] / self.generative} if self.generative else {}
        return {"loss": means[0], **of_ids}

    @abstractmethod
    def of_head(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the summed loss of the head's logits."""

    def evaluate(
        self, network: Any, data: Any, *, batch: int, autocast: Autocast, should_stop: ShouldStop
    ) -> dict[str, Any]:
        """Return the figures of the validation part."""
        found = said(network, data.held_out(batch), autocast=autocast, should_stop=should_stop)
        return dict(data.measure(found).metrics)


@dataclass(frozen=True, kw_only=True)
class Labels(OfHead):
    """Labels of samples.

    Attributes:
        kind: what the logits mean.
    """

    kind: AnyKind = OneLabel()

    def of_head(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the summed loss of the samples' labels."""
        assert batch.groups is not None
        assert batch.labels is not None
        return self.kind.loss(self.kind.gathered(logits, batch.groups), batch.labels)


@dataclass(frozen=True, kw_only=True)
class Spans(OfHead):
    """Where answers begin and end: the mean of both losses, as in their code. Devlin et al. 2018, section 4.2."""

    def of_head(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the summed loss of begins and ends, int64 (batch, 2), over the positions of each row."""
        assert batch.labels is not None
        if batch.lengths is not None:
            places = torch.arange(logits.shape[1], device=logits.device)
            logits = logits.masked_fill((places >= batch.lengths[:, None])[..., None], -torch.inf)
        begins, ends = (summed(logits[..., part], batch.labels[:, part]) for part in (0, 1))
        return (begins + ends) / 2


def said(
    network: Any, batches: Any, *, autocast: Autocast, should_stop: ShouldStop | None = None
) -> list[tuple[Tensor, Batch]]:
    """Return the head's logits of each batch, float32 on the CPU, beside the batch.

    Raises:
        EvaluationStopped: ``should_stop`` said so.
    """
    found = []
    with evaluation_mode(network), torch.inference_mode():
        for rows in batches:
            if should_stop is not None and should_stop():
                raise EvaluationStopped
            there = rows.to(device_of(network))
            with autocast():
                logits, _ = network.judge(there.ids, lengths=there.lengths, conditioning=there.conditioning)
            found.append((logits.float().cpu(), rows))
    return found
