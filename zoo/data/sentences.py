"""Where sentences begin in a stream of ids, as far as punctuation tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo.data.stream import Ids
from zoo.tokenizers.masked import MaskedTokenizer

ENDS = ".!?。！？"
CLOSERS = "\"'”’)]»"
"""What may stand between the end of a sentence and the next one."""

_OTHER, _CLOSER, _END, _BOUNDARY = range(4)

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Sentences:
    """The sentences of a stream of documents, in order.

    Attributes:
        begins: (count,) position of the first id of each sentence.
        stops: (count,) position after the last id of its document.
    """

    begins: Positions
    stops: Positions

    @classmethod
    def find(cls, ids: Ids, tokenizer: MaskedTokenizer, *, longest: int) -> Sentences:
        """Return the sentences of ``ids`` (time,), in which documents are parted by the separator id.

        A sentence begins a document, or follows a full stop, exclamation or question mark and up to one closing quote
        or bracket. One of more than ``longest`` ids, or a text without punctuation, is cut every ``longest`` ids.
        """
        kinds = _kinds(tokenizer)[ids]
        boundary = kinds == _BOUNDARY
        documents = np.concatenate([[True], boundary[:-1]]) & ~boundary
        ended = kinds == _END
        ended[1:] |= (kinds[1:] == _CLOSER) & (kinds[:-1] == _END)
        new = (kinds == _OTHER) & np.concatenate([[False], ended[:-1]])
        begins = np.flatnonzero(documents | new).astype(np.int64)
        boundaries = np.append(np.flatnonzero(boundary), len(ids)).astype(np.int64)
        stops = boundaries[np.searchsorted(boundaries, begins)]
        sentences = cls(begins=begins, stops=stops)
        return sentences._cut(longest)

    def __len__(self) -> int:
        return len(self.begins)

    @property
    def ends(self) -> Positions:
        """Position after the last id of each sentence, (count,)."""
        return np.minimum(np.append(self.begins[1:], self.stops[-1:]), self.stops)

    @property
    def followed(self) -> Positions:
        """Numbers of the sentences that are not the last of their document."""
        return np.flatnonzero(self.stops[1:] == self.stops[:-1])

    def up_to(self, position: int) -> int:
        """Return how many sentences begin before ``position``."""
        return int(np.searchsorted(self.begins, position))

    def stretches(self, longest: int) -> Iterator[list[tuple[int, int]]]:
        """Yield for every document its stretches [begin, end) of whole sentences, each of at most ``longest`` ids.

        They lie side by side: every id of the document is in exactly one. No sentence may be longer than ``longest``.
        """
        number = 0
        while number < len(self):
            stop = int(self.stops[number])
            stretches = []
            begin = int(self.begins[number])
            while begin < stop:
                end = stop if stop - begin <= longest else int(self.begins[self.up_to(begin + longest + 1) - 1])
                stretches.append((begin, end))
                begin = end
            yield stretches
            number = self.up_to(stop)

    def _cut(self, longest: int) -> Sentences:
        pieces = -(-(self.ends - self.begins) // longest)
        first = np.repeat(np.cumsum(pieces) - pieces, pieces)
        offsets = longest * (np.arange(len(first)) - first)
        return Sentences(begins=np.repeat(self.begins, pieces) + offsets, stops=np.repeat(self.stops, pieces))


def _kinds(tokenizer: MaskedTokenizer) -> npt.NDArray[Any]:
    """Return what every id is to a sentence, uint8 (vocabulary,)."""
    kinds = np.full(tokenizer.spec.vocabulary_size, _OTHER, dtype=np.uint8)
    for kind, marks in ((_END, ENDS), (_CLOSER, CLOSERS)):
        for mark in marks:
            ids = tokenizer.encode(mark)
            if len(ids) == 1 and tokenizer.decode(ids) == mark:
                kinds[int(ids[0])] = kind
    kinds[tokenizer.separator_id] = _BOUNDARY
    return kinds
