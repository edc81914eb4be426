"""From prompts to samples: settings are checked, ids drawn or searched for, and handed back to the tokenizer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.architecture import AnyNetwork
from zoo.errors import ZooError, suggest
from zoo.generate.beam import beam_search
from zoo.generate.guidance import guided
from zoo.generate.logits import Allow, InTurn, LogitsTransform
from zoo.generate.sampler import Sampler, next_probabilities, prepared, sample_seeds
from zoo.generate.settings import SamplingOptions, SamplingSettings
from zoo.generate.text import StopWatch, check_stops, cut_at_stop
from zoo.generate.window import select_conditioning
from zoo.prompts import Prompts, Start
from zoo.tokenizers.audio.base import AudioTokenizer
from zoo.tokenizers.base import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One sample with what it came from.

    Attributes:
        prompt: what it continues or is the target of, as given; None if it began from nothing.
        seed: the same prompt alone with this seed gives the same sample.
        ids: prompt and new ids, int64 (time,); a start id is left out, an end id and stop sequences are still there.
            Of a target, its ids alone.
        sample: what the tokenizer makes of the ids: text, an image, sound.
    """

    prompt: Any
    seed: int
    ids: Tensor
    sample: Any


@dataclass(frozen=True, kw_only=True)
class TokenProbability:
    """What a model thinks of one possible token."""

    id: int
    text: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Drawer:
    """Draws from one network.

    Attributes:
        network: on its device, in evaluation mode.
        tokenizer: makes samples of ids.
        prompts: makes ids of prompts.
        recipe: what the network was trained by: says how long a sample is where nobody else does.
    """

    network: AnyNetwork
    tokenizer: Tokenizer[Any]
    prompts: Prompts
    recipe: Mapping[str, Any]

    def settings(self, sampling: SamplingOptions, starts: Sequence[Start], count: int = 1) -> SamplingSettings:
        """Check the settings, and say how many ids to draw where they do not.

        Raises:
            ZooError: a network that does not write on, an unknown setting, or one that is out of range.
        """
        if not self.network.causal:
            raise ZooError("this model sees both sides of a token and does not write on; use fill and [MASK]")
        for name in sampling:
            if name not in SamplingOptions.__annotations__:
                raise ZooError(f"unknown setting '{name}'{suggest(name, SamplingOptions.__annotations__)}")
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ZooError(f"count: must be a whole number of at least 1, got {count!r}")
        room = sampling.get("max_new_tokens")
        chosen: dict[str, Any] = {**sampling, "max_new_tokens": self._room(starts) if room is None else room}
        return SamplingSettings(**chosen)

    def _is_whole(self, start: Start) -> bool:
        """Return whether a sample of fixed shape is complete as it is given."""
        whole = self.tokenizer.spec.ids_per_sample
        return whole is not None and start.given is not None and len(start.ids) >= whole

    def stops(self, stop: str | Sequence[str]) -> tuple[str, ...]:
        """Check stop sequences.

        Raises:
            ZooError: they are no text, or samples are none.
        """
        stops, modality = check_stops(stop), self.tokenizer.spec.modality
        if stops and modality != "text":
            raise ZooError(f"stop: sequences end text, and this model makes {modality}; use max_new_tokens")
        return stops

    def continue_all(
        self,
        starts: Sequence[Start],
        wanted: SamplingSettings,
        count: int,
        stops: tuple[str, ...],
        cache: bool,
        seeds: Sequence[int] | None = None,
    ) -> list[list[int]]:
        """Return new ids of ``count`` continuations of each start, those of the first start first."""
        if any(map(self._is_whole, starts)):
            rest = [start for start in starts if not self._is_whole(start)]
            every = [start for start in starts for _ in range(count)]
            left = [seed for start, seed in zip(every, seeds or (), strict=False) if not self._is_whole(start)]
            drawn = iter(self.continue_all(rest, wanted, count, stops, cache, left or None) if rest else [])
            return [[] if self._is_whole(start) else next(drawn) for start in starts for _ in range(count)]
        if count > wanted.beams > 1:
            raise ZooError(f"count: {count} samples from beams={wanted.beams}; say beams={count}, or a smaller count")
        if wanted.beams > 1:
            return [ids for start in starts for ids in self._search(start, wanted, count, cache)]
        new: list[list[int]] = [[] for _ in range(len(starts) * count)]
        for row, index in self.run(starts, wanted, count, stops, cache, seeds):
            new[row].append(index)
        return new

    def run(
        self,
        starts: Sequence[Start],
        wanted: SamplingSettings,
        count: int,
        stops: tuple[str, ...],
        cache: bool,
        seeds: Sequence[int] | None = None,
    ) -> Iterator[tuple[int, int]]:
        """Draw: return an iterator over (row, new id). Settings and prompts are checked before it is returned.

        ``seeds`` are of each row; None for those of ``Drawer.seeds``.
        """
        network = guided(self.network, wanted.guidance)
        told = prepared(network, self.prompts.conditioning(starts, wanted))
        if told is not None:  # what the encoder makes of a source is the same for all of its samples
            told = select_conditioning(told, torch.arange(len(starts)).repeat_interleave(count))
        starts = [start for start in starts for _ in range(count)]
        sampler = Sampler(
            network,
            [start.read for start in starts],
            wanted,
            end_ids=self.prompts.end_ids,
            cache=cache,
            conditioning=told,
            transforms=self.transforms(),
            seeds=self.seeds(starts, wanted) if seeds is None else seeds,
        )
        watches = [StopWatch(self.tokenizer.decode, start.ids.tolist(), stops) for start in starts if stops]

        def pairs() -> Iterator[tuple[int, int]]:
            for step in sampler:
                for row, index in zip(step.rows.tolist(), step.ids.tolist(), strict=True):
                    yield row, index
                    if stops and index not in self.prompts.end_ids and watches[row].add(index):
                        sampler.finish(row)

        return pairs()

    def seeds(self, starts: Sequence[Start], wanted: SamplingSettings) -> list[int]:
        """Return the seed of each sample: the first one's, plus the number of equal starts before it."""
        return sample_seeds([start.key for start in starts], wanted.seed)

    def next_probabilities(self, start: Start, wanted: SamplingSettings) -> Tensor:
        """Return what the first id after ``start`` would be drawn from, float32 (vocabulary,) on the CPU."""
        told, network = self.prompts.conditioning([start], wanted), guided(self.network, wanted.guidance)
        return next_probabilities(network, start.read, wanted, self.transforms(), told)

    def drawn(self, start: Start, seed: int, new: Sequence[int], stops: tuple[str, ...]) -> Drawn:
        """Return the sample that begins with ``start`` and goes on with the ids ``new``."""
        shape = self.tokenizer.spec.shape
        ids = torch.cat([start.ids, torch.tensor(new, dtype=torch.int64)])
        if shape is not None:
            ids = ids[: math.prod(shape)]
        shown = ids[:-1] if new and new[-1] in self.prompts.end_ids else ids
        sample = self.tokenizer.decode(self.prompts.codes(shown))
        if stops:
            sample = cut_at_stop(sample, stops, len(self.tokenizer.decode(start.ids)))
        return Drawn(prompt=start.given, seed=seed, ids=ids, sample=sample)

    def piece(self, index: int) -> str:
        """Return the text of one id; none of the end of a target, which no tokenizer knows."""
        known = index < self.tokenizer.spec.vocabulary_size
        text: str = self.tokenizer.decode(torch.tensor([index])) if known else ""
        return text

    def transforms(self) -> tuple[LogitsTransform, ...]:
        """Rule out ids that neither the tokenizer can decode nor end a sample: vocabularies are often rounded up, and
        codebooks take turns."""
        tokenizer = self.tokenizer
        allowed = torch.arange(self.network.output_vocabulary) < tokenizer.spec.output_vocabulary + self.prompts.shift
        for end in self.prompts.end_ids:
            allowed[end] = True
        chosen: list[LogitsTransform] = [] if bool(allowed.all()) else [Allow(allowed)]
        if isinstance(tokenizer, AudioTokenizer) and tokenizer.ids_per_hop > 1:
            kinds = tokenizer.ids_per_hop
            chosen.append(InTurn(kinds=kinds, size=tokenizer.spec.vocabulary_size // kinds))
        return tuple(chosen)

    def _room(self, starts: Sequence[Start]) -> int:
        shape, stated = self.tokenizer.spec.shape, self.recipe.get("generate") or {}
        if shape is not None:
            return max(math.prod(shape) - min((len(start.ids) for start in starts), default=0), 0)
        if isinstance(stated, Mapping) and isinstance(stated.get("max_new_tokens"), int):
            room: int = stated["max_new_tokens"]
            return room
        return self.network.context

    def _search(self, start: Start, wanted: SamplingSettings, count: int, cache: bool) -> list[list[int]]:
        found = beam_search(
            guided(self.network, wanted.guidance),
            start.read,
            wanted,
            end_ids=self.prompts.end_ids,
            cache=cache,
            conditioning=self.prompts.conditioning([start], wanted),
            transforms=self.transforms(),
        )
        if count > len(found):
            raise ZooError(
                f"count: {count} samples from beams={wanted.beams}; beam search gave {len(found)}, add beams"
            )
        return [hypothesis.ids.tolist() for hypothesis in found[:count]]
