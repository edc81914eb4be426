"""Heads: what fine-tuning can make of a checkpoint. A class for each, which checks a model and reads data for it."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

from zoo.architecture import AnyNetwork
from zoo.classify.answers import Answers, Window
from zoo.classify.kinds import AnyKind, Choices, OneLabel, SeveralLabels, Together
from zoo.classify.labels import right_choice, split_labels
from zoo.classify.predict import reader_of
from zoo.classify.prediction import JOIN
from zoo.classify.reading import OWN_IDS, Reader
from zoo.data.labelled import check_labels, read_labelled
from zoo.data.read_questions import read_questions
from zoo.data.records import Records
from zoo.errors import ZooError, suggest
from zoo.finetune.examples import LabelledData, OneWindow, QuestionData
from zoo.finetune.growing import with_head
from zoo.finetune.labelled import Labelled
from zoo.finetune.language_model import LanguageModel
from zoo.finetune.material import Asked, Examples, HeadSettings
from zoo.finetune.moves import MovedPictures
from zoo.finetune.rows import encoded, in_windows, notes, used
from zoo.model import Model
from zoo.music.hearing import Hearing
from zoo.music.prior import Prior
from zoo.tokenizers.none import NoTokenizer
from zoo.train.supervised import Labels, Spans
from zoo.transformer import heads as networks
from zoo.transformer.model import Transformer

POOLS: dict[str, networks.AnyPool] = {"mean": networks.Mean(), "first": networks.First(), "last": networks.Last()}


@dataclass(frozen=True, kw_only=True)
class Trained(HeadSettings[Labelled]):
    """A new layer on the network's features, and what is the same for all of them.

    Attributes:
        pool: which positions it looks at: mean (Image GPT, and priors of music as Castellon et al. 2021 read Jukebox),
            first (BERT) or last (GPT); auto for the family's own.
        layer: what it looks at: the input of this block behind its first norm; None for the last hidden state.
        dropout: probability, on the pooled features.
        generative: weight of the loss of the next ids beside its own; None for GPT-1's 0.5 of text and sound, Image
            GPT's 1 of pictures, and 0 where the network reads both ways or nothing learns but the head.
        balance: samples of rare labels count for more, so that all labels count alike.
        ids: ``own``: texts stand between GPT-1's start, delimiter and extract ids, which are put after the vocabulary;
            ``plain``: without; auto: own where a causal transformer of text learns token vectors.
    """

    reads: ClassVar[type] = Labelled

    pool: Literal["auto", "mean", "first", "last"] = "auto"
    layer: int | None = None
    dropout: float = 0.1
    generative: float | None = None
    balance: bool = False
    ids: Literal["auto", "own", "plain"] = "auto"

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ZooError(f"dropout must lie in [0, 1), got {self.dropout}")
        if self.generative is not None and not 0 <= self.generative < float("inf"):
            raise ZooError(f"generative must not be negative, got {self.generative}")

    def check(self, model: Model, name: str) -> None:
        """Refuse a model that cannot have a head.

        Raises:
            ZooError: say why not.
        """
        if isinstance(model.network, Prior):
            Hearing(model.network, model.tokenizer)  # refuses those that read no sounds
        if isinstance(model.tokenizer, NoTokenizer):
            raise ZooError(
                f"{name} has no tokenizer, so it reads no samples; put the tokenizer files beside its weights"
            )
        network = model.network
        if isinstance(network, Transformer) and network.source_context is not None:
            raise ZooError(f"{name} turns a source into a target; heads need a model of one text, picture or sound")
        if not network.causal and self.generative:
            raise ZooError(f"generative: {name} reads both ways and predicts no next token; leave it out")
        if self.layer is not None and not 0 <= self.layer <= network.config.depth:
            raise ZooError(f"layer: {name} has layers 0 to {network.config.depth}, got {self.layer}")
        if network.causal and self.pool == "first":
            raise ZooError("pool=first: the first position of a causal network has seen nothing; use last or mean")
        self._check_modality(model, name)

    def _check_modality(self, model: Model, name: str) -> None:
        if model.modality != "text":
            what = tag_of(self)
            raise ZooError(f"head={what} reads texts, and {name} makes {model.modality}; use head=classification")

    def pooled(self, model: Model) -> networks.AnyPool:
        """Return what ``pool`` stands for."""
        if self.pool != "auto":
            return POOLS[self.pool]
        if model.modality == "image" or isinstance(model.network, Prior):
            return networks.Mean()
        return networks.Last() if model.network.causal else networks.First()

    def grown(self, model: Model, head: networks.Head, asked: Asked) -> AnyNetwork:
        """Return the network with its new head, and with GPT-1's ids where they are wanted."""
        network = model.network
        exact = network.vocabulary == model.tokenizer.spec.vocabulary_size
        could = isinstance(network, Transformer) and network.causal and model.modality == "text"
        if self.ids == "own" and not (could and exact and asked.grows):
            raise ZooError(
                "ids=own: needs a causal transformer of text, without spare ids, and method=full; say ids=plain"
            )
        more = OWN_IDS if could and exact and asked.grows and self.ids != "plain" else 0
        return with_head(network, head, more=more, seed=asked.seed)

    def weight_of_ids(self, model: Model, asked: Asked) -> float:
        """Return the weight of the generative loss."""
        if self.generative is not None:
            return self.generative
        if not model.network.causal or asked.frozen:
            return 0.0
        return 1.0 if model.modality == "image" else 0.5


