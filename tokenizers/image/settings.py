"""The settings of every image tokenizer. They are light: torch comes only with ``fit`` and ``load``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from zoo.errors import ZooError
from zoo.tokenizers.base import Modality

if TYPE_CHECKING:
    from zoo.tokenizers.image.base import ImageTokenizer
    from zoo.tokenizers.image.pixels import Picture

MAX_SIDE = 4096
"""Largest number of rows and of columns of a grid."""


@dataclass(frozen=True, kw_only=True)
class PixelClusters:
    """The nearest colour of a palette for each pixel: as in Image GPT, fitted by k-means or loaded.

    Attributes:
        colours: size of the palette; samples with fewer different colours give fewer. The start id comes on top.
        size: rows and columns of the grid, or one number for both; None for those of the first sample.
        channels: 3 for colours, 1 for gray levels.
        path: palette to load instead of fitting one: a folder saved here, OpenAI's ``kmeans_centers.npy``, or a
            ``preprocessor_config.json`` of Hugging Face. Colours and channels are then the file's, ``size`` the grid.
        seed: of k-means.
    """

    modality: ClassVar[Modality] = "image"
    colours: int = 512
    size: int | tuple[int, int] | None = 32
    channels: Literal[1, 3] = 3
    path: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_size(self.size)
        if not 2 <= self.colours <= 65_535:
            raise ZooError(f"colours must be 2 to 65535, got {self.colours}")
        if not 0 <= self.seed < 1 << 31:
            raise ZooError(f"seed must be 0 to {(1 << 31) - 1}, got {self.seed}")

    def fit(self, samples: Iterable[Picture]) -> ImageTokenizer:
        """Return the tokenizer with the palette in ``path``, else with one for the pixels of ``samples``."""
        from zoo.tokenizers.image.pixel_clusters import PixelClustersTokenizer
        from zoo.tokenizers.image.pixels import grid_of

        rows, columns, samples = grid_of(samples, self.size)
        if self.path is not None:
            return PixelClustersTokenizer.load(self.path, size=(rows, columns))
        return PixelClustersTokenizer.fit(
            samples, colours=self.colours, rows=rows, columns=columns, channels=self.channels, seed=self.seed
        )

    @staticmethod
    def load(folder: Path) -> ImageTokenizer:
        """Return the tokenizer saved in ``folder``."""
        from zoo.tokenizers.image.pixel_clusters import PixelClustersTokenizer

        return PixelClustersTokenizer.load(folder)


@dataclass(frozen=True, kw_only=True)
class GrayLevels:
    """The gray level of each pixel: nothing to fit, and with 256 levels nothing lost.

    Attributes:
        levels: 2 to 256; bits per dimension are defined where they divide 256.
        size: rows and columns of the grid, or one number for both; None for those of the first sample.
    """

    modality: ClassVar[Modality] = "image"
    levels: int = 256
    size: int | tuple[int, int] | None = 32

    def __post_init__(self) -> None:
        check_size(self.size)
        if not 2 <= self.levels <= 256:
            raise ZooError(f"levels must be 2 to 256, got {self.levels}")

    def fit(self, samples: Iterable[Picture]) -> ImageTokenizer:
        """Return the tokenizer; of ``samples``, at most the size of the first is looked at."""
        from zoo.tokenizers.image.gray_levels import GrayLevelsTokenizer
        from zoo.tokenizers.image.pixels import grid_of

        rows, columns, _ = grid_of(samples, self.size)
        return GrayLevelsTokenizer(levels=self.levels, rows=rows, columns=columns)

    @staticmethod
    def load(folder: Path) -> ImageTokenizer:
        """Return the tokenizer saved in ``folder``."""
        from zoo.tokenizers.image.gray_levels import GrayLevelsTokenizer

        return GrayLevelsTokenizer.load(folder)


@dataclass(frozen=True, kw_only=True)
class RgbBytes:
    """Three ids for each pixel, its red, green and blue byte: nothing to fit, nothing lost, long sequences.

    Attributes:
        size: rows and columns of the grid, or one number for both; None for those of the first sample.
    """

    modality: ClassVar[Modality] = "image"
    size: int | tuple[int, int] | None = 32

    def __post_init__(self) -> None:
        check_size(self.size)

    def fit(self, samples: Iterable[Picture]) -> ImageTokenizer:
        """Return the tokenizer; of ``samples``, at most the size of the first is looked at."""
        from zoo.tokenizers.image.pixels import grid_of
        from zoo.tokenizers.image.rgb_bytes import RgbBytesTokenizer

        rows, columns, _ = grid_of(samples, self.size)
        return RgbBytesTokenizer(rows=rows, columns=columns)

    @staticmethod
    def load(folder: Path) -> ImageTokenizer:
        """Return the tokenizer saved in ``folder``."""
        from zoo.tokenizers.image.rgb_bytes import RgbBytesTokenizer

        return RgbBytesTokenizer.load(folder)


def check_size(size: int | tuple[int, int] | None) -> None:
    """Refuse a grid that is too large; None is one that nobody knows yet.

    Raises:
        ZooError: say so.
    """
    sides = (size,) if isinstance(size, int) else size or ()
    if not all(1 <= side <= MAX_SIDE for side in sides):
        raise ZooError(f"size must be 1 to {MAX_SIDE} rows and columns, got {size}")
