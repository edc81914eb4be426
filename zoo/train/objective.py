"""What is minimised: values that turn a network and a batch into summed losses, and say how well it has learnt."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.data.base import IGNORED, Batch
from zoo.errors import ZooError
from zoo.evaluate.language_model import Autocast, ShouldStop, evaluate
from zoo.train.log import Log


class Objective(ABC):
    """A sum of terms, each a mean over things of its own.

    ``counts`` says how many of them a batch has, ``losses`` their summed loss: the loop adds up both over all
    micro-batches of an update before it divides. The first count is what a run calls tokens.

    Attributes:
        unit: what people call these tokens.
    """

    unit: ClassVar[str] = "tokens"

    @abstractmethod
    def counts(self, batch: Any) -> tuple[int, ...]:
        """Return how many things each term is a mean over, of a batch on the CPU."""

    @abstractmethod
    def losses(self, network: Any, batch: Any) -> tuple[Tensor, ...]:
        """Return the summed loss of each term, float32 scalars.

        Args:
            network: what learns, perhaps compiled.
            batch: on its device.
        """

    def weights(self, network: Any) -> tuple[float, ...]:
        """Return what the mean of each term counts for; none for equal ones."""
        return ()

    @abstractmethod
    def report(self, means: Sequence[float], network: Any, data: Any) -> dict[str, float]:
        """Return what is told of an update: ``loss`` first, then whatever else has a name."""

    def words(self, told: Mapping[str, float]) -> str:
        """Return what people should see of a report beside its loss, in a few words."""
        return ""

    @abstractmethod
    def evaluate(
        self, network: Any, data: Any, *, batch: int, autocast: Autocast, should_stop: ShouldStop
    ) -> dict[str, Any]:
        """Return the metrics of the held-out part, ``loss`` among them; see ``zoo.evaluate``."""

    def show(self, network: Any, data: Any, log: Log, step: int) -> None:  # noqa: B027  # curves say all of ids
        """Put what can be heard and seen of the held-out part beside the curves."""

    def begin(self, network: nn.Module) -> None:  # noqa: B027  # most networks learn by gradients alone
        """An update begins: forget what a network has noted for one that was given up."""

    def settle(self, network: nn.Module) -> None:  # noqa: B027
        """The update is made: let the network learn what is not learnt by gradients (codebooks)."""


class OfIds(Objective):
    """What is learnt of ids: reported and evaluated in nats."""

    def report(self, means: Sequence[float], network: Any, data: Any) -> dict[str, float]:
        """Return the losses of ids and, where there are any, of labels."""
        return {"loss": means[0], **{f"{data.label_name}_loss": other for other in means[1:]}}

    def evaluate(
        self, network: Any, data: Any, *, batch: int, autocast: Autocast, should_stop: ShouldStop
    ) -> dict[str, Any]:
        """Return how well the held-out ids are predicted: see ``zoo.evaluate.language_model``."""
        return evaluate(network, data, batch=batch, autocast=autocast, should_stop=should_stop)


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(OfIds):
    """Negative log-likelihood of the targets, in nats, positions with IGNORED left out."""

    def counts(self, batch: Batch) -> tuple[int, ...]:
        """Return how many ids of a batch (on the CPU) are predicted."""
        return (predicted(batch),)

    def losses(self, network: Any, batch: Batch) -> tuple[Tensor, ...]:
        """Return the summed loss of ``batch``, a float32 scalar.

        Args:
            network: a ``zoo.network.Network``, perhaps compiled.
            batch: on its device.
        """
        logits = network(batch.ids, lengths=batch.lengths, conditioning=batch.conditioning)
        return (summed(logits.flatten(0, -2), batch.targets.flatten()),)


@dataclass(frozen=True, kw_only=True)
class MusicAndLyrics(OfIds):
    """The mean loss of music's ids, and that of the lyrics which a prior reads, weighted as Jukebox's code does.

    Each counts for the ids that it has in a window, and the lyrics for ``weight`` of their config besides. Without
    lyrics it is ``CrossEntropy``.

    Attributes:
        noise: share of the ids that are read which training replaces by others of the same batch, so that a prior
            learns to go on from ids that it would not have drawn better. Ours; 0 for none.
    """

    noise: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.noise < 1:
            raise ZooError(f"objective: noise must lie in [0, 1), got {self.noise}")

    def counts(self, batch: Batch) -> tuple[int, ...]:
        """Return how many ids of music, and of lyrics, a batch predicts."""
        told = batch.conditioning
        lyrics = None if told is None else told.source
        return (predicted(batch),) if lyrics is None else (predicted(batch), lyrics.numel())

    def losses(self, network: Any, batch: Batch) -> tuple[Tensor, ...]:
        """Return the summed losses of music and of lyrics, float32 scalars.

        Args:
            network: a ``zoo.music.prior.Prior``.
            batch: on its device.
        """
        ids = self._disturbed(batch.ids) if self.noise and network.training else batch.ids
        hidden, lyrics = network.hidden_with_lyrics(ids, batch.conditioning)
        music = summed(network.head(hidden).flatten(0, -2), batch.targets.flatten())
        if lyrics is None:
            return (music,)
        assert batch.conditioning is not None
        assert batch.conditioning.source is not None
        return music, summed(lyrics.flatten(0, -2), batch.conditioning.source.flatten())

    def _disturbed(self, ids: Tensor) -> Tensor:
        """Return ids (batch, time) of which some, never the one that begins a window, are those of other places."""
        music = ids[:, 1:]
        others = music.flatten()[torch.randperm(music.numel(), device=ids.device)].view_as(music)
        hit = torch.rand(music.shape, device=ids.device) < self.noise
        return torch.cat((ids[:, :1], torch.where(hit, others, music)), dim=1)

    def weights(self, network: Any) -> tuple[float, ...]:
        """Return what the mean of music and that of lyrics count for."""
        lyrics = network.config.lyrics
        if lyrics is None:
            return ()
        whole = network.context + lyrics.length
        return network.context / whole, lyrics.weight * lyrics.length / whole

    def report(self, means: Sequence[float], network: Any, data: Any) -> dict[str, float]:
        """Return the losses of music and of lyrics, each a mean over its own ids."""
        return dict(zip(("loss", "lyrics_loss"), means, strict=False))


@dataclass(frozen=True, kw_only=True)
class MaskedLanguageModel(OfIds):
    """The mean loss of the masked ids, plus that of the rows' labels where there are any (next sentence prediction).

    Devlin et al. 2018, appendix A.2. Only positions with a target meet the vocabulary.
    """

    def counts(self, batch: Batch) -> tuple[int, ...]:
        """Return how many ids of a batch (on the CPU) are predicted, and how many labels."""
        return (predicted(batch),) if batch.labels is None else (predicted(batch), len(batch.labels))

    def losses(self, network: Any, batch: Batch) -> tuple[Tensor, ...]:
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


def predicted(batch: Batch) -> int:
    """Return how many ids of a batch have a target."""
    return int((batch.targets != IGNORED).sum())


def summed(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the summed loss of logits (rows, classes) in nats; targets (rows,) that are IGNORED count nothing."""
    # The log-softmax converts while it reads, so half-precision logits are never held a second time in float32.
    logs = torch.log_softmax(logits, dim=-1, dtype=torch.float32)
    return nn.functional.nll_loss(logs, targets, ignore_index=IGNORED, reduction="sum")
