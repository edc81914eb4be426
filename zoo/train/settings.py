"""The training section of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from zoo.errors import ZooError
from zoo.train.objective import CrossEntropy, MaskedLanguageModel, MusicAndLyrics
from zoo.train.optimizer import AdamW, OptimizerSettings
from zoo.train.reconstruct import PictureReconstruction, SoundReconstruction
from zoo.train.schedule import Cosine, Schedule
from zoo.train.supervised import Labels, Spans

AnyObjective: TypeAlias = (
    CrossEntropy | MaskedLanguageModel | MusicAndLyrics | SoundReconstruction | PictureReconstruction | Labels | Spans
)


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How a network is trained.

    Attributes:
        steps: number of updates.
        batch: rows in one forward pass, of all processes together.
        accumulation: forward passes per update; the loss is a mean over all their predicted ids (and labels).
        learning_rate: peak rate; ``schedule`` multiplies it.
        optimizer: AdamW, Muon, RMSprop, or the Adam of Jukebox's priors.
        schedule: course of the learning rate.
        objective: what is minimised: ``CrossEntropy`` of every next id, ``MaskedLanguageModel``, ``MusicAndLyrics``, or
            of codecs ``SoundReconstruction`` and ``PictureReconstruction``.
        clip: largest norm of all gradients together; 0 switches clipping off.
        average: decay of the running average of the weights, which is then evaluated and published; 0 = none. Jukebox's
            priors have 1 - rows of an update / 8,000.
        dtype: of the matrix products; ``auto`` takes bfloat16 where a measurement says that it gains.
        evaluate_every: updates between evaluations on the held-out part, with one at the end, too; 0 = only at the end.
        save_every: updates between checkpoints, with one at the end, too; 0 = only at the end.
        log_every: updates between log entries.
        patience: stop after so many evaluations without a new best loss, and publish the best weights; 0 = never.
        only: names of parts whose weights alone learn, such as ``[label_embedding, lyrics]``; none for all.
        recompute: keep a layer's input alone for the gradient and compute the rest again: a third more time, a fraction
            of the memory, the same weights.
        compile: use torch.compile (takes a minute at the start, and a C++ compiler).
        workers: threads that prepare batches ahead; 0 prepares each when it is needed.
        tensorboard: also write TensorBoard curves into the run's folder.
    """

    steps: int
    batch: int
    accumulation: int = 1
    learning_rate: float
    optimizer: OptimizerSettings = AdamW()
    schedule: Schedule = Cosine()
    objective: AnyObjective = CrossEntropy()
    clip: float = 1.0
    average: float = 0.0
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    evaluate_every: int = 250
    save_every: int = 250
    log_every: int = 10
    patience: int = 0
    only: tuple[str, ...] = ()
    recompute: bool = False
    compile: bool = False
    workers: int = 0
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulation", "log_every"):
            if getattr(self, name) < 1:
                raise ZooError(f"train.{name} is at least 1, got {getattr(self, name)}")
        for name in ("evaluate_every", "save_every", "patience", "workers", "clip"):
            if getattr(self, name) < 0:
                raise ZooError(f"train.{name} is not negative, got {getattr(self, name)}")
        if not 0.0 < self.learning_rate < float("inf"):
            raise ZooError(f"train.learning_rate is positive, got {self.learning_rate}")
        if not 0.0 <= self.average < 1.0:
            raise ZooError(f"train.average lies in [0, 1), got {self.average}")
        if self.patience and not self.evaluate_every:
            raise ZooError("train.patience needs evaluations: set train.evaluate_every")
        if self.compile and not isinstance(self.objective, CrossEntropy):
            raise ZooError("train.compile does not reach this objective; leave it out")
