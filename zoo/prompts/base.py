"""What a prompt is to a network, before it is known to which kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zoo.architecture import AnyNetwork
from zoo.errors import ZooError, suggest
from zoo.generate.padding import PaddedIds
from zoo.generate.settings import SamplingSettings
from zoo.network import NO_CLASS, Conditioning
from zoo.tokenizers.base import Tokenizer

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
        told: what a prior is told of the sample beside its ids, each (numbers,).
    """

    given: Any
    lead: Tensor
    ids: Tensor
    source: Tensor | None = None
    class_id: int = NO_CLASS
    told: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def read(self) -> Tensor:
        """All ids that the network reads, (time,)."""
        return torch.cat([self.lead, self.ids])

    @property
    def key(self) -> Tensor:
        """What the sample depends on beside its seed, (time,): samples with equal keys get seeds that follow on."""
        between = torch.tensor([-1])
        apart = [] if self.source is None else [self.source, between]
        told = [part for name in sorted(self.told) for part in (self.told[name], between)]
        return torch.cat([torch.tensor([self.class_id]), *apart, *told, self.read])


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

    @property
    def shift(self) -> int:
        """How far the network's ids of a sample lie above those of the tokenizer."""
        return 0

    def codes(self, ids: Tensor) -> Tensor:
        """Return the tokenizer's ids of the network's ids of a sample."""
        return ids

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
            near = suggest(str(next(iter(conditions))), taken) if taken else ""
            raise ZooError(f"this model takes {takes}, got {', '.join(map(str, conditions))}{near}")

    def refuse_guidance(self, settings: SamplingSettings) -> None:
        """Refuse guidance where there is no label to be guided by.

        Raises:
            ZooError: say so.
        """
        if settings.guidance != 1:
            named = getattr(self.network.config, "classes", ())
            hint = f"; say label=NAME, for example label={named[0]}" if named else " and this model knows no labels"
            raise ZooError(f"guidance: compares pictures with a label to those without{hint}")
