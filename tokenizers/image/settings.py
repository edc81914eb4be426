"""The settings of every image tokenizer. They are light: torch comes only with ``fit`` and ``load``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from zoo.errors import ZooError
from zoo.tokenizers.base import Modality
from zoo.tokenizers.image.vqvae.config import MAX_SIDE as MAX_SIDE
from zoo.tokenizers.image.vqvae.config import ImageVqvaeConfig, check_size

if TYPE_CHECKING:
    from zoo.tokenizers.image.base import ImageTokenizer
    from zoo.tokenizers.image.pixels import Picture


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


@dataclass(frozen=True, kw_only=True)
class ImageVqvae:
    """Codes for squares of pixels, learnt by a small VQ-VAE (van den Oord et al. 2017): few ids, and blurred pictures.

    Attributes:
        path: checkpoint of a codec to take, as ``zoo train image/vqvae`` makes it: a folder or a name; the settings
            below, but for ``size``, are then the codec's. None: a small one is trained on the samples, which takes
            seconds for small pictures, and minutes for large ones.
        size: rows and columns of pixels, or one number for both; None for the codec's, else those of the first sample.
        channels: 3 for colours, 1 for gray levels; None for what the samples have.
        hop: rows and columns of pixels that one code stands for, a power of two.
        codes: size of the codebook. The start id comes on top.
        code_width: width of its vectors.
        width: of the convolutions.
        depth: residual blocks on either side.
        steps: updates.
        seed: of the first weights and of what is looked at when.
    """

    modality: ClassVar[Modality] = "image"
    path: str | None = None
    size: int | tuple[int, int] | None = 32
    channels: Literal[1, 3] | None = None
    hop: int = 2
    codes: int = 256
    code_width: int = 8
    width: int = 64
    depth: int = 1
    steps: int = 600
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 1_000_000:
            raise ZooError(f"steps must be 1 to 1000000, got {self.steps}")
        if not 0 <= self.seed < 1 << 31:
            raise ZooError(f"seed must be 0 to {(1 << 31) - 1}, got {self.seed}")
        self._codec(self.size or self.hop, self.channels or 3)

    def fit(self, samples: Iterable[Picture]) -> ImageTokenizer:
        """Return the tokenizer of the codec in ``path``, else of one that is trained on ``samples``, the same one again
        on the same machine, whatever the number of its threads."""
        from zoo.tokenizers.image.pixels import grid_of
        from zoo.tokenizers.image.vqvae.fit import gather, train
        from zoo.tokenizers.image.vqvae.tokenizer import ImageVqvaeTokenizer

        if self.path is not None:
            return ImageVqvaeTokenizer.of_checkpoint(self.path, size=self.size)
        rows, columns, samples = grid_of(samples, self.size)
        pixels = gather(samples, rows, columns, self.channels)
        config = self._codec((rows, columns), 1 if pixels.shape[3] == 1 else 3)
        return ImageVqvaeTokenizer(train(config, pixels, steps=self.steps, seed=self.seed))

    @staticmethod
    def load(folder: Path) -> ImageTokenizer:
        """Return the tokenizer saved in ``folder``."""
        from zoo.tokenizers.image.vqvae.tokenizer import ImageVqvaeTokenizer

        return ImageVqvaeTokenizer.load(folder)

    def _codec(self, size: int | tuple[int, int], channels: Literal[1, 3]) -> ImageVqvaeConfig:
        return ImageVqvaeConfig(
            size=size,
            channels=channels,
            hop=self.hop,
            codes=self.codes,
            code_width=self.code_width,
            width=self.width,
            depth=self.depth,
        )
