"""The one loop that draws ids from any network: ragged prompts, static cache, rows that leave when they are done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.generate.draw import IMPOSSIBLE, Draw, Greedy, Race
from zoo.generate.logits import LogitsTransform, transform, transforms_of
from zoo.generate.reader import CachedReader, PlainReader, Reader
from zoo.generate.settings import SamplingSettings
from zoo.generate.window import Windows, select_conditioning
from zoo.network import Conditioning, Predictor
from zoo.transformer.linear import pack_for_drawing


@dataclass(frozen=True)
class Step:
    """What one step drew: ``ids[i]`` continues sample ``rows[i]``; both int64 (active rows,) on the CPU."""

    rows: Tensor
    ids: Tensor


class Sampler:
    """Draws from ``network`` after ``prompts``, one ``Step`` at a time: ``for step in Sampler(...)``.

    Rows end after ``max_new_tokens`` ids, after an id of ``end_ids`` (which still is part of their step), or when the
    caller says ``finish``; they leave the batch, so that a step costs what its active rows cost.

    Args:
        network: any causal network; drawn from in evaluation mode, left in the mode it was in.
        prompts: ids (time,) of each sample, int64, at least one id each. Give a prompt twice for two samples.
        settings: what to draw; ``beams`` is for ``zoo.generate.beam``.
        end_ids: ids that end a row.
        cache: remember keys and values (or states); without, each step reads the whole window again: slow, same ids.
        conditioning: rows as ``prompts``; ``added`` must cover every position up to the last id drawn.
        transforms: applied to logits after the settings' own, e.g. ``zoo.generate.logits.Allow``.
        draw: instead of greedy or seeded sampling, e.g. ``zoo.generate.draw.InverseCumulative``.
        seeds: of each sample, where equal prompts do not mean equal samples; None for ``sample_seeds``.
        chunk: read prompts in pieces of this many ids, to bound memory; None reads them whole.
        pack: copy the network's matrices where drawing gains by it and memory is free now; False leaves it as it is.

    Raises:
        ZooError: an empty or too long prompt, ids outside the vocabulary, logits that are not finite.
    """

    def __init__(
        self,
        network: Predictor,
        prompts: Sequence[Tensor],
        settings: SamplingSettings,
        *,
        end_ids: Sequence[int] = (),
        cache: bool = True,
        conditioning: Conditioning | None = None,
        transforms: Sequence[LogitsTransform] = (),
        draw: Draw | None = None,
        seeds: Sequence[int] | None = None,
        chunk: int | None = None,
        pack: bool = True,
    ) -> None:
        self._network = network
        self._conditioning = prepared(network, conditioning)
        self._device = device_of(network)
        self._reader: Reader = CachedReader(network, chunk) if cache else PlainReader(network)
        self._transforms = (*transforms_of(settings), *transforms)
        if draw is None:
            seeds = sample_seeds(prompts, settings.seed) if seeds is None else seeds
            draw = Greedy() if settings.temperature == 0 else Race(seeds, self._device)
        self._draw = draw
        self._end_ids = torch.tensor(list(end_ids), dtype=torch.int64)
        self._remaining = settings.max_new_tokens

        if pack and cache and isinstance(network, nn.Module):
            pack_for_drawing(network, len(prompts), settings.max_new_tokens)
        prompts = [check_prompt(prompt, network, settings, index) for index, prompt in enumerate(prompts)]
        self._rows = torch.arange(len(prompts))
        self._finished: set[int] = set()
        self._windows = Windows(prompts, settings.max_new_tokens, network.context, self._device)

    def __iter__(self) -> Iterator[Step]:
        """Yield steps until no row is left."""
        while (step := self.step()) is not None:
            yield step

    def finish(self, row: int) -> None:
        """End sample ``row`` (its place among ``prompts``) now."""
        self._finished.add(row)

    @torch.no_grad()
    def step(self) -> Step | None:
        """Draw one id for every active row; None when there is nothing left to draw."""
        if self._finished:
            self._keep(torch.tensor([row not in self._finished for row in self._rows.tolist()], dtype=torch.bool))
            self._finished.clear()
        if not len(self._rows) or not self._remaining:
            return None
        self._remaining -= 1
        with evaluation_mode(self._network):
            logits = self._network.head(self._reader.read(self._windows, self._conditioning))[:, -1].float()
        if self._transforms:
            logits = transform(logits, self._windows.seen, self._transforms)
        drawn = self._draw(logits)
        self._windows.append(drawn)
        step = Step(self._rows, drawn.cpu())
        self._check(step)
        if len(self._end_ids):
            self._keep(~torch.isin(step.ids, self._end_ids))
        return step

    def _check(self, step: Step) -> None:
        if IMPOSSIBLE in step.ids.tolist():
            row = int(step.rows[step.ids.tolist().index(IMPOSSIBLE)])
            raise ZooError(no_probability(f"sample {row}"))

    def _keep(self, mask: Tensor) -> None:
        """Go on with the active rows where ``mask`` (active rows,) is True."""
        if bool(mask.all()):
            return
        kept = mask.nonzero()[:, 0]
        self._rows = self._rows[kept]
        if self._remaining and len(kept):
            self._windows.select(kept)
            self._reader.select(kept)
            self._draw.select(kept)
            if self._conditioning is not None:
                self._conditioning = select_conditioning(self._conditioning, kept)


def generate_ids(
    network: Predictor,
    prompts: Sequence[Tensor],
    settings: SamplingSettings,
    *,
    end_ids: Sequence[int] = (),
    cache: bool = True,
    conditioning: Conditioning | None = None,
    transforms: Sequence[LogitsTransform] = (),
) -> list[Tensor]:
    """Return the new ids of every prompt, int64 (new,) on the CPU, an end id included. See ``Sampler``."""
    sampler = Sampler(
        network,
        prompts,
        settings,
        end_ids=end_ids,
        cache=cache,
        conditioning=conditioning,
        transforms=transforms,
    )
    drawn = torch.full((len(prompts), settings.max_new_tokens), IMPOSSIBLE, dtype=torch.int64)
    counts = torch.zeros(len(prompts), dtype=torch.int64)
    for column, step in enumerate(sampler):
        drawn[step.rows, column] = step.ids
        counts[step.rows] += 1
    return [row[:count] for row, count in zip(drawn, counts.tolist(), strict=True)]


@torch.no_grad()
def next_probabilities(
    network: Predictor,
    prompt: Tensor,
    settings: SamplingSettings,
    transforms: Sequence[LogitsTransform] = (),
    conditioning: Conditioning | None = None,
) -> Tensor:
    """Return what the next id after ``prompt`` (time,) would be drawn from, float32 (vocabulary,) on the CPU."""
    ids = check_prompt(prompt, network, settings, 0).to(device_of(network))[None]
    told = prepared(network, conditioning)
    with evaluation_mode(network):
        logits = network.head(network.hidden(ids, conditioning=told)[:, -1:])[:, -1].float()
    probabilities = transform(logits, ids, (*transforms_of(settings), *transforms)).softmax(dim=1)[0].cpu()
    if not bool(probabilities.isfinite().all()):
        raise ZooError(no_probability("prompt 0"))
    return probabilities


def no_probability(what: str) -> str:
    """Return the message for logits from which nothing can be drawn."""
    return (
        f"{what}: the model gives no probability to any id (its logits are NaN, infinite, or all ruled out); check its "
        "weights, dtype=float32, and what limits the ids"
    )


def sample_seeds(prompts: Sequence[Tensor], seed: int) -> list[int]:
    """Return the seed of each sample: ``seed`` plus the number of equal prompts before it."""
    before: dict[tuple[int, ...], int] = {}
    seeds = []
    for prompt in prompts:
        key = tuple(prompt.tolist())
        seeds.append(seed + before.get(key, 0))
        before[key] = before.get(key, 0) + 1
    return seeds


def check_prompt(prompt: Tensor, network: Predictor, settings: SamplingSettings, index: int) -> Tensor:
    """Return the ids to start from, cut to the context if the settings say so, or raise ZooError."""
    if prompt.ndim != 1 or prompt.dtype != torch.int64:
        raise ZooError(f"prompt {index}: expected int64 ids (time,), got {prompt.dtype} of shape {tuple(prompt.shape)}")
    if not len(prompt):
        raise ZooError(f"prompt {index} is empty: give at least one id")
    lowest, highest = int(prompt.min()), int(prompt.max())
    if lowest < 0 or highest >= network.vocabulary:
        wrong = lowest if lowest < 0 else highest
        raise ZooError(f"prompt {index}: id {wrong} is outside the model's vocabulary [0, {network.vocabulary})")
    return cut_prompt(prompt, network.context, settings, index).cpu()


def cut_prompt(prompt: Tensor, context: int, settings: SamplingSettings, index: int) -> Tensor:
    """Return the last ``context`` ids of ``prompt`` (time,) if the settings allow to cut it, or raise ZooError."""
    if len(prompt) > context and settings.truncate != "left":
        raise ZooError(
            f"prompt {index} has {len(prompt)} ids, more than the model's context of {context}; shorten it, or "
            "set truncate=left to use its end"
        )
    return prompt[-context:]


@torch.no_grad()
def prepared(network: Predictor, conditioning: Conditioning | None) -> Conditioning | None:
    """Return ``conditioning`` on the network's device, with what is the same at every step computed."""
    if conditioning is None:
        return None
    with evaluation_mode(network):
        return network.prepare(conditioning.to(device_of(network)))


@contextmanager
def evaluation_mode(network: Predictor) -> Iterator[None]:
    """Switch dropout off for a while."""
    if not (isinstance(network, nn.Module) and network.training):
        yield
        return
    network.eval()
    try:
        yield
    finally:
        network.train()


def device_of(network: Predictor) -> torch.device:
    """Return where the network's parameters live."""
    parameter = next(network.parameters(), None) if isinstance(network, nn.Module) else None
    return torch.device("cpu") if parameter is None else parameter.device
