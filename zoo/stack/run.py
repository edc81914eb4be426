"""A plan carried out: level after level, each prior in memory only while its level is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from einops import rearrange
from torch import Tensor

from zoo.generate.cascade import LevelSampler, level_seed, lyric_alignment, seeded
from zoo.generate.sampler import device_of
from zoo.music.prior import Prior
from zoo.stack.journal import MISSING, Journal
from zoo.stack.plan import Plan, Stage
from zoo.transformer.linear import pack_all


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a level is.

    Attributes:
        level: its number.
        done, total: ids drawn, of all pieces.
        earlier: ids that an earlier run had drawn.
    """

    level: int
    done: int
    total: int
    earlier: int


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A level that is whole.

    Attributes:
        level: its number.
        codes: (pieces, time) int64.
        alignments: of each piece, float32 (time, characters of the lyrics); none where the level follows no lyrics.
    """

    level: int
    codes: Tensor
    alignments: tuple[Tensor, ...] = ()


def carry_out(plan: Plan, journal: Journal | None = None) -> Iterator[Progress | Finished]:
    """Draw every level of a plan, the coarsest first.

    Args:
        plan: what to draw.
        journal: where codes go as they are drawn, and come from where an earlier run was stopped; None for nowhere.

    Yields:
        Progress after every step, and each level when it is whole.
    """
    whole = dict(plan.given)
    for stage in plan.stages:
        above = whole.get(stage.tier.level + 1) if stage.tier.config.above else None
        finished: Finished | None = None
        for event in _Level(plan, stage, above, journal).draw():
            yield event
            finished = event if isinstance(event, Finished) else None
        assert finished is not None
        whole[stage.tier.level] = finished.codes


class _Level:
    """One level of a run. A row is a segment of a piece: all segments of the first piece, then of the second."""

    def __init__(self, plan: Plan, stage: Stage, above: Tensor | None, journal: Journal | None) -> None:
        self.plan, self.stage, self.above, self.journal = plan, stage, above, journal
        level, pieces, segments = stage.tier.level, len(plan.seeds), len(stage.begins)
        self.rows = pieces * segments
        shape = (self.rows, stage.length)
        self.codes = torch.full(shape, MISSING) if journal is None else journal.read(level, *shape)
        if stage.given:
            self.codes[:, : stage.given] = plan.given[level][:, : stage.given]
        self.earlier = int((self.codes[:, stage.given :] != MISSING).sum())
        self.done = self.earlier

    def draw(self) -> Iterator[Progress | Finished]:
        """Draw what is missing, group by group, then look where the lyrics are sung."""
        stage, prior = self.stage, None
        for first in range(0, self.rows, stage.fit.rows):
            group = range(first, min(first + stage.fit.rows, self.rows))
            known = min(self._known(row) for row in group)
            if known < stage.length:
                prior = prior or self._prior()
                yield from self._group(prior, group, known)
        if self.journal is not None:
            self.journal.flush(sync=True)
        codes = self._joined()
        alignments = self._alignments(prior, codes)
        yield Finished(level=stage.tier.level, codes=codes, alignments=alignments)

    def _prior(self) -> Prior:
        """Return the prior, its matrices copied for all rows of the plan, however few are left to draw."""
        prior = self.stage.tier.load()
        if self.stage.fit.packed:
            pack_all(prior, self.stage.fit.rows)
        return prior

    def _known(self, row: int) -> int:
        missing = (self.codes[row] == MISSING).nonzero()
        return int(missing[0]) if len(missing) else self.stage.length

    def _group(self, prior: Prior, group: range, known: int) -> Iterator[Progress]:
        stage, level = self.stage, self.stage.tier.level
        places = [divmod(row, len(stage.begins)) for row in group]
        begins = [stage.begins[segment] for _, segment in places]
        seeds = [level_seed(self.plan.seeds[piece], level) for piece, _ in places]
        told = [
            replace(stage.told[piece], offset=stage.told[piece].offset + begin * stage.tier.hop)
            for (piece, _), begin in zip(places, begins, strict=True)
        ]
        sampler = LevelSampler(
            prior,
            stage.tier.telling,
            told,
            self.codes[group.start : group.stop],
            self._above(places),
            step=stage.step,
            settings=stage.settings,
            draws=seeded(seeds, stage.settings, device_of(prior), begins),
            given=stage.given,
            known=known,
            chunk=stage.fit.chunk,
        )
        for drawn in sampler:
            if self.journal is not None:
                self.journal.add(level, group, [drawn.position] * len(group), drawn.codes.tolist())
            self.done += len(group)
            yield Progress(level=level, done=min(self.done, stage.new), total=stage.new, earlier=self.earlier)

    def _above(self, places: list[tuple[int, int]]) -> Tensor | None:
        """Return the codes above of rows (piece, segment)."""
        stage = self.stage
        if self.above is None or stage.tier.config.above is None:
            return None
        ratio = stage.tier.config.above.ratio
        begins = [stage.begins[segment] // ratio for _, segment in places]
        length = stage.length // ratio
        return torch.stack(
            [self.above[piece, begin : begin + length] for (piece, _), begin in zip(places, begins, strict=True)]
        )

    def _joined(self) -> Tensor:
        """Return the codes of whole pieces; where the last segment overlaps with the one before, that one counts."""
        stage = self.stage
        parts = rearrange(self.codes, "(piece segment) time -> segment piece time", segment=len(stage.begins))
        found, end = [], 0
        for begin, part in zip(stage.begins, parts, strict=True):
            found.append(part[:, end - begin :])
            end = begin + stage.length
        return torch.cat(found, dim=1).clamp(min=0)

    def _alignments(self, prior: Prior | None, codes: Tensor) -> tuple[Tensor, ...]:
        stage, lyrics = self.stage, self.stage.tier.config.lyrics
        if lyrics is None or lyrics.alignment is None or not any(len(told.lyrics) for told in stage.told):
            return ()
        if self.journal is not None and (kept := self.journal.alignments(stage.tier.level)) is not None:
            return kept
        prior = prior or stage.tier.load()
        above = [None] * len(codes) if self.above is None else list(self.above)
        found = tuple(
            lyric_alignment(prior, stage.tier.telling, told, piece, higher, step=stage.step)
            for told, piece, higher in zip(stage.told, codes, above, strict=True)
        )
        if self.journal is not None:
            self.journal.keep_alignments(stage.tier.level, found)
        return found
