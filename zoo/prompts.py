"""What a prompt is to a network: the beginning of its sample, or the source that it turns into a target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor

from zoo.architecture import AnyNetwork
from zoo.errors import ZooError, suggest
from zoo.generate.padding import PaddedIds
from zoo.generate.sampler import cut_prompt
from zoo.generate.settings import SamplingSettings
from zoo.network import NO_CLASS, Conditioning
from zoo.tokenizers.audio.base import AudioTokenizer
from zoo.tokenizers.base import Tokenizer
from zoo.tokenizers.image.kept import Kept
from zoo.transformer.model import Transformer

NONE = torch.empty(0, dtype=torch.int64)


@dataclass(frozen=True, kw_only=True)
class Start:
    """A prompt on its way to the sampler: the network reads ``lead`` (a start id) too, the sample is without it.

    Attributes:
        given: the prompt as it was given.
        lead: ids before the sample, int64 (time,).
        ids: ids that the sample begins with, int64 (time,).
        source: ids of what the sample is conditioned on, int64 (time,); None for networks without an encoder.
        class_id: number of the class that is asked for, NO_CLASS for none.
    """

    given: Any
    lead: Tensor
    ids: Tensor
    source: Tensor | None = None
    class_id: int = NO_CLASS

    @property
    def read(self) -> Tensor:
        """All ids that the network reads, (time,)."""
        return torch.cat([self.lead, self.ids])

    @property
    def key(self) -> Tensor:
        """What the sample depends on beside its seed, (time,): samples with equal keys get seeds that follow on."""
        own = torch.tensor([self.class_id])
        return torch.cat([own, self.read] if self.source is None else [own, self.source, torch.tensor([-1]), self.read])


class Prompts(ABC):
    """How prompts reach a network.

    Args:
        network: reads what they become.
        tokenizer: makes ids of them.
    """

    def __init__(self, network: AnyNetwork, tokenizer: Tokenizer[Any]) -> None:
        self.network = network
        self.tokenizer = tokenizer

    @property
    @abstractmethod
    def end_ids(self) -> tuple[int, ...]:
        """Ids that end a sample and are no part of it."""

    @abstractmethod
    def start(self, prompt: Any) -> Start:
        """Return the ids from which a sample begins.

        Raises:
            ZooError: the tokenizer cannot encode the prompt.
        """

    def starts(self, prompts: Sequence[Any], conditions: Mapping[str, Any] | None) -> list[Start]:
        """Return the ids from which samples begin.

        Raises:
            ZooError: a prompt that the tokenizer cannot encode, or conditions that the network does not take.
        """
        self.refuse(conditions)
        return [self.start(prompt) for prompt in prompts]

    @abstractmethod
    def rows(self, padded: PaddedIds, conditions: Mapping[str, Any] | None) -> list[Start]:
        """Return the beginnings of samples that go on from ids as they are.

        Raises:
            ZooError: conditions that the network does not take.
        """

    @abstractmethod
    def conditioning(self, starts: Sequence[Start], settings: SamplingSettings) -> Conditioning | None:
        """Return what the network is told beside the ids of samples to be drawn.

        Raises:
            ZooError: a source that is longer than the encoder's context, unless the settings allow to cut it; guidance
                without a label.
        """

    @abstractmethod
    def told(self, padded: PaddedIds, conditions: Mapping[str, Any] | None) -> Conditioning | None:
        """Return what the network is told beside ids that it is given as they are.

        Raises:
            ZooError: conditions that the network does not take.
        """

    def refuse(self, conditions: Mapping[str, Any] | None, taken: Sequence[str] = ()) -> None:
        """Refuse conditions that are left over, where those in ``taken`` are not.

        Raises:
            ZooError: name them.
        """
        if conditions:
            takes = " and ".join(taken) or "no conditions"
            raise ZooError(f"this model takes {takes}, got {', '.join(map(str, conditions))}")

    def refuse_guidance(self, settings: SamplingSettings) -> None:
        """Refuse guidance where there is no label to be guided by.

        Raises:
            ZooError: say so.
        """
        if settings.guidance != 1:
            named = getattr(self.network.config, "classes", ())
            hint = f"; say label=NAME, for example label={named[0]}" if named else " and this model knows no labels"
            raise ZooError(f"guidance: compares pictures with a label to those without{hint}")


class Continuing(Prompts):
    """The sample goes on from the prompt: GPT and everything else without an encoder."""

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The tokenizer's end id, if it has one."""
        end = self.tokenizer.spec.end_id
        return () if end is None else (end,)

    def start(self, prompt: Any) -> Start:
        """Return the prompt after the start id; no prompt begins as the tokenizer's documents do."""
        start = self.tokenizer.spec.start_id
        if prompt is None or (isinstance(prompt, str) and not prompt):
            return Start(given=prompt, lead=torch.tensor([self._first_id() if start is None else start]), ids=NONE)
        lead = torch.tensor([] if start is None else [start], dtype=torch.int64)
        if isinstance(prompt, Pillow.Image | np.ndarray):
            prompt = Kept(picture=prompt)
        return Start(given=prompt, lead=lead, ids=self._begin(prompt))

    def starts(self, prompts: Sequence[Any], conditions: Mapping[str, Any] | None) -> list[Start]:
        """Return the ids from which samples begin; one prompt is begun with each of several labels."""
        known = dict(conditions or {})
        labels = known.pop("label", None) if self._names else None
        self.refuse(known)
        if len(prompts) == 1 and isinstance(labels, list | tuple):
            prompts = [*prompts] * len(labels)
        classes = self._classes(labels, len(prompts))
        return [replace(self.start(prompt), class_id=own) for prompt, own in zip(prompts, classes, strict=True)]

    def rows(self, padded: PaddedIds, conditions: Mapping[str, Any] | None) -> list[Start]:
        """Return the rows, with their classes where the conditions name a label."""
        known, rows = dict(conditions or {}), padded.rows()
        classes = self._classes(known.pop("label", None) if self._names else None, len(rows))
        self.refuse(known)
        return [
            Start(given=None, lead=NONE, ids=row.cpu(), class_id=own) for row, own in zip(rows, classes, strict=True)
        ]

    def conditioning(self, starts: Sequence[Start], settings: SamplingSettings) -> Conditioning | None:
        """Return the classes, if there are any; prompts are part of what is read."""
        classes = [start.class_id for start in starts]
        if any(own != NO_CLASS for own in classes):
            return Conditioning(classes=torch.tensor(classes))
        self.refuse_guidance(settings)
        return None

    def told(self, padded: PaddedIds, conditions: Mapping[str, Any] | None) -> Conditioning | None:
        """Return classes and segments (token types) of networks that have them, and what pixels a network is to see."""
        known = dict(conditions or {})
        takes = {"segments": getattr(self.network.config, "segments", 0), "visible": not self.network.causal}
        given = {name: known.pop(name, None) for name, taken in takes.items() if taken}
        label = known.pop("label", None) if self._names else None
        self.refuse(known, [*given, *(["label"] if self._names else [])])
        rows = {
            name: padded.rolled(_like(padded.given, values, name))
            for name, values in given.items()
            if values is not None
        }
        segments = getattr(self.network.config, "segments", 0)
        kinds = rows.get("segments", NONE)
        if kinds.dtype != torch.int64 or bool(((kinds < 0) | (kinds >= segments)).any()):
            raise ZooError(f"segments: expected int64 from 0 to {segments - 1}")
        if "visible" in rows:
            rows["visible"] = rows["visible"] != 0
        if label is not None:
            rows["classes"] = torch.tensor(self._classes(label, len(padded.given)))
        return Conditioning(**rows) if rows else None

    @property
    def _names(self) -> tuple[str, ...]:
        """Names of the classes that the network was told of."""
        names: tuple[str, ...] = getattr(self.network.config, "classes", ())
        return names

    def _classes(self, label: Any, count: int) -> list[int]:
        """Return the class of each of ``count`` samples; one label alone is everyone's.

        Raises:
            ZooError: a label that the network was not told of, or another number of them.
        """
        labels = list(label) if isinstance(label, list | tuple) else [label]
        if len(labels) not in (1, count):
            raise ZooError(f"label: expected one, or one for each of {count} samples, got {len(labels)}")
        known = {name: number for number, name in enumerate(self._names)} | {None: NO_CLASS}
        labels = [None if name is None else str(name) for name in labels]
        for name in labels:
            if name not in known:
                raise ZooError(f"unknown label '{name}'{suggest(name, self._names, nearest=3)}")
        return [known[name] for name in labels] * (count // len(labels))

    def _begin(self, prompt: Any) -> Tensor:
        """Return the ids of what is to be continued."""
        if isinstance(prompt, Kept):
            return prompt.top(self.tokenizer)
        if isinstance(self.tokenizer, AudioTokenizer):
            return self.tokenizer.begin(prompt)
        return self.tokenizer.encode(prompt)

    def _first_id(self) -> int:
        """Return what a sample begins after where there is no start id: a document's end, a new line, silence, else
        id 0."""
        spec = self.tokenizer.spec
        if spec.end_id is not None:
            return spec.end_id
        if isinstance(self.tokenizer, AudioTokenizer):
            return self.tokenizer.silence()
        try:
            newline = self.tokenizer.encode("\n").tolist() if spec.modality == "text" else []
        except ZooError:  # not in the alphabet
            return 0
        return newline[0] if len(newline) == 1 else 0


class Translating(Prompts):
    """The prompt is the source of an encoder-decoder, the sample its target (Vaswani et al. 2017, section 3.1).

    The decoder begins each target with ``TokenSpec.target_start_id`` and ends it with ``target_end_id``.

    Raises:
        ZooError: the network's vocabulary does not fit the tokenizer's.
    """

    def __init__(self, network: AnyNetwork, tokenizer: Tokenizer[Any]) -> None:
        super().__init__(network, tokenizer)
        assert isinstance(network, Transformer)
        assert network.encoder is not None
        self.encoder = network.encoder
        spec = tokenizer.spec
        sizes = (self.encoder.vocabulary, network.output_vocabulary, network.vocabulary)
        if sizes[0] < spec.vocabulary_size or sizes[1] <= spec.target_end_id or sizes[2] <= spec.target_start_id:
            raise ZooError(
                f"the tokenizer '{spec.type}' makes {spec.vocabulary_size} ids, and a target has one more to end and "
                f"one to begin with; the network reads sources of {sizes[0]} ids and predicts {sizes[1]} of the "
                f"{sizes[2]} that it reads; use the tokenizer that the network was trained with"
            )

    @property
    def end_ids(self) -> tuple[int, ...]:
        """What ends a target."""
        return (self.tokenizer.spec.target_end_id,)

    def start(self, prompt: Any) -> Start:
        """Return an empty target of the prompt."""
        lead = torch.tensor([self.tokenizer.spec.target_start_id])
        return Start(given=prompt, lead=lead, ids=NONE, source=self._encode(prompt))

    def rows(self, padded: PaddedIds, conditions: Mapping[str, Any] | None) -> list[Start]:
        """Return the rows with their sources."""
        rows = padded.rows()
        sources = self._sources(conditions, len(rows))
        return [
            Start(given=None, lead=NONE, ids=row.cpu(), source=source)
            for row, source in zip(rows, sources, strict=True)
        ]

    def conditioning(self, starts: Sequence[Start], settings: SamplingSettings) -> Conditioning | None:
        """Return the sources, side by side."""
        self.refuse_guidance(settings)
        sources = [start.source for start in starts if start.source is not None]
        context = self.encoder.context
        return Conditioning.of_sources(
            [cut_prompt(source, context, settings, index) for index, source in enumerate(sources)]
        )

    def told(self, padded: PaddedIds, conditions: Mapping[str, Any] | None) -> Conditioning | None:
        """Return the sources that the conditions name."""
        return Conditioning.of_sources(self._sources(conditions, len(padded.given)))

    def _encode(self, prompt: Any) -> Tensor:
        ids = NONE if prompt is None else self.tokenizer.encode(prompt)
        if not len(ids):
            raise ZooError("this model turns a source into a target, and the source is empty: give prompt=TEXT")
        return ids

    def _sources(self, conditions: Mapping[str, Any] | None, count: int) -> list[Tensor]:
        """Return the ids of ``count`` sources; one source alone is everyone's."""
        known = dict(conditions or {})
        given, mask = known.pop("source", None), known.pop("source_mask", None)
        self.refuse(known)
        if given is None:
            raise ZooError(
                "this model turns a source into a target: give conditions={'source': text, a list of texts, or int64 "
                "ids (batch, source time)}"
            )
        if isinstance(given, Tensor):
            sources = [row.cpu() for row in PaddedIds(given, mask, vocabulary=self.encoder.vocabulary).rows()]
        else:
            sources = [self._encode(source) for source in (given if isinstance(given, list | tuple) else [given])]
        if len(sources) not in (1, count):
            raise ZooError(f"source: expected one, or one for each of {count} rows, got {len(sources)}")
        return sources * (count // len(sources))


def _like(ids: Tensor, values: Any, name: str) -> Tensor:
    """Return a condition that says something of each id, (batch, time) as ``ids`` are."""
    if not isinstance(values, Tensor) or values.numel() != ids.numel():
        given = str(tuple(values.shape)) if isinstance(values, Tensor) else type(values).__name__
        raise ZooError(f"{name}: expected a tensor of the shape of ids {tuple(ids.shape)}, got {given}")
    return values.reshape(ids.shape)


def prompts_of(network: AnyNetwork, tokenizer: Tokenizer[Any]) -> Prompts:
    """Return what prompts are to ``network``: sources if it has an encoder.

    Raises:
        ZooError: the tokenizer does not fit the network.
    """
    return Continuing(network, tokenizer) if network.source_context is None else Translating(network, tokenizer)