@dataclass(frozen=True, kw_only=True)
class OfSamples(Trained):
    """Heads that say one thing of a sample."""

    @property
    def both_orders(self) -> bool:
        """Whether two texts are read in both orders."""
        return False

    @abstractmethod
    def labels(self, records: Records[Any], data: Labelled) -> tuple[tuple[str, ...], Tensor, Sequence[Any]]:
        """Return the names of the labels, the labels of all samples, and what they are split by."""

    @abstractmethod
    def head(self, names: tuple[str, ...], model: Model) -> networks.Head:
        """Return the layer for such labels."""

    @abstractmethod
    def kind(self, labels: Tensor, count: int, together: Together) -> AnyKind:
        """Return what the logits mean, with the weights that balance ``labels`` of the training part."""

    def records(self, data: Labelled, model: Model) -> Records[Any]:
        """Read the samples."""
        return read_labelled(
            data.path, model.modality, columns=data.columns, field=data.label, encoding=data.encoding, check=self.refuse
        )

    def refuse(self, records: Records[Any]) -> None:
        """Refuse labels that nothing can be learnt from."""
        check_labels(records)

    def read(self, data: Labelled, model: Model, asked: Asked) -> Examples:
        """Read and encode the samples.

        Raises:
            ZooError: no data, or samples or labels that cannot be learnt: one line that names them.
        """
        data.moves.check(model.tokenizer)
        records = self.records(data, model)
        names, labels, groups = self.labels(records, data)
        network = self.grown(model, self.head(names, model), asked)
        reader = reader_of(network, model.tokenizer, both_orders=self.both_orders, context=asked.context)
        parts = data.parts(records, groups, asked.seed)
        made = [encoded(records, numbers, labels, reader.rows) for numbers in parts]
        if model.modality == "music":
            made[0] = OneWindow(**vars(made[0]))
        elif data.moves.any:
            assert isinstance(reader, Reader)
            made[0] = MovedPictures(**vars(made[0]), moves=data.moves, reader=reader)
        kind = self.kind(made[0].labels, len(names), reader.together)
        examples = LabelledData(train=made[0], validation=made[1], test=made[2], kind=kind, names=names)
        entry = {"name": records.title, "license": "not stated", "sha256": records.sha256}
        return Examples(
            network=network,
            data=examples,
            entries=[entry | used(data, made)],
            notes=tuple(notes(made, asked, model, network, balanced=self.balance)),
            objective=Labels(kind=kind, generative=self.weight_of_ids(model, asked)),
            facts=({"both_orders": True} if self.both_orders else {}) | asked.facts,
        )


@dataclass(frozen=True, kw_only=True)
class Classification(OfSamples):
    """One label for a text, picture or sound."""

    def _check_modality(self, model: Model, name: str) -> None:
        """Take all of them."""

    def labels(self, records: Records[Any], data: Labelled) -> tuple[tuple[str, ...], Tensor, Sequence[Any]]:
        """Return the different labels, sorted, and the number of each sample's."""
        return records.label_names, torch.from_numpy(records.label_ids()), records.labels

    def head(self, names: tuple[str, ...], model: Model) -> networks.Head:
        """Return a linear layer; with a bias in BERT, without one elsewhere, as Hugging Face's are."""
        return networks.Classification(
            labels=names,
            pool=self.pooled(model),
            bias=not model.network.causal,
            dropout=self.dropout,
            layer=self.layer,
        )

    def kind(self, labels: Tensor, count: int, together: Together) -> AnyKind:
        """Return a softmax."""
        if not self.balance:
            return OneLabel(together=together)
        counts = torch.bincount(labels, minlength=count).clamp(min=1)
        return OneLabel(weights=tuple((len(labels) / (count * counts)).tolist()), together=together)


@dataclass(frozen=True, kw_only=True)
class Pair(Classification):
    """One label for two texts: does one follow from the other, do they say the same?

    Attributes:
        symmetric: neither comes first: both orders are read, and what is found added (GPT-1's similarity).
    """

    symmetric: bool = False

    @property
    def both_orders(self) -> bool:
        """Whether both orders are read."""
        return self.symmetric

    def _check_modality(self, model: Model, name: str) -> None:
        Trained._check_modality(self, model, name)

    def records(self, data: Labelled, model: Model) -> Records[Any]:
        """Read the pairs."""
        records = super().records(data, model)
        if records[0].text_b is None:
            raise ZooError(f"{records.title}: no column 'text_b' with the second text (say data.columns.text_b=NAME)")
        return records


