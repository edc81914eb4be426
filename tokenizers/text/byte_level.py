"""What tokenizers whose ids stand for byte strings have in common: decoding, streaming, and offsets in characters."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from zoo.tokenizers.base import TextTokenizer
from zoo.tokenizers.ids import check_ids
from zoo.tokenizers.text.check import check_stream, spans


class ByteLevelTokenizer(TextTokenizer):
    """A tokenizer whose ids stand for byte strings; subclasses fill ``pieces`` and say how to encode.

    Bytes that are not UTF-8 decode as U+FFFD, one for each longest part of a character, as Unicode advises.
    """

    pieces: Sequence[bytes]
    """The bytes of every id."""

    def decode(self, ids: Tensor | Sequence[int]) -> str:
        """Return the text of ``ids``, shape (time,); bytes that are not UTF-8 become U+FFFD."""
        checked = check_ids(ids, len(self.pieces))
        return b"".join(map(self.pieces.__getitem__, checked.tolist())).decode("utf-8", "replace")

    def stream(self, ids: Iterator[int]) -> Iterator[str]:
        """Decode ids as they come, holding a character back until its last byte is there."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for index in check_stream(ids, len(self.pieces)):
            if text := decoder.decode(self.pieces[index]):
                yield text
        if text := decoder.decode(b"", final=True):
            yield text

    def encode_with_offsets(self, text: str) -> tuple[Tensor, Tensor]:
        """Return ids (time,) and [start, end) in characters (time, 2).

        An id that holds some bytes of a character covers the whole character.
        """
        ids = self.encode(text)
        ends = np.cumsum(self._lengths[ids.numpy()])
        starts = ends - self._lengths[ids.numpy()]
        encoded = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
        character = np.cumsum((encoded & 0xC0) != 0x80) - 1  # continuation bytes are 10xxxxxx
        return ids, spans(character[starts], character[ends - 1] + 1)

    @cached_property
    def _lengths(self) -> NDArray[np.int64]:
        return np.array([len(piece) for piece in self.pieces], dtype=np.int64)
