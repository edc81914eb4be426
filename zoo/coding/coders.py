"""Files to the ids of one or several levels and back: what tokenizers of text and pictures, and codecs, have in common.

A coder is what ``tokenizer=NAME`` of ``zoo tokenize`` and ``zoo reconstruct`` stands for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from zoo.coding.scores import PictureScore, Return, Score, SoundScore, TextScore
from zoo.data.documents import from_file
from zoo.data.files import DataFile
from zoo.data.read_image import read_image
from zoo.data.read_sound import read_blocks
from zoo.data.shards import Origin
from zoo.errors import ZooError
from zoo.evaluate.audio import bits_per_second
from zoo.tokenizers.audio.base import AudioTokenizer
from zoo.tokenizers.audio.vqvae.chunked import Tower, encode_blocks
from zoo.tokenizers.audio.vqvae.network import Vqvae
from zoo.tokenizers.audio.waveform import Samples
from zoo.tokenizers.base import TextTokenizer, TokenSpec
from zoo.tokenizers.image.base import ImageTokenizer
from zoo.tokenizers.image.pixels import to_grid, to_pillow

Sample = TypeVar("Sample")
Stretch = tuple[NDArray[np.int64], ...]
LONGEST = 1 << 28
"""Samples of a sound that is held whole, to be compared with what comes back: 1.7 hours at 44.1 kHz."""


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """A file on its way into ids.

    Attributes:
        stretches: ids (time,) of each level, a stretch of the file after the other.
        seconds: length of the sound, once all stretches are taken; 0 for what is no sound.
    """

    stretches: Iterator[Stretch]
    seconds: Callable[[], float] = lambda: 0.0

    def join(self) -> tuple[NDArray[np.int64], ...]:
        """Return the ids (time,) of each level of the whole file."""
        levels = zip(*self.stretches, strict=True)
        return tuple(np.concatenate(stretches) for stretches in levels)


class Coder(ABC, Generic[Sample]):
    """Files to ids and back.

    Attributes:
        origin: what makes the ids.
        lossless: what comes back is the original, whatever it is.
    """

    origin: Origin
    lossless: bool

    @abstractmethod
    def encode(self, path: Path) -> Encoding:
        """Return a file's ids as they come; sounds in constant memory where the tokenizer allows it.

        Raises:
            ZooError: not such a file, or damaged; sounds perhaps only while the stretches are taken.
        """

    @abstractmethod
    def there_and_back(self, path: Path) -> Return[Sample]:
        """Return what becomes of a file.

        Raises:
            ZooError: not such a file, damaged, or too long for the memory.
        """

    @abstractmethod
    def score(self, level: int) -> Score[Sample]:
        """Return what measures the files that come back from a level, none so far."""


class TextCoder(Coder[str]):
    """Text files by a tokenizer of text.

    Args:
        tokenizer: of text.
    """

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self.tokenizer = tokenizer
        self.origin, self.lossless = _origin(tokenizer.spec), tokenizer.spec.lossless

    def encode(self, path: Path) -> Encoding:
        """Return the ids of a UTF-8 text."""
        return Encoding(stretches=iter([(_array(self.tokenizer.encode(_text(path))),)]))

    def there_and_back(self, path: Path) -> Return[str]:
        """Return the text and what its ids decode to."""
        text = _text(path)
        ids = self.tokenizer.encode(text)
        return Return(original=text, ids=(_array(ids),), returned=(self.tokenizer.decode(ids),))

    def score(self, level: int) -> TextScore:
        """Return what measures texts."""
        return TextScore(level, self.origin.codes[level])


class PictureCoder(Coder[Pillow.Image]):
    """Pictures by a tokenizer of pictures.

    Args:
        tokenizer: of pictures.
    """

    def __init__(self, tokenizer: ImageTokenizer) -> None:
        self.tokenizer = tokenizer
        self.origin, self.lossless = _origin(tokenizer.spec), tokenizer.spec.lossless

    def encode(self, path: Path) -> Encoding:
        """Return the ids of a picture in raster order."""
        return Encoding(stretches=iter([(_array(self.tokenizer.encode(read_image(path))),)]))

    def there_and_back(self, path: Path) -> Return[Pillow.Image]:
        """Return the picture on the tokenizer's grid, and what its ids decode to."""
        maker = self.tokenizer
        small = to_grid(read_image(path), maker.rows, maker.columns, maker.channels)
        ids = maker.encode(small)
        return Return(original=to_pillow(small), ids=(_array(ids),), returned=(maker.decode(ids),))

    def score(self, level: int) -> PictureScore:
        """Return what measures pictures."""
        return PictureScore(level, self.origin.codes[level])


