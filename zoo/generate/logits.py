"""What is done to logits before an id is drawn: small values, applied one after the other.

Every transform takes logits (rows, vocabulary) and the ids so far (rows, time), and returns new logits; an id that must
not be drawn gets -inf. Ids so far may repeat: rows of unequal length are filled up with their own ids.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from zoo.generate.settings import SamplingSettings


class LogitsTransform(Protocol):
    """Changes logits (rows, vocabulary), given the ids so far (rows, time)."""

    def __call__(self, logits: Tensor, ids: Tensor) -> Tensor:
        """Return the changed logits; the given ones stay as they are."""


@dataclass(frozen=True)
class RepetitionPenalty:
    """Make ids that already occur less likely (CTRL, Keskar et al. 2019, section 4.1)."""

    penalty: float

    def __call__(self, logits: Tensor, ids: Tensor) -> Tensor:
        """Divide positive logits of ids that occur by the penalty, and multiply negative ones."""
        spare = functional.pad(logits, (0, 1))  # a column for ids that are read but never predicted (a start id)
        ids = ids.clamp(max=logits.shape[1])
        chosen = spare.gather(1, ids)
        return spare.scatter(1, ids, torch.where(chosen > 0, chosen / self.penalty, chosen * self.penalty))[:, :-1]


@dataclass(frozen=True)
class InTurn:
    """Keep the ids whose turn it is, where kinds of ids take turns (the codebooks of a codec).

    Attributes:
        kinds: how many take turns; kind k is followed by kind k + 1, the last one by the first.
        size: ids of each kind; kind k has those in [k * size, (k + 1) * size).
    """

    kinds: int
    size: int

    def __call__(self, logits: Tensor, ids: Tensor) -> Tensor:
        """Rule out all ids but those of the kind that follows the last one."""
        turn = (ids[:, -1:] // self.size + 1) % self.kinds
        kinds = torch.arange(logits.shape[1], device=logits.device) // self.size
        return logits.masked_fill(kinds != turn, -math.inf)


@dataclass(frozen=True)
class Temperature:
    """Divide by a positive temperature. The highest logit becomes 0, so that no temperature can overflow."""

    temperature: float

    def __call__(self, logits: Tensor, ids: Tensor) -> Tensor:
        """Return (logits - their maximum) / temperature."""
        shifted = logits - logits.amax(dim=1, keepdim=True)
        return shifted / min(max(self.temperature, 1e-30), 1e30)  # float32 would make 0 or inf of what lies outside


@dataclass(frozen=True)
class TopK:
    """Keep the ``count`` most likely ids, and those as likely as the last of them (as GPT-2's code does)."""

    count: int

    def __call__(self, logits: Tensor, ids: Tensor) -> Tensor:
        """Return logits with -inf below the ``count``-th highest."""
        if self.count >= logits.shape[1]:
            return logits
        lowest = logits.topk(self.count, dim=1).values[:, -1:]
        return logits.masked_fill(logits < lowest, -math.inf)


@dataclass(frozen=True)
class TopP:
    """Keep the smallest set of most likely ids that holds ``share`` of the probability (Holtzman et al. 2020)."""

    share: float

    def __call__(self, logits: Tensor, ids: Tensor) -> Tensor:
        """Return logits with -inf outside the nucleus. This is the one transform that sorts."""
        ordered, order = logits.sort(dim=1, descending=True, stable=True)
        probabilities = ordered.softmax(dim=1)
        before = probabilities.cumsum(dim=1) - probabilities
        dropped = before >= self.share
        dropped[:, 0] = False  # the most likely id always stays
        return logits.masked_fill(torch.empty_like(dropped).scatter_(1, order, dropped), -math.inf)


@dataclass(frozen=True)
class MinP:
    """Keep ids at least ``fraction`` as likely as the most likely one (Nguyen et al. 2024)."""

    fraction: float

    def __call__(self, logits: Tensor, ids: Tensor) -> Tensor:
        """Return logits with -inf below the highest plus ln(fraction)."""
        return logits.masked_fill(logits < logits.amax(dim=1, keepdim=True) + math.log(self.fraction), -math.inf)


@dataclass(frozen=True, eq=False)
class Allow:
    """Draw only from some ids (one codebook of a joint vocabulary, ids that a tokenizer can decode)."""

    allowed: Tensor
    """bool (vocabulary,)"""

    def __call__(self, logits: Tensor, ids: Tensor) -> Tensor:
        """Return logits with -inf where nothing is allowed."""
        return logits.masked_fill(~self.allowed.to(logits.device), -math.inf)


def transforms_of(settings: SamplingSettings) -> tuple[LogitsTransform, ...]:
    """Return what the settings switch on, in the order of use: penalty, temperature, top-k, top-p, min-p."""
    transforms: list[LogitsTransform] = []
    if settings.repetition_penalty != 1:
        transforms.append(RepetitionPenalty(settings.repetition_penalty))
    if settings.temperature == 0:
        return tuple(transforms)  # the most likely id survives every filter
    if settings.temperature != 1:
        transforms.append(Temperature(settings.temperature))
    if settings.top_k:
        transforms.append(TopK(settings.top_k))
    if settings.top_p < 1:
        transforms.append(TopP(settings.top_p))
    if settings.min_p > 0:
        transforms.append(MinP(settings.min_p))
    return tuple(transforms)


def transform(logits: Tensor, ids: Tensor, transforms: Iterable[LogitsTransform]) -> Tensor:
    """Return logits (rows, vocabulary) after every transform."""
    for change in transforms:
        logits = change(logits, ids)
    return logits
