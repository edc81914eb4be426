"""How much memory drawing a level takes, and how many rows of it fit, before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from zoo.architecture import count_parameters, outline
from zoo.errors import ZooError
from zoo.memory import available_bytes
from zoo.music.config import PriorConfig
from zoo.music.prior import Prior

MOST = 16
"""Rows drawn side by side unless people say more; Jukebox's ``max_batch_size``."""
SHARE = 0.9
"""Of the free memory that is used."""
LEAST = 64
"""Ids read at once, at least."""
STATES = 12
"""Vectors of the width that are alive for an id that is read."""
MASK = 6
"""Bytes for each key that an id of a part of a window is compared with: what it sees, and that as a number to add."""
GB = 1e9


@dataclass(frozen=True, kw_only=True)
class Need:
    """Bytes that drawing takes.

    Attributes:
        weights: of the prior.
        row: for each row.
        read: for each id of a row that is read at once.
        align: for looking where the lyrics are sung, once all is drawn.
    """

    weights: int
    row: int
    read: int
    align: int = 0

    def total(self, rows: int, chunk: int) -> int:
        """Return bytes for so many rows."""
        return self.weights + max(rows * (self.row + chunk * self.read), self.align)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How a level is drawn within memory.

    Attributes:
        rows: at once.
        chunk: ids of a window that are read at once, None for all.
        need: what it takes.
    """

    rows: int
    chunk: int | None
    need: Need


def need_of(config: PriorConfig, *, guided: bool, dtype: torch.dtype) -> Need:
    """Return the memory that drawing a level takes: weights, caches, what is told of a window, and reading one."""
    network = outline(config)
    assert isinstance(network, Prior)
    size, readings = dtype.itemsize, 2 if guided else 1
    with torch.device("meta"):
        cache = network.to(dtype=dtype).new_cache(1).bytes
    positions = config.context * (config.width * 2 + (4 * config.above.width if config.above else 0))
    lyrics = 0 if config.lyrics is None else config.lyrics.length * config.width * 4
    aligned = config.lyrics is not None and config.lyrics.alignment is not None
    return Need(
        weights=count_parameters(network) * size,
        row=readings * (cache + size * (positions + lyrics)) + config.output_vocabulary * 16,
        read=readings * size * STATES * config.width,
        align=size * STATES * config.width * network.context if aligned else 0,
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

    Raises:
        ZooError: not even one row fits, or not as many as people said; what would fit is named.
    """
    need = need_of(config, guided=guided, dtype=dtype)
    need = replace(need, weights=0) if loaded else need
    free = available_bytes(device)
    wanted = min(rows, MOST if most is None else most)
    if free is None or not windowed:
        return Fit(rows=wanted, chunk=None, need=need)
    room = int(SHARE * free)
    shortest = min(LEAST, config.context)
    fit = max((room - need.weights) // (need.row + shortest * need.read), 0)
    fit = 0 if need.weights + need.align > room else fit
    if fit < (1 if most is None else wanted):
        half = need_of(config, guided=guided, dtype=torch.bfloat16)
        mend = []
        if fit:
            mend.append(f"at_once={fit}")
        if dtype != torch.bfloat16 and half.total(1, shortest) <= room:
            mend.append(f"dtype=bfloat16 ({half.total(1, shortest) / GB:.2f} GB for one piece)")
        asked = need.total(1 if most is None else wanted, shortest)
        raise ZooError(
            f"level {level} takes {asked / GB:.2f} GB ({need.weights / GB:.2f} of them its weights), and {device} has "
            f"{free / GB:.2f} GB free; {' or '.join(mend) if mend else 'this needs a larger machine'}"
        )
    at_once = min(wanted, fit)
    left = room - need.weights - at_once * need.row
    if left // (at_once * max(need.read, 1)) >= config.context + 1:
        return Fit(rows=at_once, chunk=None, need=need)
    chunk = left // (at_once * need.read + MASK * config.context)
    return Fit(rows=at_once, chunk=max(1 << (chunk.bit_length() - 1), 1), need=need)
