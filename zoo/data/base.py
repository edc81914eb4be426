"""What training needs from data: batches that are a function of the step, and every window of the held-out part."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.music.codebooks import Codebooks
from zoo.music.names import Names
from zoo.network import Conditioning, Network
from zoo.tokenizers.base import Modality, Tokenizer
from zoo.tokenizers.codec import Codec

Rows = TypeVar("Rows", "Batch", "SampleBatch", Conditioning)

IGNORED = -100
"""Target at positions without a loss."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows for one forward pass.

    Attributes:
        ids: (batch, time) int64 inputs, right-padded where ``lengths`` is given.
        targets: (batch, time) int64; ``targets[:, t]`` is what column t should predict, IGNORED where nothing.
        indices: (batch,) int64; where each row comes from (start offset in the tokens, or sample number), for messages.
        lengths: (batch,) int64 or None.
        conditioning: see ``zoo.network.Conditioning``.
        labels: (batch,) int64; what the network's head should say of each row, None where there is none. Where
            ``groups`` tell of samples: of each of those, int64 (samples,), or float32 (samples, labels) of any number.
        groups: (batch,) int64; the sample of each row, the rows of one side by side; None where each row is one.
    """

    ids: Tensor
    targets: Tensor
    indices: Tensor
    lengths: Tensor | None = None
    conditioning: Conditioning | None = None
    labels: Tensor | None = None
    groups: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Return the batch on ``device``; ``indices`` stay where they are."""
        return dataclasses.replace(
            self,
            ids=self.ids.to(device, non_blocking=True),
            targets=self.targets.to(device, non_blocking=True),
            lengths=None if self.lengths is None else self.lengths.to(device, non_blocking=True),
            conditioning=None if self.conditioning is None else self.conditioning.to(device),
            labels=None if self.labels is None else self.labels.to(device, non_blocking=True),
            groups=None if self.groups is None else self.groups.to(device, non_blocking=True),
        )

    def part(self, index: int, count: int) -> Batch:
        """Return the rows of the process ``index`` of ``count`` ones, as many for each as can be.

        Raises:
            ZooError: rows that belong together.
        """
        if count > 1 and self.groups is not None:
            raise ZooError("several rows make a sample here, which one process must see; start it without torchrun")
        conditioning = None if self.conditioning is None else _part(self.conditioning, index, count)
        return dataclasses.replace(_part(self, index, count), conditioning=conditioning)


def _part(rows: Rows, index: int, count: int) -> Rows:
    """Return the same with a part of the rows of all of its tensors."""
    values: dict[str, Any] = {field.name: getattr(rows, field.name) for field in dataclasses.fields(rows)}
    parts = {name: each.tensor_split(count)[index] for name, each in values.items() if isinstance(each, Tensor)}
    return dataclasses.replace(rows, **(values | parts))


@dataclass(frozen=True, kw_only=True)
class Problems:
    """Prompts with the one right continuation, for exact match by greedy decoding.

    Attributes:
        name: metric prefix, e.g. ``held_out``.
        prompts: int64 (count, prompt time), or ids (prompt time,) of each.
        answers: int64 (count, answer time), or ids (answer time,) of each; with ``end_id``, if there is one.
        end_id: id that ends an answer; None if answers are as long as they are.
        sources: ids (source time,) of what each prompt is conditioned on; None for networks without an encoder.
    """

    name: str
    prompts: Tensor | Sequence[Tensor]
    answers: Tensor | Sequence[Tensor]
    end_id: int | None = None
    sources: Sequence[Tensor] | None = None


class TokenData(ABC):
    """Encoded data of one recipe: what the training loop and the evaluation draw from."""

    train_tokens: int
    """Number of ids in the training part (0 where they are made on the fly)."""
    label_name: str = "label"
    """What ``Batch.labels`` are, for the names of metrics."""

    @abstractmethod
    def batch(self, *, step: int, size: int, seed: int) -> Batch:
        """Return the training rows of micro-batch number ``step``: a function of these arguments only, so that a
        resumed run sees the same rows without any saved position."""

    @abstractmethod
    def held_out(self, size: int) -> Iterator[Batch]:
        """Yield every non-overlapping window of the held-out part, ``size`` rows at a time."""

    @abstractmethod
    def metrics(self, nats: float, tokens: int) -> dict[str, Any]:
        """Return the units that survive a change of tokenizer, e.g. ``{"bits_per_byte": 2.3}``.

        Args:
            nats: summed loss over ``held_out``.
            tokens: number of predicted ids it was summed over.
        """

    def notes(self) -> tuple[str, ...]:
        """Return what people should know before they compare the metrics with anything, a line each."""
        return ()

    def problems(self) -> tuple[Problems, ...]:
        """Return prompts with right answers where the task has them."""
        return ()

    def check(self, network: Network) -> None:
        """Refuse a network that cannot learn from this data, before training.

        Raises:
            ZooError: say why, and what to use.
        """
        refuse_encoder(network)


