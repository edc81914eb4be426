"""How long Jukebox's priors take for a minute of music: random weights at the released sizes, drawn by the shared core.

Each level is drawn in windows: ids are drawn one by one into a cache, and where a window ends the next one begins with
its newer ids, read again in one pass. Both are measured at several numbers of songs. What a minute takes follows from
how many ids are drawn and read again; the floor, from what a step must read and multiply and how fast that goes here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.jukebox_work import Level, Machine, Walk, Work, as_prior
from benchmarks.limits import product_rate, read_bandwidth
from benchmarks.measure import Row, row, settle
from zoo.architecture import outline
from zoo.errors import ZooError
from zoo.generate.cascade import SPAN
from zoo.generate.sampler import Sampler
from zoo.generate.settings import SamplingSettings
from zoo.music.config import PriorConfig
from zoo.music.prior import Prior
from zoo.music.telling import Piece, Telling
from zoo.network import Conditioning
from zoo.transformer.recording import EVERY
from zoo.weights.jukebox_prior import Settings, config_of, released

TITLE = "a minute of Jukebox's 5b from measured rates: drawing and re-reading, at several numbers of songs"
FLOOR = "the slower of reading weights and caches once a step and of multiplying by them, at this machine's rates"
READ_FLOOR = "the slower of reading weights once and of multiplying by them; attention and codes above come on top"
WARM = EVERY + 2
"""Steps before any is timed: by then a GPU's are recorded."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is measured.

    Attributes:
        levels: the coarsest first.
        songs: drawn at once.
        steps: timed together, in each run.
        dtype: of weights and caches.
        megabytes, product: working set and matrices (rows, inner, columns) by which the machine's rates are found.
        seconds, rate: of the sound that the estimate is for.
        stated: figures of others: what, who, minutes.
        gigabytes: without which it is not begun; 0 for any machine.
    """

    levels: tuple[Level, ...]
    songs: tuple[int, ...]
    steps: int
    dtype: torch.dtype
    megabytes: int
    product: tuple[int, int, int]
    seconds: float = 60.0
    rate: int = 44_100
    stated: tuple[tuple[str, str, float], ...] = ()
    gigabytes: float = 0.0


def _of_width(level: int, width: int, depth: int, context: int, heads: int = 1) -> PriorConfig:
    """Return a prior like the released ones, of another size."""
    blocks, merged = max(context // 32, 1), level == 2
    return config_of(
        Settings(level=level, prior_width=width, prior_depth=depth, heads=heads, n_ctx=context, blocks=blocks,
                 merged_decoder=merged, min_duration=0.0, cond_width=width // 2, cond_depth=4)
    )  # fmt: skip


def _levels(top: PriorConfig, middle: PriorConfig, bottom: PriorConfig) -> tuple[Level, ...]:
    return (
        Level(name="top prior", config=top, hop=128, part=0.125),
        Level(name="upsampler 1", config=middle, hop=32, part=0.5),
        Level(name="upsampler 0", config=bottom, hop=8, part=0.5),
    )


FULL = Sizes(
    levels=_levels(*(released(name) for name in ("prior_5b", "upsampler_level_1", "upsampler_level_0"))),
    songs=(1, 4, 8, 16),
    steps=64,
    dtype=torch.bfloat16,
    megabytes=4000,
    product=(8192, 8192, 8192),
    stated=(
        ("a minute, exact", "Jukebox, V100, as published", 540.0),
        ("a minute, exact", "goal on an H200", 12.0),
        ("a minute, in segments at once", "goal on an H200", 4.0),
    ),
    gigabytes=40.0,
)
SMALL = Sizes(
    levels=_levels(_of_width(2, 512, 12, 1024, heads=8), _of_width(1, 256, 12, 1024), _of_width(0, 256, 12, 1024)),
    songs=(1, 4),
    steps=32,
    dtype=torch.float32,
    megabytes=160,
    product=(1024, 1024, 1024),
)
TINY = Sizes(
    levels=_levels(_of_width(2, 32, 3, 128), _of_width(1, 32, 3, 128), _of_width(0, 32, 3, 128)),
    songs=(1, 2),
    steps=2,
    dtype=torch.float32,
    megabytes=1,
    product=(64, 64, 64),
)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One level at one number of songs.

    Attributes:
        steps: seconds of a step, one figure a run.
        reading: seconds in which a window's beginning is read, the codes above included.
        opening: seconds by which the first steps take longer than the others: on a GPU, one is recorded.
        gigabytes: of memory, most at a time.
    """

    steps: list[float]
    reading: float
    opening: float
    gigabytes: float


