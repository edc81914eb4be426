"""The ids of one level of a codec, window by window; coarser levels come first. Dhariwal et al. 2020, section 4.4.

A piece is longer than what a prior reads at once, so windows overlap: each begins with ids that are there already, is
told its own place in the piece, lyrics and codes above, and draws what follows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.generate.draw import Draw, Greedy, Race, Replayed
from zoo.generate.guidance import guided
from zoo.generate.sampler import Sampler, device_of, prepared
from zoo.generate.settings import SamplingSettings
from zoo.music.alignment import alignment
from zoo.music.config import PriorConfig
from zoo.music.prior import Prior
from zoo.music.telling import Telling, Told
from zoo.music.windows import starts
from zoo.network import Conditioning

SPAN = 1024
"""Ids after which a window is read afresh in one pass, so that going on after a stop replays no more than that."""

Draws = Callable[[int], Draw]
"""From a position in a level to what draws the ids from there on."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A window of a level: reads from id ``start``, draws ``first`` to ``end`` (not included)."""

    start: int
    first: int
    end: int


def windows(total: int, context: int, step: int, *, given: int = 0) -> list[Window]:
    """Return the windows in which a level of ``total`` ids is drawn, ``given`` of which are known before.

    Args:
        total: ids of the level; fewer than ``context`` make one window that is as short.
        context: ids of a window.
        step: ids from one window to the next.
        given: ids at the beginning that are not drawn.
    """
    if total <= context:
        return [Window(start=0, first=given, end=total)] if given < total else []
    ends = [(start, start + context) for start in starts(total, context, step)]
    found = []
    for start, end in ends:
        if end > given:
            found.append(Window(start=start, first=given, end=end))
            given = end
    return found


