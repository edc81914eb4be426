"""The settings of every audio tokenizer. They are light: torch comes only with ``fit`` and ``load``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from zoo.errors import ZooError
from zoo.tokenizers.base import Modality

if TYPE_CHECKING:
    from zoo.tokenizers.audio.base import AudioTokenizer

Layout = Literal["flattened", "delayed"]
MOST_LEVELS = 65_536


@dataclass(frozen=True, kw_only=True)
class MuLaw:
    """One id for each sample, its level on a scale that is finer where it is quiet (WaveNet, section 2.2).

    Attributes:
        levels: 2 to 65,536.
        rate: samples, and so ids, per second.
    """

    modality: ClassVar[Modality] = "music"
    levels: int = 256
    rate: int = 8_000

    def __post_init__(self) -> None:
        check_levels(self.levels)

    def fit(self, samples: Iterable[Any]) -> AudioTokenizer:
        """Return the tokenizer; there is nothing to fit."""
        from zoo.tokenizers.audio.mu_law import MuLawTokenizer

        return MuLawTokenizer(levels=self.levels, rate=self.rate)

    @staticmethod
    def load(folder: Path) -> AudioTokenizer:
        """Return the tokenizer saved in ``folder``."""
        from zoo.tokenizers.audio.mu_law import MuLawTokenizer

        return MuLawTokenizer.load(folder)


@dataclass(frozen=True, kw_only=True)
class Vqvae:
    """One level of a VQ-VAE of sound (Dhariwal et al. 2020): the codes of a codec trained by ``zoo train music/vqvae``.

    Attributes:
        path: checkpoint of the codec, in any format that ``zoo.load_codec`` reads: a folder, a name, Jukebox's file.
        level: which of its levels; 0 is the finest.
    """

    modality: ClassVar[Modality] = "music"
    path: str | None = None
    level: int = 0

    def __post_init__(self) -> None:
        if self.level < 0:
            raise ZooError(f"level must be 0 (the finest) or more, got {self.level}")

    def fit(self, samples: Iterable[Any]) -> AudioTokenizer:
        """Return the tokenizer of the codec in ``path``; ``samples`` are not looked at."""
        from zoo.tokenizers.audio.vqvae import network
        from zoo.tokenizers.saved_codec import read_checkpoint

        if self.path is None:
            raise ZooError("tokenizer.path is missing: name a codec; 'zoo train music/vqvae data.path=DIR' makes one")
        codec = read_checkpoint(self.path)
        if not isinstance(codec, network.Vqvae):
            raise ZooError(
                f"tokenizer.path: {self.path} is a codec of {codec.modality}; zoo train music/vqvae makes one"
            )
        return codec.level(self.level)

    @staticmethod
    def load(folder: Path) -> AudioTokenizer:
        """Return the tokenizer saved in ``folder``."""
        from zoo.tokenizers.audio.vqvae.tokenizer import VqvaeTokenizer

        return VqvaeTokenizer.load(folder)


@dataclass(frozen=True, kw_only=True)
class Encodec:
    """EnCodec, one channel (Défossez et al. 2022), by Hugging Face's transformers.

    Attributes:
        path: folder with config.json and model.safetensors, or a name on the Hub, which is asked only then; the
            default's weights are CC BY-NC 4.0.
        books: residual codebooks that are used, the coarsest first; None for all of them.
        layout: how the ids of one step stand in a row: see ``zoo.tokenizers.audio.layouts``.
    """

    modality: ClassVar[Modality] = "music"
    path: str = "facebook/encodec_24khz"
    books: int | None = None
    layout: Layout = "flattened"

    def __post_init__(self) -> None:
        _check_books(self.books)

    def fit(self, samples: Iterable[Any]) -> AudioTokenizer:
        """Return the tokenizer in ``path``."""
        from zoo.tokenizers.audio.neural import NeuralTokenizer

        return NeuralTokenizer.read("encodec", self.path, books=self.books, layout=self.layout)

    @staticmethod
    def load(folder: Path) -> AudioTokenizer:
        """Return the tokenizer saved in ``folder``."""
        from zoo.tokenizers.audio.neural import NeuralTokenizer

        return NeuralTokenizer.load(folder, "encodec")


@dataclass(frozen=True, kw_only=True)
class Dac:
    """The Descript audio codec (Kumar et al. 2023), by Hugging Face's transformers.

    Attributes:
        path: see ``Encodec``; the default's weights are under the MIT licence.
        books: see ``Encodec``.
        layout: see ``Encodec``.
    """

    modality: ClassVar[Modality] = "music"
    path: str = "descript/dac_24khz"
    books: int | None = None
    layout: Layout = "flattened"

    def __post_init__(self) -> None:
        _check_books(self.books)

    def fit(self, samples: Iterable[Any]) -> AudioTokenizer:
        """Return the tokenizer in ``path``."""
        from zoo.tokenizers.audio.neural import NeuralTokenizer

        return NeuralTokenizer.read("dac", self.path, books=self.books, layout=self.layout)

    @staticmethod
    def load(folder: Path) -> AudioTokenizer:
        """Return the tokenizer saved in ``folder``."""
        from zoo.tokenizers.audio.neural import NeuralTokenizer

        return NeuralTokenizer.load(folder, "dac")


@dataclass(frozen=True, kw_only=True)
class Mimi:
    """Mimi, the codec of Moshi (Défossez et al. 2024), by Hugging Face's transformers.

    Attributes:
        path: see ``Encodec``; the default's weights are CC BY 4.0.
        books: see ``Encodec``; the first one carries meaning rather than sound.
        layout: see ``Encodec``.
    """

    modality: ClassVar[Modality] = "music"
    path: str = "kyutai/mimi"
    books: int | None = 8
    layout: Layout = "flattened"

    def __post_init__(self) -> None:
        _check_books(self.books)

    def fit(self, samples: Iterable[Any]) -> AudioTokenizer:
        """Return the tokenizer in ``path``."""
        from zoo.tokenizers.audio.neural import NeuralTokenizer

        return NeuralTokenizer.read("mimi", self.path, books=self.books, layout=self.layout)

    @staticmethod
    def load(folder: Path) -> AudioTokenizer:
        """Return the tokenizer saved in ``folder``."""
        from zoo.tokenizers.audio.neural import NeuralTokenizer

        return NeuralTokenizer.load(folder, "mimi")


def check_levels(levels: int) -> None:
    """Refuse a number of levels that mu-law has no use for.

    Raises:
        ZooError: say so.
    """
    if not 2 <= levels <= MOST_LEVELS:
        raise ZooError(f"levels must be 2 to {MOST_LEVELS}, got {levels}")


def _check_books(books: int | None) -> None:
    if books is not None and books < 1:
        raise ZooError(f"books must be at least 1, got {books}")
