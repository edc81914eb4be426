"""Everything that makes one VQ-VAE of sound differ from another, as one frozen value."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar

from zoo.errors import ZooError
from zoo.tokenizers import codebook
from zoo.tokenizers.base import Modality

MOST_LEVELS = 8
WIDEST = 8192
DEEPEST = 64
"""Residual blocks in a row."""
LONGEST = 1 << 20
"""Samples: the largest hop, and the largest dilation."""


@dataclass(frozen=True, kw_only=True)
class VqvaeConfig:
    """A hierarchical VQ-VAE of sound; the defaults are those of Jukebox's released codec (1,485,763 parameters).

    Every level has an encoder and a decoder of its own, between raw sound and its ids; level 0 is the finest. The
    encoder of level k halves the time ``downs[0] + ... + downs[k]`` times (for strides of 2).

    Attributes:
        rate: samples a second.
        codes: vectors of a level's codebook.
        code_width: their width.
        width: features of the convolutions.
        depth: residual blocks after each strided convolution.
        downs: strided convolutions of each level's own part.
        strides: of these convolutions; even.
        multipliers: of each level, for both width and depth.
        hidden_ratio: features inside a residual block, as a ratio of the width.
        dilation_growth: dilation of each residual block, as a multiple of the one before.
        dilation_cycle: blocks after which dilations start with 1 again; None for never.
        reverse_decoder_dilation: decoders have the largest dilation first.
        decay: of the codebooks' moving averages.
        threshold: codes whose moving count of inputs is below this are restarted; one for all levels, or one for each.
            A coarse level has few inputs an update: a threshold above their share of a code restarts all of them.
    """

    settings_name: ClassVar[str] = "vqvae"
    modality: ClassVar[Modality] = "music"

    rate: int = 44_100
    codes: int = 2048
    code_width: int = 64
    width: int = 32
    depth: int = 4
    downs: tuple[int, ...] = (3, 2, 2)
    strides: tuple[int, ...] = (2, 2, 2)
    multipliers: tuple[int, ...] = (2, 1, 1)
    hidden_ratio: float = 1.0
    dilation_growth: int = 3
    dilation_cycle: int | None = None
    reverse_decoder_dilation: bool = True
    decay: float = 0.99
    threshold: float | tuple[float, ...] = 1.0

    def __post_init__(self) -> None:
        if not 1 <= len(self.downs) <= MOST_LEVELS:
            raise ZooError(f"downs must name 1 to {MOST_LEVELS} levels, got {len(self.downs)}")
        if len(self.thresholds) != len(self.downs):
            raise ZooError(f"threshold must be one number, or one for each of the {len(self.downs)} levels in downs")
        for threshold in self.thresholds:
            codebook.check(codes=self.codes, width=self.code_width, decay=self.decay, threshold=threshold)
        for name, values in (("strides", self.strides), ("multipliers", self.multipliers)):
            if len(values) != len(self.downs):
                raise ZooError(f"{name} must have one number for each of the {len(self.downs)} levels in downs")
        if any(not 1 <= down <= 20 for down in self.downs):
            raise ZooError(f"downs must be 1 to 20 each, got {list(self.downs)}")
        if any(not 2 <= stride <= 64 or stride % 2 for stride in self.strides):
            raise ZooError(f"strides must be even, 2 to 64, so that lengths come out whole; got {list(self.strides)}")
        if self.hops[-1] > LONGEST:
            raise ZooError(f"one id of the top level would stand for {self.hops[-1]} samples, more than {LONGEST}")
        if not 1000 <= self.rate <= 1_000_000:
            raise ZooError(f"rate must be 1000 to 1000000 samples a second, got {self.rate}")
        self._check_blocks()

    def _check_blocks(self) -> None:
        if min(self.multipliers) < 1:
            raise ZooError(f"multipliers must be at least 1, got {list(self.multipliers)}")
        largest = max(self.multipliers)
        if not 1 <= self.width <= WIDEST // largest:
            raise ZooError(f"width must be 1 to {WIDEST}, times the largest multiplier; got {self.width} x {largest}")
        if not 0 <= self.depth <= DEEPEST // largest:
            raise ZooError(f"depth must be 0 to {DEEPEST}, times the largest multiplier; got {self.depth} x {largest}")
        if not (0 < self.hidden_ratio <= 16 and int(self.hidden_ratio * self.width) >= 1):
            raise ZooError(f"hidden_ratio must leave 1 to 16 times the width inside a block, got {self.hidden_ratio}")
        if not 1 <= self.dilation_growth <= 64:
            raise ZooError(f"dilation_growth must be 1 to 64, got {self.dilation_growth}")
        if self.dilation_cycle is not None and self.dilation_cycle < 1:
            raise ZooError(f"dilation_cycle must be at least 1, or null for none; got {self.dilation_cycle}")
        if max(self.dilations(largest), default=1) > LONGEST:
            raise ZooError(f"dilations grow beyond {LONGEST} samples; set dilation_cycle, or a smaller depth or growth")

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.downs)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The threshold of each level."""
        return self.threshold if isinstance(self.threshold, tuple) else (self.threshold,) * len(self.downs)

    @property
    def hops(self) -> tuple[int, ...]:
        """Samples that one id of each level stands for."""
        own = [stride**down for stride, down in zip(self.strides, self.downs, strict=True)]
        return tuple(math.prod(own[: level + 1]) for level in range(len(own)))

    def up_to(self, level: int) -> VqvaeConfig:
        """Return the configuration without the levels above ``level``, which has no use for them."""
        kept = slice(0, level + 1)
        return dataclasses.replace(
            self,
            downs=self.downs[kept],
            strides=self.strides[kept],
            multipliers=self.multipliers[kept],
            threshold=self.threshold[kept] if isinstance(self.threshold, tuple) else self.threshold,
        )

    def dilations(self, multiplier: int) -> tuple[int, ...]:
        """Return the dilation of each residual block in a row, of an encoder whose level has this multiplier."""
        blocks = range(self.depth * multiplier)
        return tuple(self.dilation_growth ** (block % (self.dilation_cycle or len(blocks))) for block in blocks)
