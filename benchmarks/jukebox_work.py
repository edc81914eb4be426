"""What drawing a level of Jukebox's codec costs: how many ids in how many windows, and the least that each can take."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from zoo.architecture import outline
from zoo.generate.cascade import windows
from zoo.music.config import PriorConfig
from zoo.music.prior import Prior
from zoo.transformer.cache import LayerCache, TransformerCache


@dataclass(frozen=True, kw_only=True)
class Level:
    """One level of the codec, and how it is drawn.

    Attributes:
        name: of its prior.
        config: of its prior.
        hop: samples of sound an id stands for.
        part: of a window that is new in the next one.
    """

    name: str
    config: PriorConfig
    hop: int
    part: float

    @property
    def read(self) -> int:
        """Ids with which a window begins."""
        return self.config.context - int(self.part * self.config.context)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The device: bytes that it reads and operations that it does a second, at best."""

    device: torch.device
    bandwidth: float
    operations: float


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a level's window costs at the least.

    Attributes:
        weights: numbers in the matrices that every id is multiplied by.
        cache: keys and values that a step reads for each song, on average over the window's new ids.
        size: bytes of one number.
    """

    weights: int
    cache: float
    size: int

    @classmethod
    def of(cls, level: Level, dtype: torch.dtype) -> Work:
        """Count it."""
        network = as_prior(outline(level.config)).transformer
        matrices = sum(weight.numel() for block in network.layers() for weight in block.parameters())
        cache = network.new_cache(1)
        read = [_read(cache, position) for position in range(level.read, level.config.context)]
        return cls(weights=matrices + network.output_matrix.numel(), cache=sum(read) / len(read), size=dtype.itemsize)

    def step(self, songs: int, machine: Machine) -> float:
        """Return the least seconds of a step."""
        read = self.size * (self.weights + songs * self.cache) / machine.bandwidth
        return max(read, 2 * songs * (self.weights + self.cache) / machine.operations)

    def reading(self, songs: int, ids: int, machine: Machine) -> float:
        """Return the least seconds of reading ``ids`` ids of each song in one pass; attention comes on top."""
        return max(self.size * self.weights / machine.bandwidth, 2 * songs * ids * self.weights / machine.operations)


def _read(cache: TransformerCache, position: int) -> int:
    """Return the keys and values that a step reads for one song."""
    layers = [layer for layer in cache.layers if isinstance(layer, LayerCache)]
    counts = (len(range(*layer.pattern.read(position).indices(layer.keys.shape[2]))) for layer in layers)
    return sum(2 * layer.keys.shape[1] * layer.keys.shape[3] * seen for layer, seen in zip(layers, counts, strict=True))


def as_prior(network: nn.Module) -> Prior:
    """Return a network that is known to be a prior."""
    assert isinstance(network, Prior)
    return network


@dataclass(frozen=True, kw_only=True)
class Walk:
    """How a level of a piece is drawn: ids drawn, and ids read again where a window, or a span of one, begins."""

    drawn: int
    reread: int
    begins: int

    @classmethod
    def of(cls, total: int, level: Level, *, span: int | None = None) -> Walk:
        """Return it for ``total`` ids; a window is read afresh after each ``span`` ids, or only where it begins."""
        context = level.config.context
        begins = [
            begin - window.start
            for window in windows(total, context, context - level.read)
            for begin in range(window.first, window.end, span or context)
        ]
        return cls(drawn=total, reread=sum(begins), begins=len(begins))

    def seconds(self, step: float, reading: float, level: Level, opening: float = 0.0) -> float:
        """Return what it takes, from the seconds of a step, and of reading the beginning of a window.

        ``opening`` is by how much the first steps of a span take longer than others.
        """
        return self.drawn * step + self.reread / level.read * reading + self.begins * opening