Found = dict[tuple[str, int], Measured]
"""By the name of a level, and songs at once."""


def measure(sizes: Sizes, runs: int) -> list[Row]:
    """Return rates, memory, and what a minute takes by them."""
    machine = _machine(sizes, runs)
    words = str(sizes.dtype).removeprefix("torch.")
    rows = [
        row(f"read {sizes.megabytes} MB", "machine", "GB/s", [machine.bandwidth / 1e9]),
        row(f"matrix products, {words}", "machine", "GFLOP/s", [machine.operations / 1e9]),
    ]
    found: Found = {}
    for level in sizes.levels:
        work, network = Work.of(level, sizes.dtype), _random(level.config, machine.device, sizes.dtype)
        for songs in sizes.songs:
            got = found[level.name, songs] = _drawn(level, network, songs, sizes, runs)
            rows += _rows(level, songs, got, work, machine)
        del network
    return [*rows, *_minutes(sizes, found, machine), *(row(n, who, "minutes", [m]) for n, who, m in sizes.stated)]


def _machine(sizes: Sizes, runs: int) -> Machine:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = torch.cuda.get_device_properties(device).total_memory / 1e9 if device.type == "cuda" else 0.0
    if there < sizes.gigabytes:
        raise ZooError(f"the released sizes need a GPU of {sizes.gigabytes:g} GB; add --small for what a CPU can do")
    bandwidth = max(read_bandwidth(sizes.megabytes * 1_000_000, runs, device))
    operations = max(product_rate(*sizes.product, sizes.dtype, runs, device))
    return Machine(device=device, bandwidth=bandwidth, operations=operations)


def _random(config: PriorConfig, device: torch.device, dtype: torch.dtype) -> Prior:
    """Return a prior with random weights, made where it stays."""
    network = as_prior(outline(config)).to(dtype).to_empty(device=device).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.02)
    return network