def refuse_encoder(network: Network) -> None:
    """Refuse a network that turns one text into another, for data that has no pairs of them.

    Raises:
        ZooError: say so.
    """
    if network.source_context is not None:
        raise ZooError("model.encoder: this network turns a source into a target, and the data has no pairs of them")


def refuse_both_sides(network: Network) -> None:
    """Refuse a network that sees later ids, for text of which every next id is predicted: it would learn to copy.

    Raises:
        ZooError: say so, and what to use.
    """
    if not network.causal:
        raise ZooError(
            "model.patterns: this network sees the ids that it should predict; make its patterns causal, or hide ids "
            "from it with data.type=masked"
        )


@dataclass(frozen=True, kw_only=True)
class SampleBatch:
    """Samples for one forward pass of a codec.

    Attributes:
        samples: (batch, time, 1) of sound, (batch, rows, columns, channels) of pictures; float32 in [-1, 1].
        indices: (batch,) int64; where each row comes from, for messages.
    """

    samples: Tensor
    indices: Tensor

    def to(self, device: torch.device) -> SampleBatch:
        """Return the batch on ``device``; ``indices`` stay where they are."""
        return dataclasses.replace(self, samples=self.samples.to(device, non_blocking=True))

    def part(self, index: int, count: int) -> SampleBatch:
        """Return the rows of the process ``index`` of ``count`` ones, as many for each as can be."""
        return _part(self, index, count)


class SampleData(ABC):
    """Samples of one recipe, as a codec learns to keep them: see ``TokenData`` for the same of ids."""

    train_tokens: int = 0
    """Number of samples (of sound) or pixels in the training part."""

    @abstractmethod
    def batch(self, *, step: int, size: int, seed: int) -> SampleBatch:
        """Return the training rows of micro-batch number ``step``: a function of these arguments only."""

    @abstractmethod
    def held_out(self, size: int) -> Iterator[SampleBatch]:
        """Yield the held-out part, ``size`` rows at a time."""

    def notes(self) -> tuple[str, ...]:
        """Return what people should know before they compare the metrics with anything, a line each."""
        return ()


class Corpus(ABC):
    """Raw data of one recipe, opened and split, before any tokenizer.

    Attributes:
        modality: what its samples are.
        classes: names of the classes that a network is told beside each sample, in the order of their numbers.
        names: artists and genres that a prior is told, None where there are none.
    """

    modality: Modality
    classes: tuple[str, ...] = ()
    names: Names | None = None

    @abstractmethod
    def samples(self) -> Iterable[Any]:
        """Return what a tokenizer is fitted on."""

    @abstractmethod
    def encode(self, tokenizer: Tokenizer[Any], context: int) -> TokenData:
        """Return the ids of both parts, cut for a model that sees ``context`` ids."""

    def check(self, config: object) -> None:  # noqa: B027 (most data need no check)
        """Refuse samples that a network of these settings cannot be told of, before any of them is encoded.

        Raises:
            ZooError: name one, and what to do.
        """

    def codebooks(self, tokenizer: Tokenizer[Any]) -> Codebooks | None:
        """Return the vectors that a fresh prior's ids begin as; None where they are to be drawn."""
        return None

    def crops(self, codec: Codec) -> SampleData:
        """Return both parts as samples that ``codec`` can learn to keep, at its rate or of its size.

        Raises:
            ZooError: there is no codec for such data.
        """
        raise ZooError(f"data: no codec learns from {self.modality}; give sounds or pictures")

    @abstractmethod
    def describe(self) -> list[dict[str, Any]]:
        """Return the card's ``data`` entries: name, license, sha256 (and url where there is one)."""
