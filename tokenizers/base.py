"""What every tokenizer is: samples to ids and back, with a fixed vocabulary that says what its ids mean."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

Sample = TypeVar("Sample")
Modality = Literal["text", "image", "music"]


@dataclass(frozen=True, kw_only=True)
class TokenSpec:
    """The facts about a tokenizer that models, samplers and checkpoints rely on.

    Attributes:
        type: name in the registry, e.g. ``byte``.
        modality: what ``decode`` makes.
        vocabulary_size: number of ids; every id lies in ``[0, vocabulary_size)``.
        shape: grid of one sample's ids, in raster order, where samples have a fixed shape: (rows, columns), or
            (rows, columns, 3) with three ids a pixel; None for text.
        tokens_per_second: ids per second of audio; None elsewhere.
        start_id: id put before a sample, None where the family has none.
        end_id: id that ends a sample, None where there is none.
        pad_id: id for padding, None where there is none.
        lossless: True if ``decode(encode(x)) == x`` for every x.
            For images: every picture that already has the grid's size and channels.
        fingerprint: hex sha256 of everything that determines ids; a checkpoint refuses another one.
    """

    type: str
    modality: Modality
    vocabulary_size: int
    shape: tuple[int, ...] | None = None
    tokens_per_second: float | None = None
    start_id: int | None = None
    end_id: int | None = None
    pad_id: int | None = None
    lossless: bool
    fingerprint: str

    @property
    def ids_per_sample(self) -> int | None:
        """Number of ids of every sample; None where samples have no fixed shape."""
        return None if self.shape is None else math.prod(self.shape)

    @property
    def ids_per_row(self) -> int | None:
        """Number of ids of one row: the first N rows of a sample are its first ``N * ids_per_row`` ids."""
        return None if self.shape is None else math.prod(self.shape[1:])

    @property
    def output_vocabulary(self) -> int:
        """Number of ids that a sample can hold and a network predicts: all but a start id that is the last one."""
        return self.vocabulary_size - (self.start_id == self.vocabulary_size - 1)

    @property
    def target_end_id(self) -> int:
        """The id that ends a target of an encoder-decoder: one beyond the ids of text, so that any tokenizer will do.

        Such a network predicts ``target_end_id + 1`` ids.
        """
        return self.vocabulary_size

    @property
    def target_start_id(self) -> int:
        """The id that a target of an encoder-decoder is drawn after; it is read and never predicted.

        Such a network reads ``target_start_id + 1`` ids; its encoder reads the ids of text alone.
        """
        return self.vocabulary_size + 1


class Tokenizer(ABC, Generic[Sample]):
    """Turns one sample into ids and back."""

    @property
    @abstractmethod
    def spec(self) -> TokenSpec:
        """The facts that models, samplers and checkpoints rely on."""

    @abstractmethod
    def encode(self, sample: Sample) -> Tensor:
        """Return the ids of one sample, int64 of shape (time,)."""

    @abstractmethod
    def decode(self, ids: Tensor) -> Sample:
        """Return the sample that ``ids``, shape (time,), stand for."""

    @abstractmethod
    def save(self, folder: Path | str) -> None:
        """Write ``spec.json`` and the tokenizer's own files into ``folder`` (made if missing)."""


class TextTokenizer(Tokenizer[str]):
    """A tokenizer of text, which can also say where in the text each id comes from."""

    @abstractmethod
    def encode_with_offsets(self, text: str) -> tuple[Tensor, Tensor]:
        """Return ids (time,) and the characters each came from, int64 (time, 2) of [start, end) into ``text``."""

    @abstractmethod
    def stream(self, ids: Iterator[int]) -> Iterator[str]:
        """Decode ids as they come; the pieces joined equal ``decode`` of all ids.

        A piece is held back while later ids could still change it (half a UTF-8 character, say).
        """