class SoundCoder(Coder[Tensor]):
    """Sounds by one tokenizer or by all levels of a codec; originals and returns are (time,) at ``origin.rate``."""

    rate: int

    def encode(self, path: Path) -> Encoding:
        """Return the ids of a sound file, mixed to one channel and brought to the rate first."""
        blocks = _Counted(read_blocks(path, self.rate))
        arrays = (tuple(map(_array, stretch)) for stretch in self.stretches(blocks))
        return Encoding(stretches=arrays, seconds=lambda: blocks.samples / self.rate)

    def there_and_back(self, path: Path) -> Return[Tensor]:
        """Return a sound and what each level makes of it, cut to the same length."""
        blocks, count = [], 0
        for block in read_blocks(path, self.rate):
            blocks.append(block)
            count += len(block)
            if count > LONGEST:
                raise ZooError(f"{path}: longer than {LONGEST / self.rate / 60:.0f} minutes; cut it up")
        levels = zip(*self.stretches(blocks), strict=True)
        ids = [torch.cat(stretches) for stretches in levels]
        original = torch.from_numpy(np.concatenate(blocks))
        returned = tuple(_fit(self.decode(one, level), len(original)) for level, one in enumerate(ids))
        return Return(original=original, ids=tuple(map(_array, ids)), returned=returned)

    def score(self, level: int) -> SoundScore:
        """Return what measures sounds."""
        codes = self.origin.codes[level]
        return SoundScore(level, codes, rate=self.rate, bits=bits_per_second(self.ids_per_second(level), codes))

    @abstractmethod
    def stretches(self, blocks: Iterable[Samples]) -> Iterator[tuple[Tensor, ...]]:
        """Yield the ids (time,) of each level of a sound that comes in blocks at the rate."""

    @abstractmethod
    def decode(self, ids: Tensor, level: int) -> Tensor:
        """Return the sound (time,) of a level's ids, in [-1, 1]."""

    @abstractmethod
    def ids_per_second(self, level: int) -> float:
        """Return how many ids a second of sound has."""


class TokenizerCoder(SoundCoder):
    """Sounds by a tokenizer.

    Args:
        tokenizer: of sounds.
    """

    def __init__(self, tokenizer: AudioTokenizer) -> None:
        self.tokenizer, self.rate = tokenizer, tokenizer.rate
        self.origin = _origin(tokenizer.spec, tokenizer)
        self.lossless = tokenizer.spec.lossless

    def stretches(self, blocks: Iterable[Samples]) -> Iterator[tuple[Tensor, ...]]:
        """Yield ids as the tokenizer does."""
        return ((ids,) for ids in self.tokenizer.encode_blocks(blocks))

    def decode(self, ids: Tensor, level: int) -> Tensor:
        """Return the sound of ids."""
        return torch.from_numpy(self.tokenizer.decode(ids).samples)

    def ids_per_second(self, level: int) -> float:
        """Return what the tokenizer says."""
        return self.tokenizer.ids_per_second


class CodecCoder(SoundCoder):
    """Sounds by all levels of a codec at once.

    Args:
        codec: of sounds, in evaluation mode.
    """

    lossless = False

    def __init__(self, codec: Vqvae) -> None:
        config, self.rate = codec.config, codec.config.rate
        self.towers: list[Tower] = [codec.tower(level) for level in range(codec.levels)]
        self.origin = Origin(
            type="vqvae",
            modality="music",
            fingerprints=tuple(codec.level(level).spec.fingerprint for level in range(codec.levels)),
            codes=(config.codes,) * codec.levels,
            hops=codec.hops,
            rate=config.rate,
        )

    def stretches(self, blocks: Iterable[Samples]) -> Iterator[tuple[Tensor, ...]]:
        """Yield the ids of every level; a sound is filled up with silence to a whole number of the coarsest ids."""
        return encode_blocks(self.towers, blocks)

    def decode(self, ids: Tensor, level: int) -> Tensor:
        """Return the sound of a level's ids."""
        return torch.cat(list(self.towers[level].decode_blocks([ids]))).clamp(-1, 1)

    def ids_per_second(self, level: int) -> float:
        """Return the rate over the hop."""
        return self.rate / self.origin.hops[level]


class _Counted:
    """Blocks of samples, counted as they pass."""

    def __init__(self, blocks: Iterable[Samples]) -> None:
        self._blocks, self.samples = blocks, 0

    def __iter__(self) -> Iterator[Samples]:
        for block in self._blocks:
            self.samples += len(block)
            yield block


def _origin(spec: TokenSpec, sound: AudioTokenizer | None = None) -> Origin:
    return Origin(
        type=spec.type,
        modality=spec.modality,
        fingerprints=(spec.fingerprint,),
        codes=(spec.output_vocabulary,),
        hops=(1 if sound is None else sound.hop,),
        ids_per_hop=1 if sound is None else sound.ids_per_hop,
        rate=None if sound is None else sound.rate,
    )


def _text(path: Path) -> str:
    return from_file(DataFile(path=path, name=path.name)).text()


def _array(ids: Tensor) -> NDArray[np.int64]:
    found: NDArray[np.int64] = ids.numpy()
    return found


def _fit(samples: Tensor, length: int) -> Tensor:
    """Return samples cut, or filled up with silence, to a length."""
    return torch.nn.functional.pad(samples, (0, max(0, length - len(samples))))[:length]
