"""How much memory drawing a level takes, and how many rows of it fit, before anything is allocated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from zoo.architecture import count_parameters, outline
from zoo.errors import ZooError
from zoo.memory import available_bytes
from zoo.music.config import PriorConfig
from zoo.music.prior import Prior
from zoo.transformer.attention import CrossAttention
from zoo.transformer.compiled import made_for_kind
from zoo.transformer.linear import pays

MOST = 16
"""Rows drawn side by side unless people say more; Jukebox's ``max_batch_size``."""
SHARE = 0.9
"""Of the free memory that is used."""
LEAST = 64
"""Ids read at once, at least."""
STATES = 6
"""Vectors of the width that are alive for an id that is read."""
INNER = 3
"""Vectors of a layer's widest product that are; a bfloat16 one is added up in float32 on a CPU."""
COPIES = 3
"""Of a layer's cache that are alive while a part of a window is put into it: with the part, and what goes where."""
MASK = 7
"""Bytes for each key that an id of a part of a window is compared with: what it sees, and that as a number to add."""
GB = 1e9
Before = Sequence[Any]
"""Rows, chunk and whether matrices are copied, of a ``Fit``; older runs did not decide the latter."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """Bytes that drawing takes.

    Attributes:
        weights: of the prior.
        row: for each row.
        read: for each id of a row that is read at once.
        part: for each row of which a window is read in parts.
        context: ids of a window, with lyrics that are read before it.
        lyrics: of these, ids that are read with the first part.
        copy: of the weights, where steps read one.
        align: for looking where the lyrics are sung, once all is drawn.
    """

    weights: int
    row: int
    read: int
    part: int
    context: int
    lyrics: int = 0
    copy: int = 0
    align: int = 0

    def total(self, rows: int, chunk: int | None, *, packed: bool = False) -> int:
        """Return bytes for so many rows, and so many ids of a window that are read at once, None for all."""
        weights = self.weights + packed * self.copy
        return weights + max(rows * self._row(chunk) + self._mask(chunk), self.align)

    def rows(self, room: int, chunk: int | None) -> int:
        """Return how many rows fit ``room`` bytes."""
        left = room - self.weights
        return 0 if self.align > left else max((left - self._mask(chunk)) // self._row(chunk), 0)

    def least(self, rows: int) -> int:
        """Return bytes for so many rows, a window read in whatever way takes least."""
        return min(self.total(rows, chunk) for chunk in self.chunks())

    def chunks(self) -> list[int | None]:
        """Return the ways to read a window, the fastest first: at once, or in fewer and fewer ids."""
        powers = range((self.context - 1).bit_length() - 1, LEAST.bit_length() - 2, -1)
        return [None, *(1 << power for power in powers)]

    def _row(self, chunk: int | None) -> int:
        if chunk is None:
            return self.row + self.context * self.read
        return self.row + self.part + (chunk + self.lyrics) * self.read

    def _mask(self, chunk: int | None) -> int:
        """Return bytes of the mask of a part, which is the same for all rows."""
        return 0 if chunk is None else MASK * chunk * (self.context + chunk)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How a level is drawn within memory.

    Attributes:
        rows: at once.
        chunk: ids of a window that are read at once, None for all.
        packed: matrices are copied into the layout that steps read fastest.
        need: what it takes.
    """

    rows: int
    chunk: int | None
    packed: bool
    need: Need

    @property
    def total(self) -> int:
        """Bytes."""
        return self.need.total(self.rows, self.chunk, packed=self.packed)


def need_of(config: PriorConfig, *, guided: bool, device: torch.device, dtype: torch.dtype) -> Need:
    """Return the memory that drawing a level takes: weights, caches, what is told of a window, and reading one."""
    network = outline(config)
    assert isinstance(network, Prior)
    size, readings = dtype.itemsize, 2 if guided else 1
    with torch.device("meta"):
        cache = network.to(dtype=dtype).new_cache(1)
    blocks = list(network.transformer.layers())
    positions = config.context * (config.width * 2 + (4 * config.above.width if config.above else 0))
    memory = sum(
        each.attention.memory_input.out_features for each in blocks if isinstance(each.attention, CrossAttention)
    )
    lyrics = 0 if config.lyrics is None else config.lyrics.length * (config.width * 4 + memory)
    aligned = config.lyrics is not None and config.lyrics.alignment is not None
    widest = max(each.out_features for block in blocks for each in (block.attention.input, block.feedforward.input))
    read = size * (STATES * config.width + INNER * widest)
    context = config.context + config.prefix
    weights = count_parameters(network) * size
    copied = device.type == "cpu" and made_for_kind(blocks) is None
    tiles = cache.bytes // 2 if copied and dtype is torch.bfloat16 else 0  # see ``zoo.transformer.one_query.Tiles``
    return Need(
        weights=weights,
        row=readings * (cache.bytes + tiles + size * (positions + lyrics)) + config.output_vocabulary * 16,
        read=readings * read,
        part=readings * COPIES * max(each.bytes for each in cache.layers),
        context=context,
        lyrics=config.prefix,
        copy=weights if copied else 0,
        align=read * context if aligned else 0,
    )