def step_of(config: PriorConfig, hop: float) -> int:
    """Return the ids from one window to the next, for a part ``hop`` of the context in (0, 1]."""
    if not 0 < hop <= 1:
        raise ZooError(f"hop: a part of the window in (0, 1] is needed, got {hop}")
    ratio = config.above.ratio if config.above else 1
    return max(int(hop * config.context) // ratio, 1) * ratio


def level_seed(seed: int, level: int) -> int:
    """Return the seed of one level of a sample: levels must not draw by the same numbers."""
    return int.from_bytes(hashlib.sha256(f"{seed}, level {level}".encode()).digest()[:7])


def seeded(seeds: Sequence[int], settings: SamplingSettings, device: torch.device, places: Sequence[int]) -> Draws:
    """Return draws that depend on a row's seed and its place alone, whatever was drawn in this process.

    Args:
        seeds: of each row, for this level.
        settings: temperature 0 is greedy.
        device: where logits are.
        places: where in the level each row's first id stands.
    """
    if settings.temperature == 0:
        return lambda position: Greedy()
    return lambda position: Race(seeds, device, skip=[place + position for place in places])


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What one step drew: id ``position`` of every row, (rows,) int64; see ``LevelSampler.codes``."""

    position: int
    codes: Tensor


class LevelSampler:
    """Draws what is missing of one level, for several rows at once: ``for drawn in LevelSampler(...)``.

    Args:
        prior: of the level; its matrices are copied before, or not at all: how much memory is free now must not
            decide how numbers are rounded.
        telling: what the prior is told.
        told: what is said of each row.
        codes: (rows, total) int64, of which the first ``known`` columns count; the others are filled in. Where a prior
            of ``PrefixedLyrics`` draws a lyric id in the place of music, the number is negative, and means code 0.
        above: (rows, total / ratio) int64, the codes of the level above; None at the coarsest.
        step: ids from one window to the next.
        settings: how to draw; ``max_new_tokens`` is not used.
        draws: see ``seeded``.
        given: columns of ``codes`` that were there before anything was drawn.
        known: columns of ``codes`` that are known now: of a run that was stopped, more than ``given``.
        chunk: ids read at once, to bound memory; None reads what a window knows in one pass.
        span: see ``SPAN``.

    Attributes:
        codes: all of it, in the end.

    Raises:
        ZooError: codes above that do not fit.
    """

    def __init__(
        self,
        prior: Prior,
        telling: Telling,
        told: Sequence[Told],
        codes: Tensor,
        above: Tensor | None,
        *,
        step: int,
        settings: SamplingSettings,
        draws: Draws,
        given: int = 0,
        known: int | None = None,
        chunk: int | None = None,
        span: int = SPAN,
    ) -> None:
        self.codes = codes
        self._prior, self._telling, self._told, self._above = prior, telling, told, above
        self._network = guided(prior, settings.guidance)
        self._settings, self._draws, self._chunk, self._span = settings, draws, chunk, span
        self._known = given if known is None else known
        self._ratio = prior.config.above.ratio if prior.config.above else 0
        wanted = codes.shape[1] // self._ratio if self._ratio else None
        if (None if above is None else above.shape[1]) != wanted:
            raise ZooError(
                f"this level needs {wanted or 'no'} codes above, got {'none' if above is None else above.shape[1]}"
            )
        self._windows = windows(codes.shape[1], prior.context, step, given=given)

    def __iter__(self) -> Iterator[Drawn]:
        """Yield what each step draws, as soon as it is drawn."""
        for window in self._windows:
            if window.end <= self._known:
                continue
            told = prepared(self._network, self.conditioning(window))
            for begin in range(window.first, window.end, self._span):
                end = min(begin + self._span, window.end)
                if end > self._known:
                    yield from self._draw(window, begin, end, told)

    def conditioning(self, window: Window) -> Conditioning:
        """Return what the prior is told of a window."""
        return told_of(self._prior, self._telling, self._told, self._above, window.start, window.end)

    def _draw(self, window: Window, begin: int, end: int, told: Conditioning | None) -> Iterator[Drawn]:
        """Draw the ids ``begin`` to ``end``, the known ones among them again."""
        known = max(self._known, begin)
        before = self.codes[:, window.start : begin].clone()
        earlier = before[:, : window.first - window.start]
        earlier.clamp_(min=0)  # what an earlier window drew counts as codes, as in the original
        prompts = torch.nn.functional.pad(self._prior.ids_of(before), (1, 0), value=self._prior.start_id)
        replayed = Replayed(self._prior.ids_of(self.codes[:, begin:known]), self._draws(known))
        sampler = Sampler(
            self._network,
            list(prompts),
            replace(self._settings, max_new_tokens=end - begin),
            conditioning=told,
            draw=replayed,
            chunk=self._chunk,
            pack=False,
        )
        for position, step in enumerate(sampler, start=begin):
            if position < known:
                continue
            self.codes[:, position] = step.ids - self._prior.config.shift
            self._known = position + 1
            yield Drawn(position=position, codes=self.codes[:, position])


def told_of(
    prior: Prior, telling: Telling, told: Sequence[Told], above: Tensor | None, start: int, end: int
) -> Conditioning:
    """Return what a prior is told of the ids ``start`` to ``end`` of every row: labels, lyrics, codes above."""
    config = prior.config
    labels = source = codes = None
    if config.labels is not None:
        labels = torch.stack([telling.labels(one, start) for one in told])
    if config.lyrics is not None:
        source = torch.stack([telling.lyrics(one, start)[0] for one in told])
    if config.above is not None:
        assert above is not None
        codes = above[:, start // config.above.ratio : end // config.above.ratio].clamp(min=0)
    return Conditioning(labels=labels, source=source, above=codes)


@torch.no_grad()
def lyric_alignment(
    prior: Prior, telling: Telling, told: Told, codes: Tensor, above: Tensor | None, *, step: int
) -> Tensor:
    """Return how much each id of a level attends to each character of its lyrics, float32 (total, characters).

    Where windows overlap, the earlier one counts.

    Args:
        prior: one whose alignment is known.
        telling, told: what it is told of the piece.
        codes: (total,) int64, of the whole level.
        above: (total / ratio,) int64, None at the coarsest level.
        step: ids from one window to the next.
    """
    total, device = len(codes), device_of(prior)
    found = torch.zeros(total, len(told.lyrics) + 1)  # the last column takes what looks at padding
    whole = None if above is None else above[None]
    for window in reversed(windows(total, prior.context, step)):
        conditioning = prepared(prior, told_of(prior, telling, [told], whole, window.start, window.end))
        assert conditioning is not None
        ids = prior.ids_of(codes[window.start : window.end - 1].clamp(min=0))
        ids = torch.nn.functional.pad(ids, (1, 0), value=prior.start_id)[None].to(device)
        places = telling.lyrics(told, window.start)[1]
        found[window.start : window.end, places] = alignment(prior, ids, conditioning)[0].cpu()
    return found[:, :-1]
