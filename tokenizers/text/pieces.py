"""What GPT-1's and BERT's tokenizers have in common: words first, then pieces of words; white space is not kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from zoo.tokenizers import folder as folders
from zoo.tokenizers.base import TextTokenizer, TokenSpec
from zoo.tokenizers.ids import check_ids, to_tensor
from zoo.tokenizers.text.check import check_stream, check_text, spans
from zoo.tokenizers.text.normal_words import NormalWords
from zoo.tokenizers.text.words import Ids, WordIds


@dataclass(frozen=True, kw_only=True)
class Piece:
    """How one id reads.

    Attributes:
        text: its characters.
        joins_left, joins_right: no blank stands before it, or after it.
    """

    text: str
    joins_left: bool = False
    joins_right: bool = False


CLOSING = {*".,!?;:)]}%", "n't", *(f"'{ending}" for ending in ("s", "m", "d", "re", "ve", "ll"))}
OPENING = {*"([{"}


def read_as(text: str, *, starts_word: bool = True, ends_word: bool = True) -> Piece:
    """Return how a piece with these characters reads: punctuation and contractions stand close to their word."""
    return Piece(
        text=text,
        joins_left=not starts_word or text in CLOSING or text == "\n",
        joins_right=not ends_word or text in OPENING or text == "\n",
    )


class PieceModel(Protocol):
    """Words to ids."""

    def tokenize(self, word: str) -> Ids:
        """Return the ids of one word."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Characters of a word that every id stands for; what the last id of a word has does not count."""


class PieceTokenizer(TextTokenizer):
    """Words, then pieces of words.

    Args:
        spec: the facts.
        files: what ``save`` writes beside the spec: name to content.
        words: how text falls into words.
        model: how words fall into ids.
        pieces: how every id reads.
    """

    def __init__(
        self, *, spec: TokenSpec, files: dict[str, str], words: NormalWords, model: PieceModel, pieces: Sequence[Piece]
    ) -> None:
        self._spec = spec
        self.files = files
        self._normal_words = words
        self._model = model
        self._pieces = pieces
        self._ids = WordIds(model.tokenize)

    @property
    def spec(self) -> TokenSpec:
        """The facts that models, samplers and checkpoints rely on."""
        return self._spec

    def encode(self, sample: str) -> Tensor:
        """Return the ids of ``sample``, int64 (time,), without special ids; a ZooError if it holds a lone surrogate."""
        return to_tensor(self._ids.encode(self._normal_words.words(check_text(sample))))

    def encode_with_offsets(self, text: str) -> tuple[Tensor, Tensor]:
        """Return ids (time,) and [start, end) in characters of the raw text (time, 2)."""
        located = self._normal_words.locate(check_text(text))
        per_word = [self._ids[word] for word in located.words]
        counts = np.array([len(word_ids) for word_ids in per_word], dtype=np.int64)
        ids = np.fromiter(chain.from_iterable(per_word), dtype=np.int64)
        lengths = self._model.lengths[ids]
        before = np.cumsum(lengths) - lengths
        first, last = np.cumsum(counts) - counts, np.cumsum(counts) - 1
        starts = before + np.repeat(located.starts - before[first], counts)
        ends = starts + lengths
        ends[last] = located.ends
        return to_tensor(ids), spans(located.sources[starts], located.sources[ends - 1] + 1)

    def decode(self, ids: Tensor | Sequence[int]) -> str:
        """Return the text of ``ids``, shape (time,), with single blanks between words."""
        return "".join(self.stream(iter(check_ids(ids, len(self._pieces)).tolist())))

    def stream(self, ids: Iterator[int]) -> Iterator[str]:
        """Decode ids as they come; the blank after a word comes with the next word."""
        joins = True
        for index in check_stream(ids, len(self._pieces)):
            piece = self._pieces[index]
            text = piece.text if joins or piece.joins_left else f" {piece.text}"
            if text:
                yield text
            joins = piece.joins_right

    def save(self, folder: Path | str) -> None:
        """Write ``spec.json`` and the vocabulary into ``folder``."""
        folders.write(folder, self.spec, self.files)
