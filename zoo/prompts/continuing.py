"""The sample goes on from its prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor

from zoo.errors import ZooError, suggest
from zoo.generate.padding import PaddedIds
from zoo.generate.settings import SamplingSettings
from zoo.network import NO_CLASS, Conditioning
from zoo.prompts.base import NONE, Prompts, Start
from zoo.tokenizers.audio.base import AudioTokenizer
from zoo.tokenizers.image.kept import Kept


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


def _like(ids: Tensor, values: Any, name: str) -> Tensor:
    """Return a condition that says something of each id, (batch, time) as ``ids`` are."""
    if not isinstance(values, Tensor) or values.numel() != ids.numel():
        given = str(tuple(values.shape)) if isinstance(values, Tensor) else type(values).__name__
        raise ZooError(f"{name}: expected a tensor of the shape of ids {tuple(ids.shape)}, got {given}")
    return values.reshape(ids.shape)
