"""The settings of the VQ-VAE of pictures. They are light: torch comes only with the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from zoo.errors import ZooError

MAX_SIDE = 4096
"""Largest number of rows and of columns of a grid."""
MAX_HOP = 64
MAX_CODES = 65_535
"""With the start id, as many ids as 16 bits hold."""


@dataclass(frozen=True, kw_only=True)
class ImageVqvaeConfig:
    """A VQ-VAE of pictures (van den Oord et al. 2017, section 4.1).

    Attributes:
        size: rows and columns of pixels that pictures are brought to, or one number for both; multiples of ``hop``.
        channels: 3 for colours, 1 for gray levels.
        hop: rows and columns of pixels that one code stands for, a power of two; each halving is one strided
            convolution (the paper: 4).
        codes: size of the codebook (the paper: 512).
        code_width: width of its vectors (their code: 64).
        width: of the convolutions and residual blocks (the paper: 256).
        depth: residual blocks on either side (the paper: 2).
        decay: of the running averages that the codebook's vectors follow (the paper's appendix A.1: 0.99).
        threshold: a code that was used less often than this, as a running average over updates, is begun afresh from
            what the encoder has just made (Dhariwal et al. 2020, section 3.2).
    """

    settings_name: ClassVar[str] = "image_vqvae"

    size: int | tuple[int, int] = 32
    channels: Literal[1, 3] = 3
    hop: int = 4
    codes: int = 512
    code_width: int = 64
    width: int = 128
    depth: int = 2
    decay: float = 0.99
    threshold: float = 1.0

    def __post_init__(self) -> None:
        check_size(self.size)
        check_codes(hop=self.hop, codes=self.codes)
        for name in ("code_width", "width"):
            if not 1 <= getattr(self, name) <= 1 << 14:
                raise ZooError(f"{name} must be 1 to {1 << 14}, got {getattr(self, name)}")
        if not 0 <= self.depth <= 64:
            raise ZooError(f"depth must be 0 to 64, got {self.depth}")
        if not 0 <= self.decay < 1:
            raise ZooError(f"decay must lie in [0, 1), got {self.decay}")
        if not 0 < self.threshold < float("inf"):
            raise ZooError(f"threshold must be above 0 and finite, got {self.threshold}")
        if self.rows % self.hop or self.columns % self.hop:
            raise ZooError(
                f"size must be a multiple of hop={self.hop} in rows and columns, got {self.rows} x {self.columns}"
            )

    @property
    def rows(self) -> int:
        """Rows of pixels."""
        return self.size if isinstance(self.size, int) else self.size[0]

    @property
    def columns(self) -> int:
        """Columns of pixels."""
        return self.size if isinstance(self.size, int) else self.size[1]

    @property
    def shape(self) -> tuple[int, int]:
        """The grid of codes: rows, columns."""
        return self.rows // self.hop, self.columns // self.hop


def check_codes(*, hop: int, codes: int) -> None:
    """Refuse numbers that no codec of pictures can have.

    Raises:
        ZooError: name the number and its limits.
    """
    if not 2 <= hop <= MAX_HOP or hop & (hop - 1):
        raise ZooError(f"hop must be a power of two from 2 to {MAX_HOP}, got {hop}")
    if not 2 <= codes <= MAX_CODES:
        raise ZooError(f"codes must be 2 to {MAX_CODES}, got {codes}")


def check_size(size: int | tuple[int, int] | None) -> None:
    """Refuse a grid that is too large; None is one that nobody knows yet.

    Raises:
        ZooError: say so.
    """
    sides = (size,) if isinstance(size, int) else size or ()
    if not all(1 <= side <= MAX_SIDE for side in sides):
        raise ZooError(f"size must be 1 to {MAX_SIDE} rows and columns, got {size}")
