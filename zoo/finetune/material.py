"""What a head makes of a checkpoint and new data: all that a run needs before it trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from zoo.architecture import AnyNetwork
from zoo.data.text import TextData
from zoo.finetune.examples import ExampleData
from zoo.model import Model
from zoo.train.objective import CrossEntropy
from zoo.train.supervised import Labels, Spans

Data = TypeVar("Data")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a head is told beside the data.

    Attributes:
        name: of the checkpoint, for messages.
        context: most ids in a row; None for what the network reads, or less where there is little.
        seed: of new weights, and of which samples go where.
        grows: the method learns token vectors, so that new ids can be learnt.
        frozen: nothing learns but the head.
    """

    name: str
    context: int | None
    seed: int
    grows: bool
    frozen: bool = False

    @property
    def facts(self) -> dict[str, Any]:
        """What the card says of how much is read at once."""
        return {} if self.context is None else {"context": self.context}


@dataclass(frozen=True, kw_only=True)
class Material:
    """New data as a head reads it, and the network that learns it.

    Attributes:
        network: the checkpoint's, with a new head where there is one.
        entries: the card's ``data``.
        notes: what people should know about it, a sentence each.
    """

    network: AnyNetwork
    entries: list[dict[str, Any]]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RunningText(Material):
    """Text to go on with.

    Attributes:
        data: encoded.
        prompt: what samples go on from: the head of the held-out part.
    """

    data: TextData
    prompt: str
    objective: ClassVar[CrossEntropy] = CrossEntropy()


@dataclass(frozen=True, kw_only=True)
class Examples(Material):
    """Samples to be told apart.

    Attributes:
        data: in rows.
        objective: what is minimised.
        facts: what the card says of how samples are read, beside the network's settings.
    """

    data: ExampleData
    objective: Labels | Spans
    facts: dict[str, Any]


AnyMaterial = RunningText | Examples


class HeadSettings(ABC, Generic[Data]):
    """What to make of a checkpoint: settings, which check a model and read data for it."""

    reads: ClassVar[type]
    """The settings of the data that it takes."""

    @abstractmethod
    def check(self, model: Model, name: str) -> None:
        """Refuse a model that cannot have such a head, before any data is read.

        Raises:
            ZooError: say why not.
        """

    @abstractmethod
    def read(self, data: Data, model: Model, asked: Asked) -> AnyMaterial:
        """Open and encode the data.

        Raises:
            ZooError: no data, or data that this head cannot learn.
        """
