"""Sounds of any length through a VQ-VAE in constant memory: overlapping chunks, and the ids of one piece.

A chunk is encoded with as many samples around it as its ids can depend on: the exact reach of the encoder's
convolutions. At the two ends of the sound there is nothing beyond, and convolutions see zeros there as they do in one
piece. So ids are those of one piece; only float32's rounding may differ, which decides where an encoder's output lies
as near to one vector of the codebook as to another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.errors import ZooError
from zoo.tokenizers.audio.vqvae.config import VqvaeConfig

Block = Tensor | NDArray[np.float32]
SECONDS, OVERLAPS = 4.0, 10
"""A chunk is at least so long, and so many times as long as what lies around it on one side: a sixth is done twice."""


def encoder_reach(config: VqvaeConfig, level: int) -> int:
    """Return how many samples on each side of its own ``hop`` an id of ``level`` can depend on."""
    reach = 0
    for block in reversed(range(level + 1)):
        reach += 1  # the last convolution of a block has three taps
        for _ in range(config.downs[block]):
            reach += sum(config.dilations(config.multipliers[level]))
            reach = reach * config.strides[block] + config.strides[block] // 2  # 2 * stride taps, every stride
    return reach


def decoder_reach(config: VqvaeConfig, level: int) -> int:
    """Return how many ids of ``level`` on each side of its own id a sample can depend on."""
    reach = 1  # samples, of the last convolution
    for block in range(level + 1):
        stride = config.strides[block]
        for _ in range(config.downs[block]):
            reach = (reach + stride + stride // 2 - 1) // stride  # 2 * stride taps spread over the samples
            reach += sum(config.dilations(config.multipliers[level]))
        reach += 1
    return reach


@dataclass(frozen=True)
class Window:
    """A stretch of a long sequence with what lies around it.

    Attributes:
        values: (time,).
        before: how many of them lie before the stretch; fewer than the margin only at the beginning of the sequence.
        core: how many belong to the stretch; what follows is shorter than the margin only at the end.
    """

    values: Tensor
    before: int
    core: int

    def around(self, margin: int) -> tuple[Tensor, int]:
        """Return the stretch with at most ``margin`` values on each side, and how many there are before it."""
        before = min(self.before, margin)
        return self.values[self.before - before : self.before + self.core + margin], before


def windows(pieces: Iterable[Tensor], *, core: int, margin: int, multiple: int = 1) -> Iterator[Window]:
    """Yield a sequence, given in pieces (time,) of any length, as windows; holds one window and one piece at a time.

    Args:
        pieces: of the sequence.
        core: length of every stretch but the last.
        margin: values on each side of a stretch, where the sequence has them.
        multiple: the sequence is filled up with zeros until this divides its length.
    """
    held: list[Tensor] = []
    count, before, total = 0, 0, 0
    for piece in pieces:
        held.append(piece)
        count, total = count + len(piece), total + len(piece)
        while count >= before + core + margin:
            whole = torch.cat(held) if len(held) > 1 else held[0]
            yield Window(whole[: before + core + margin], before, core)
            kept = max(0, before + core - margin)
            held, count, before = [whole[kept:]], count - kept, before + core - kept
    if held and total % multiple:
        filling = held[0].new_zeros(multiple - total % multiple)
        held, count = [*held, filling], count + len(filling)
    whole = torch.cat(held) if held else torch.empty(0)
    while count > before:
        size = min(core, count - before)
        yield Window(whole[: before + size + margin], before, size)
        kept = max(0, before + size - margin)
        whole, count, before = whole[kept:], count - kept, before + size - kept


@dataclass(frozen=True, kw_only=True)
class Tower:
    """One level of a codec, as far as long sounds are concerned.

    Attributes:
        rate: samples per second.
        hop: samples that an id stands for.
        encoder_reach, decoder_reach: see the functions of these names.
        encode: samples (time,), a multiple of ``hop``, to ids (time / hop,).
        decode: ids (time,) to samples (time * hop,), not clipped.
    """

    rate: int
    hop: int
    encoder_reach: int
    decoder_reach: int
    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]

    @classmethod
    def of(
        cls, config: VqvaeConfig, level: int, *, encode: Callable[[Tensor], Tensor], decode: Callable[[Tensor], Tensor]
    ) -> Self:
        """Return the tower of a level, given what encodes and decodes a piece."""
        return cls(
            rate=config.rate,
            hop=config.hops[level],
            encoder_reach=encoder_reach(config, level),
            decoder_reach=decoder_reach(config, level),
            encode=encode,
            decode=decode,
        )

    def encode_blocks(self, blocks: Iterable[Block], *, seconds: float | None = None) -> Iterator[Tensor]:
        """Yield this level's ids of a sound of any length, a stretch at a time; see ``encode_blocks``."""
        return (ids for (ids,) in encode_blocks([self], blocks, seconds=seconds))

    def decode_blocks(self, blocks: Iterable[Tensor], *, seconds: float | None = None) -> Iterator[Tensor]:
        """Yield the sound of ids, a stretch at a time; joined, the stretches are what ``decode`` gives for all.

        Args:
            blocks: ids (time,) int64, in blocks of any length.
            seconds: of sound that are decoded at a time; None: some, at which little is done twice.

        Yields:
            float32 (time,) on the processor, not clipped.
        """
        core = max(1, _samples(seconds, self.rate, self.decoder_reach * self.hop) // self.hop)
        for window in windows(blocks, core=core, margin=self.decoder_reach):
            begin, end = window.before * self.hop, (window.before + window.core) * self.hop
            yield self.decode(window.values)[begin:end].cpu()


def encode_blocks(
    towers: Sequence[Tower], blocks: Iterable[Block], *, seconds: float | None = None
) -> Iterator[tuple[Tensor, ...]]:
    """Yield the ids of a sound of any length at several levels, a stretch at a time; joined, they are those of a piece.

    A sound whose length is no multiple of the largest hop is filled up with silence.

    Args:
        towers: of the levels, of one codec.
        blocks: the sound's samples (time,) float32 at the codec's rate, in blocks of any length.
        seconds: of sound that are encoded at a time, without what overlaps; None: some, at which little is done twice.

    Yields:
        int64 (time,) on the processor for each level, all of the same stretch.

    Raises:
        ZooError: a stretch that is not positive.
    """
    hop = max(tower.hop for tower in towers)
    margins = [_up(tower.encoder_reach, tower.hop) for tower in towers]
    core = _up(_samples(seconds, towers[0].rate, max(margins)), hop)
    pieces = (torch.as_tensor(block, dtype=torch.float32) for block in blocks)
    for window in windows(pieces, core=core, margin=max(margins), multiple=hop):
        found = []
        for tower, margin in zip(towers, margins, strict=True):
            values, before = window.around(margin)
            begin, end = before // tower.hop, (before + window.core) // tower.hop
            found.append(tower.encode(values)[begin:end].cpu())
        yield tuple(found)


def _samples(seconds: float | None, rate: int, margin: int) -> int:
    """Return the length of a chunk, in samples, without the ``margin`` on each side."""
    if seconds is None:
        return max(round(SECONDS * rate), OVERLAPS * margin)
    if not 0 < seconds < float("inf"):
        raise ZooError(f"seconds of a chunk must be positive and finite, got {seconds}")
    return max(1, round(seconds * rate))


def _up(value: int, multiple: int) -> int:
    """Return the least multiple that is not below ``value``."""
    return -(-value // multiple) * multiple
