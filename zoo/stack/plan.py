"""What a stack is asked for, and the plan made of it: lengths, windows and memory of every level."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.generate.cascade import step_of, windows
from zoo.generate.settings import SamplingSettings
from zoo.music.config import PriorConfig
from zoo.music.prior import Prior
from zoo.music.telling import Piece, Telling, Told
from zoo.stack.memory import Fit, fitted

HOP = (0.5, 0.125)
"""Of a window, from one to the next: of finer levels, and of the coarsest (Jukebox's ``hop_fraction``)."""
TEMPERATURE = (0.99, 0.98)
"""Of finer levels, and of the coarsest, as in Jukebox's notebook."""


@dataclass(frozen=True, kw_only=True)
class Tier:
    """One level of a stack.

    Attributes:
        level: 0 is the finest.
        hop: samples that an id stands for.
        config: of its prior.
        load: reads the prior's weights, in the type and place where it will draw.
        loaded: they are in memory already.
    """

    level: int
    hop: int
    config: PriorConfig
    load: Callable[[], Prior]
    loaded: bool = False

    @property
    def telling(self) -> Telling:
        """What its prior is told."""
        return Telling(config=self.config, hop=self.hop)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What people ask a stack for. Values for each level are one number for all, or one a level, the finest first.

    Attributes:
        artist, genre, lyrics: empty for none.
        seconds: of new sound; None for a window of the coarsest level, or nothing where codes are only made finer.
        total_seconds: of the whole piece that this is the beginning of, as priors are told; None for what is made,
            but no less than the prior knows.
        count: pieces, or with codes or sounds to go on from, of each of these.
        seed: of the first piece; the next has the next seed.
        temperature: None for ``TEMPERATURE``.
        guidance: see ``SamplingSettings``; every level that it guides is read twice.
        top_k, top_p, min_p: see ``SamplingSettings``.
        hop: None for ``HOP``.
        levels: the levels to draw; None for all.
        parallel_segments: so many parts of a finer level are drawn side by side; all but the first begin without what
            came before them on their level.
        unknown: go on where a name is not known.
        at_once: most rows that are drawn side by side; None for what fits.
    """

    artist: str = ""
    genre: str = ""
    lyrics: str = ""
    seconds: float | None = None
    total_seconds: float | None = None
    count: int = 1
    seed: int = 0
    temperature: float | tuple[float, ...] | None = None
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    guidance: float | tuple[float, ...] = 1.0
    hop: float | tuple[float, ...] | None = None
    levels: tuple[int, ...] | None = None
    parallel_segments: int = 1
    unknown: bool = False
    at_once: int | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ZooError(f"count must be at least 1, got {self.count}")
        if self.parallel_segments < 1:
            raise ZooError(f"parallel_segments must be at least 1, got {self.parallel_segments}")
        if self.at_once is not None and self.at_once < 1:
            raise ZooError(f"at_once must be at least 1, got {self.at_once}")
        for name in ("seconds", "total_seconds"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 86_400:
                raise ZooError(f"{name}: must be above 0 and below a day, got {value}")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The drawing of one level.

    Attributes:
        tier: the level.
        given: ids that each piece begins with.
        step: ids from one window to the next.
        settings: how to draw.
        told: what the prior is told of each piece.
        begins: where in a piece its segments begin; one of them, at 0, unless they are drawn side by side.
        length: ids of a segment.
        fit: rows at once, and ids that are read at once.
    """

    tier: Tier
    given: int
    step: int
    settings: SamplingSettings
    told: tuple[Told, ...]
    begins: tuple[int, ...]
    length: int
    fit: Fit

    @property
    def new(self) -> int:
        """Ids that are drawn, of all pieces."""
        return len(self.told) * len(self.begins) * (self.length - self.given)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that is decided before a run.

    Attributes:
        stages: levels to draw, the coarsest first; that one also where all of it is given and lyrics are sung to it, so
            that it is known when.
        given: codes to begin with, (pieces, time) int64 by level.
        samples: length of a piece.
        rate: samples a second.
        seeds: of each piece.
        said: of each piece.
    """

    stages: tuple[Stage, ...]
    given: Mapping[int, Tensor]
    samples: int
    rate: int
    seeds: tuple[int, ...]
    said: tuple[Piece, ...]

    def fits(self) -> dict[str, Any]:
        """Return what must stay as it is when the run is gone on with, as JSON holds it."""
        return {str(stage.tier.level): [stage.fit.rows, stage.fit.chunk, stage.fit.packed] for stage in self.stages}

    def remarks(self) -> list[str]:
        """Return what people should know of it."""
        found = []
        for stage in self.stages:
            level, context = stage.tier.level, stage.tier.config.context
            if not stage.new:
                found.append(
                    f"level {level}: all ids are given, and are read to see when the lyrics are sung; levels="
                    f"{','.join(str(other.tier.level) for other in self.stages[1:])} does without"
                )
            elif stage.length < context:
                found.append(
                    f"level {level}: {stage.length} ids are less than its window of {context} "
                    f"({context * stage.tier.hop / self.rate:.2f} s), so one shorter window is drawn"
                )
            if len(stage.begins) > 1:
                found.append(
                    f"level {level}: {len(stage.begins)} segments side by side; at {len(stage.begins) - 1} seams what "
                    "comes before is not known on this level, only on the one above"
                )
        return found


def make_plan(
    request: Request,
    tiers: Sequence[Tier],
    *,
    rate: int,
    given: Mapping[int, Tensor],
    device: torch.device,
    dtype: torch.dtype,
    fits: Mapping[str, Any] | None = None,
    came: Sequence[Mapping[str, Any]] = (),
) -> Plan:
    """Return the plan for a request, refused in one line where something does not fit.

    Args:
        request: what is asked.
        tiers: of the stack, the coarsest first.
        rate: samples a second.
        given: codes to begin with, (rows, time) by level.
        device, dtype: where and in what the priors draw.
        fits: what an earlier run decided, see ``Plan.fits``.
        came: what is known of each row of ``given``: ``artist``, ``genre``, ``lyrics``, and in samples ``total`` and
            ``offset``; what the request says counts more, and no ``total`` keeps a piece from becoming longer.

    Raises:
        ZooError: levels that do not exist or cannot be drawn, lengths, names or settings out of range, no memory.
    """
    coarse, known = tiers[0], {tier.level for tier in tiers}
    wanted = known if request.levels is None else set(request.levels)
    if wanted - known:
        raise ZooError(f"levels: there is no prior of level {min(wanted - known)}; there are {_listed(known)}")
    rows = len(next(iter(given.values()))) if given else 1
    if any(len(codes) != rows for codes in given.values()):
        raise ZooError("codes: every level must hold as many pieces")
    given = {level: codes.repeat_interleave(request.count, 0) for level, codes in given.items()}
    pieces = rows * request.count
    unit = coarse.hop
    kept = max((codes.shape[1] * _hop(tiers, level) for level, codes in given.items()), default=0)
    made = kept or coarse.config.context * unit
    if request.seconds is not None:
        made = kept + max(round(request.seconds * rate / unit), 1) * unit
    made = max(-(-made // unit) * unit, unit)
    known_rows = came or [{}] * rows
    said = [_piece(request, known_rows[row], coarse.config, made, rate) for row in range(rows)]
    said = [piece for piece in said for _ in range(request.count)]
    _refuse_unheard(said, tiers, unknown=request.unknown)
    stages = []
    for place, tier in enumerate(tiers):
        have = min(given[tier.level].shape[1], made // tier.hop) if tier.level in given else 0
        whole = have == made // tier.hop
        if tier.level not in wanted or (whole and (place or not _aligned(tier.config, said))):
            continue
        if place and tiers[place - 1].level not in wanted:
            _refuse_unknown_above(tier.level, tiers[place - 1], given, made, rate, request.seconds)
        stages.append(_stage(request, tier, said, made // tier.hop, have, tiers, device, dtype, fits))
    if not any(stage.new for stage in stages):
        raise ZooError("nothing is left to draw: all codes are given; say seconds= for more, or levels=")
    seeds = tuple(request.seed + index for index in range(pieces))
    return Plan(stages=tuple(stages), given=given, samples=made, rate=rate, seeds=seeds, said=tuple(said))


def _aligned(config: PriorConfig, said: Sequence[Piece]) -> bool:
    """Say whether it can be known when the lyrics of these pieces are sung."""
    return config.lyrics is not None and config.lyrics.alignment is not None and any(piece.lyrics for piece in said)


def _refuse_unknown_above(
    level: int, above: Tier, given: Mapping[int, Tensor], made: int, rate: int, seconds: float | None
) -> None:
    """Refuse to draw a level whose codes above are not drawn and not all given.

    Raises:
        ZooError: say which, and how to come by them.
    """
    if above.level not in given:
        raise ZooError(f"levels: level {level} needs the codes of level {above.level}: draw that too, or give codes=")
    long = given[above.level].shape[1] * above.hop
    if long < made:
        mend = "draw that too" if seconds is None else "draw that too, or leave seconds= out"
        has = f"{long / rate:.2f}: {mend}"
        raise ZooError(f"levels: level {level} needs {made / rate:.2f} s of level {above.level}, and codes= has {has}")


def _piece(request: Request, came: Mapping[str, Any], coarse: PriorConfig, made: int, rate: int) -> Piece:
    """Return what is said of a piece: by the request, else by what came with its codes.

    Raises:
        ZooError: it is longer than the request says that the whole of it is.
    """
    offset = int(came.get("offset", 0))
    end = offset + made
    if request.total_seconds is not None:
        total = round(request.total_seconds * rate)
    else:
        timing = coarse.labels.timing if coarse.labels else None
        total = max(end, int(came.get("total", 0)), 0 if timing is None else math.ceil(timing.shortest * rate))
    if total < end:
        raise ZooError(f"total_seconds: the whole piece must be as long as what is made of it, {end / rate:.2f} s")
    words = {name: getattr(request, name) or str(came.get(name, "")) for name in ("artist", "genre", "lyrics")}
    return Piece(**words, total=total, offset=offset)


def _refuse_unheard(said: Sequence[Piece], tiers: Sequence[Tier], *, unknown: bool) -> None:
    """Refuse what no prior listens to, unless unknown names are not minded.

    Raises:
        ZooError: name it.
    """
    labels = any(tier.config.labels is not None for tier in tiers)
    lyrics = any(tier.config.lyrics is not None for tier in tiers)
    for name, heard in (("artist", labels), ("genre", labels), ("lyrics", lyrics)):
        if not heard and not unknown and any(getattr(piece, name) for piece in said):
            raise ZooError(f"{name}: no prior here is told of it; leave it out, or say unknown=ok")


def _stage(
    request: Request,
    tier: Tier,
    said: Sequence[Piece],
    total: int,
    given: int,
    tiers: Sequence[Tier],
    device: torch.device,
    dtype: torch.dtype,
    fits: Mapping[str, Any] | None,
) -> Stage:
    config, coarsest = tier.config, tier.level == tiers[0].level
    place = [each.level for each in reversed(tiers)].index(tier.level)  # the finest first
    settings = SamplingSettings(
        max_new_tokens=0,
        temperature=_of(request.temperature, TEMPERATURE, coarsest, place, len(tiers), "temperature"),
        top_k=request.top_k,
        top_p=request.top_p,
        min_p=request.min_p,
        guidance=_of(request.guidance, (1.0, 1.0), coarsest, place, len(tiers), "guidance"),
        seed=request.seed,
    )
    if settings.guidance != 1 and config.labels is None:
        raise ZooError(f"guidance: the prior of level {tier.level} is told no labels; {_guidable(request, tiers)}")
    step = step_of(config, _of(request.hop, HOP, coarsest, place, len(tiers), "hop"))
    told = tuple(tier.telling.of(piece, unknown=request.unknown) for piece in said)
    begins, length = _segments(request.parallel_segments, total, given, config.above.ratio if config.above else 0)
    fit = fitted(
        tier.config,
        tier.level,
        rows=len(said) * len(begins),
        windowed=bool(windows(length, config.context, step, given=given)),
        guided=settings.guidance != 1,
        most=request.at_once,
        loaded=tier.loaded,
        device=device,
        dtype=dtype,
        before=None if fits is None else fits.get(str(tier.level)),  # none where nothing was to be drawn
    )
    return Stage(
        tier=tier,
        given=given,
        step=step,
        settings=settings,
        told=told,
        begins=begins,
        length=length,
        fit=fit,
    )


def _guidable(request: Request, tiers: Sequence[Tier]) -> str:
    """Return what to say instead of a guidance of levels that are told no labels."""
    values = [
        _of(request.guidance, (1.0, 1.0), False, place, len(tiers), "guidance") if tier.config.labels else 1.0
        for place, tier in enumerate(reversed(tiers))
    ]
    said = ",".join(f"{value:g}" for value in values)
    return "leave it out" if set(values) == {1.0} else f"say guidance={said}, the finest level first"


def _segments(count: int, total: int, given: int, ratio: int) -> tuple[tuple[int, ...], int]:
    """Return where segments begin, and their length; the last one is moved back to end with the piece."""
    if count == 1 or not ratio:
        return (0,), total
    if given:
        raise ZooError(
            "parallel_segments: this level has codes to go on from, which is done from left to right; leave it out"
        )
    length = -(-total // (count * ratio)) * ratio
    return tuple(min(begin, total - length) for begin in range(0, total, length)), length


def _of(
    value: float | tuple[float, ...] | None,
    default: tuple[float, float],
    coarsest: bool,
    place: int,
    levels: int,
    name: str,
) -> float:
    """Return the value of one level."""
    if value is None:
        return default[coarsest]
    if not isinstance(value, tuple):
        return value
    if len(value) > levels or place >= len(value):
        raise ZooError(
            f"{name}: give one number, or one for each of {levels} levels, the finest first; got {len(value)}"
        )
    return value[place]


def _hop(tiers: Sequence[Tier], level: int) -> int:
    for tier in tiers:
        if tier.level == level:
            return tier.hop
    raise ZooError(f"codes: there is no prior of level {level}; there are {_listed({tier.level for tier in tiers})}")


def _listed(levels: set[int]) -> str:
    return ", ".join(map(str, sorted(levels)))