def _told(level: Level, songs: int, sizes: Sizes) -> Conditioning:
    """Return labels of nobody in particular, and random codes above."""
    labels, above = level.config.labels, level.config.above
    total = int(max(sizes.seconds, labels.timing.shortest if labels and labels.timing else 0.0) * sizes.rate)
    telling = Telling(config=level.config, hop=level.hop)
    row = telling.labels(telling.of(Piece(total=total), unknown=True), 0)
    codes = torch.randint(above.codes, (songs, level.config.context // above.ratio)) if above else None
    return Conditioning(labels=row.expand(songs, -1), above=codes)


def _drawn(level: Level, network: Prior, songs: int, sizes: Sizes, runs: int) -> Measured:
    """Begin a window and draw into it."""
    device = next(network.parameters()).device
    room = level.config.context - level.read
    steps = min(sizes.steps, (room - WARM) // runs)
    if steps < 1:
        raise ZooError(f"--runs {runs}: a window of {level.name} has room for {room - WARM} at most")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    begun = torch.full((songs, 1), network.start_id)
    prompts = list(torch.cat((begun, torch.randint(level.config.codes, (songs, level.read))), dim=1))
    settings = SamplingSettings(max_new_tokens=room, temperature=0.98)
    options: dict[str, Any] = {"conditioning": _told(level, songs, sizes), "seeds": range(songs)}
    reading = []
    for _ in range(2):  # the first time, a GPU's libraries choose their kernels
        start = time.perf_counter()
        sampler = Sampler(network, prompts, settings, **options)
        sampler.step()
        settle(device)
        reading.append(time.perf_counter() - start)
    start = time.perf_counter()
    for _ in range(WARM):
        sampler.step()
    settle(device)
    warming = time.perf_counter() - start
    taken = []
    for _ in range(runs):
        settle(device)
        start = time.perf_counter()
        for _ in range(steps):
            sampler.step()
        settle(device)
        taken.append((time.perf_counter() - start) / steps)
    opening = max(warming - WARM * min(taken), 0.0)
    gigabytes = _memory(network, songs, device) / 1e9
    return Measured(steps=taken, reading=min(reading), opening=opening, gigabytes=gigabytes)


def _memory(network: Prior, songs: int, device: torch.device) -> int:
    """Return the most bytes at a time; on a CPU, where torch does not count them, those of weights and caches."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    weights = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    dtype = next(network.parameters()).dtype
    return weights + songs * as_prior(outline(network.config)).to(dtype).new_cache(1).bytes


def _rows(level: Level, songs: int, got: Measured, work: Work, machine: Machine) -> Iterator[Row]:
    name = f"{level.name}, {songs} song{'s' * (songs > 1)}"
    best, ids = songs / work.step(songs, machine), songs * level.read
    yield row(f"{name}: draw", "zoo", "tokens/s", [songs / step for step in got.steps], best, FLOOR)
    least = work.reading(songs, level.read, machine)
    yield row(f"{name}: read {level.read:,} each", "zoo", "tokens/s", [ids / got.reading], ids / least, READ_FLOOR)
    what = "most at a time" if machine.device.type == "cuda" else "weights and caches"
    yield row(f"{name}: memory, {what}", "zoo", "GB", [got.gigabytes])


def _minutes(sizes: Sizes, found: Found, machine: Machine) -> list[Row]:
    """Return what ``sizes.seconds`` of sound take: exactly, in segments at once, and of many songs at once."""
    most = max(sizes.songs)
    one = f"{sizes.seconds:g} s of sound"
    parts = [1, *(_segments(sizes, level) for level in sizes.levels[1:])]  # the coarsest level is drawn in one piece
    rows = _row_of(f"{one}, exact", sizes, found, machine, songs=1, parts=[1] * len(parts))
    rows += _row_of(f"{one}, in {_listed(parts)} segments", sizes, found, machine, songs=1, parts=parts)
    rows += _row_of(f"{one}, each of {most} songs", sizes, found, machine, songs=most, parts=[1] * len(parts))
    return rows


def _row_of(name: str, sizes: Sizes, found: Found, machine: Machine, *, songs: int, parts: Sequence[int]) -> list[Row]:
    """Return what a song takes where ``songs`` are drawn at once, each level in ``parts`` segments; and the floor."""
    floor, taken = 0.0, [0.0] * len(next(iter(found.values())).steps)
    for level, segments in zip(sizes.levels, parts, strict=True):
        rows = songs * segments
        got, work = found[level.name, rows], Work.of(level, sizes.dtype)
        total = -(-_total(sizes, level) // segments)
        walk, ours = Walk.of(total, level), Walk.of(total, level, span=SPAN)
        taken = [
            sum_ + ours.seconds(step, got.reading, level, got.opening)
            for sum_, step in zip(taken, got.steps, strict=True)
        ]
        floor += walk.seconds(work.step(rows, machine), work.reading(rows, level.read, machine), level)
    return [
        row(name, "zoo, estimated", "minutes", [each / songs / 60 for each in taken]),
        row(name, "machine, the least", "minutes", [floor / songs / 60]),
    ]


def _listed(parts: Sequence[int]) -> str:
    return " + ".join(map(str, parts))


def _total(sizes: Sizes, level: Level) -> int:
    """Return the ids of the whole sound, which is cut to whole ids of the coarsest level."""
    coarsest = sizes.levels[0].hop
    return int(sizes.seconds * sizes.rate) // coarsest * coarsest // level.hop


def _segments(sizes: Sizes, level: Level) -> int:
    """Return into how many parts, of a window or more, a level can be cut: one of the numbers that were measured."""
    windows = _total(sizes, level) // level.config.context
    return max(songs for songs in sizes.songs if songs <= max(windows, 1))