@dataclass(frozen=True, kw_only=True)
class MultiLabel(Classification):
    """Any number of labels for a text, picture or sound: they stand in one cell, separated by ``|``."""

    def refuse(self, records: Records[Any]) -> None:
        """Refuse data without any labels, or with labels that are never learnt."""
        named = [split_labels(label) for label in records.labels]
        known = {name for index in records.train for name in named[index]} if named else set()
        if not known:
            raise ZooError(f"{records.title}: has no labels; give a column 'label' with names separated by '{JOIN}'")
        for index in records.held_out:
            for name in named[index]:
                if name not in known:
                    raise ZooError(
                        f"{records.title}, {records.names[index]}: the label '{name}' is only in the held-out part, so "
                        f"it cannot be learned{suggest(name, known, limit=0)}"
                    )

    def labels(self, records: Records[Any], data: Labelled) -> tuple[tuple[str, ...], Tensor, Sequence[Any]]:
        """Return the different labels, sorted, and 1 for each that a sample has."""
        named = [split_labels(label) for label in records.labels]
        names = tuple(sorted({name for own in named for name in own}))
        places = {name: place for place, name in enumerate(names)}
        values = torch.zeros(len(named), len(names))
        for row, own in enumerate(named):
            values[row, [places[name] for name in own]] = 1
        return names, values, [min(own, default="") for own in named]

    def head(self, names: tuple[str, ...], model: Model) -> networks.Head:
        """Return the same layer, whose logits are read apart."""
        like = super().head(names, model)
        assert isinstance(like, networks.Classification)
        return networks.MultiLabel(**{one.name: getattr(like, one.name) for one in dataclasses.fields(like)})

    def kind(self, labels: Tensor, count: int, together: Together) -> AnyKind:
        """Return a sigmoid for each label."""
        if not self.balance:
            return SeveralLabels(together=together)
        there = labels.sum(dim=0).clamp(min=1)
        weights = ((len(labels) - there) / there).clamp(min=1e-3)
        return SeveralLabels(weights=tuple(weights.tolist()), together=together)


@dataclass(frozen=True, kw_only=True)
class MultipleChoice(OfSamples):
    """The right one of several endings: columns text, choices, and label with the right choice or its number from 0."""

    def refuse(self, records: Records[Any]) -> None:
        """Leave it to ``labels``: what is right differs from question to question."""

    def labels(self, records: Records[Any], data: Labelled) -> tuple[tuple[str, ...], Tensor, Sequence[Any]]:
        """Return the number of each question's right choice.

        Raises:
            ZooError: a question without two choices, or without a right one.
        """
        if not records.labels:
            raise ZooError(f"{records.title}: no column 'label' with the right choice (say data.columns.label=NAME)")
        right = [right_choice(records, number) for number in range(len(records))]
        return (), torch.tensor(right), [0] * len(right)

    def head(self, names: tuple[str, ...], model: Model) -> networks.Head:
        """Return a layer that gives each choice a score."""
        return networks.MultipleChoice(pool=self.pooled(model), dropout=self.dropout, layer=self.layer)

    def kind(self, labels: Tensor, count: int, together: Together) -> AnyKind:
        """Return a softmax over the choices."""
        if self.balance:
            raise ZooError("balance: choices have no labels that could be rare; leave it out")
        return Choices()


@dataclass(frozen=True, kw_only=True)
class Span(Trained):
    """Where in a passage the answer to a question stands: SQuAD's .json files."""

    def read(self, data: Labelled, model: Model, asked: Asked) -> Examples:
        """Read the questions, in windows of their passages.

        Raises:
            ZooError: no questions, or some that cannot be read.
        """
        if self.balance:
            raise ZooError("balance: answers have no labels that could be rare; leave it out")
        data.moves.check(model.tokenizer)
        records = read_questions(data.path)
        network = self.grown(model, networks.Span(dropout=self.dropout, layer=self.layer), asked)
        reader = Reader(network, model.tokenizer, context=asked.context)
        passages = [records[number].passage for number in range(len(records))]
        kept: dict[int, Sequence[Window]] = {}
        made = [
            in_windows(records, numbers, Answers(network, reader), kept if place else {})
            for place, numbers in enumerate(data.parts(records, passages, asked.seed, whole=True))
        ]
        examples = QuestionData(
            train=made[0],
            validation=made[1],
            test=made[2],
            windows=kept,
            questions=[records[number] for number in range(len(records))],
        )
        entry = {"name": records.title, "license": "not stated", "sha256": records.sha256}
        return Examples(
            network=network,
            data=examples,
            entries=[entry | used(data, made)],
            notes=(),
            objective=Spans(generative=self.weight_of_ids(model, asked)),
            facts=asked.facts,
        )


Head: TypeAlias = Classification | MultiLabel | Pair | MultipleChoice | Span | LanguageModel
"""Every head there is; config.json names the one that a checkpoint has."""


def tag_of(head: object) -> str:
    """Return what a head is called."""
    from zoo.settings import tag

    return tag(type(head))