def fitted(
    config: PriorConfig,
    level: int,
    *,
    rows: int,
    windowed: bool,
    guided: bool,
    most: int | None,
    loaded: bool,
    device: torch.device,
    dtype: torch.dtype,
    before: Before | None = None,
) -> Fit:
    """Return how many rows are drawn at once, and how much of a window is read at once.

    Args:
        config: of the level's prior.
        level: for messages.
        rows: all there are.
        windowed: something is drawn.
        guided: every row is read twice.
        most: what people said; None for as many as fit.
        loaded: the weights are in memory already.
        device, dtype: where and in what.
        before: how a run that is gone on with was drawn: so is the rest of it, but where that no longer fits, and
            other numbers of rows draw the same.

    Raises:
        ZooError: not even one row fits, or not as many as people said, or as before; what would fit is named.
    """
    need = need_of(config, guided=guided, device=device, dtype=dtype)
    need = replace(need, weights=0) if loaded else need
    free = available_bytes(device)
    wanted = min(rows, MOST if most is None else most)
    if before is not None:
        kept = _kept(before, need, level, most=most, free=free if windowed else None, device=device, dtype=dtype)
        if kept is not None:
            return kept
        wanted, most = min(wanted, before[0]), None
    if free is None or not windowed:
        return Fit(rows=wanted, chunk=None, packed=pays(wanted, device, dtype), need=need)
    room = int(SHARE * free)
    fit = max(need.rows(room, chunk) for chunk in need.chunks())
    if fit < (1 if most is None else wanted):
        half = need_of(config, guided=guided, device=device, dtype=torch.bfloat16)
        mend = []
        if fit:
            mend.append(f"at_once={fit}")
        if dtype != torch.bfloat16 and half.least(1) <= room:
            mend.append(f"dtype=bfloat16 ({half.least(1) / GB:.2f} GB for one piece)")
        asked = need.least(1 if most is None else wanted)
        raise ZooError(
            f"level {level} takes {asked / GB:.2f} GB ({need.weights / GB:.2f} of them its weights), and {device} has "
            f"{free / GB:.2f} GB free; {' or '.join(mend) if mend else 'this needs a larger machine'}"
        )
    at_once = min(wanted, fit)
    # Rows gain most, then the copy, for it is read at every step; then fewer parts, which are read now and then.
    packed = pays(at_once, device, dtype)
    ways = [
        Fit(rows=at_once, chunk=chunk, packed=some, need=need) for some in (packed, False) for chunk in need.chunks()
    ]
    return next(way for way in ways if way.total <= room)


def _kept(
    before: Before,
    need: Need,
    level: int,
    *,
    most: int | None,
    free: int | None,
    device: torch.device,
    dtype: torch.dtype,
) -> Fit | None:
    """Return how an earlier run was drawn, or fewer rows if people said so; None where others draw the same and fit.

    Raises:
        ZooError: it does not fit, and others would draw another piece.
    """
    rows: int = before[0] if most is None else min(before[0], most)
    decided = before[2:] or (pays(rows, device, dtype), False)
    ways = [Fit(rows=rows, chunk=before[1], packed=packed, need=need) for packed in decided]
    if free is None:
        return ways[0]
    for fit in ways:
        if fit.total <= free:  # all of it, not a share: what is free differs a little each time
            return fit
    if device.type == "cpu" and dtype is torch.float32:
        return None
    fewer = need.rows(free - fit.packed * need.copy, fit.chunk)
    mend = "free as much as there was then"
    if fewer:
        mend += f", or say at_once={fewer}, which rounds otherwise, so that the rest is another piece"
    raise ZooError(
        f"level {level} was begun with {rows} rows at once, which take {fit.total / GB:.2f} GB, and {device} has "
        f"{free / GB:.2f} GB free; {mend}"
    )
