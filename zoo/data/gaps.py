"""One row of masked text: special ids around its parts, and some of what is between them hidden."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zoo.data.base import IGNORED
from zoo.data.stream import Ids
from zoo.tokenizers.masked import MaskedTokenizer

MASK, RANDOM = 0.8, 0.1
"""Shares of the chosen ids that are replaced by [MASK], and by a random id; the rest stays as it is."""
NEXT, OTHER = 0, 1
"""Labels: B follows A, or comes from elsewhere."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One or two parts of text, before anything is hidden; ``begin`` is where the first stands in the stream."""

    begin: int
    parts: tuple[Ids, ...]
    label: int = NEXT


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row with its gaps; arrays are int64 (time,)."""

    begin: int
    ids: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    segments: npt.NDArray[np.int64]
    label: int


@dataclass(frozen=True)
class Rows:
    """Makes rows of parts.

    Attributes:
        tokenizer: knows the special ids.
        context: longest row.
        share: of a row's ids that are to be predicted.
    """

    tokenizer: MaskedTokenizer
    context: int
    share: float

    def make(self, example: Example, random: np.random.Generator) -> Row:
        """Return ``[CLS] A [SEP]`` or ``[CLS] A [SEP] B [SEP]`` with gaps."""
        begins, separator = [self.tokenizer.class_id], [self.tokenizer.separator_id]
        pieces = [begins, *(piece for part in example.parts for piece in (part, separator))]
        whole = np.concatenate([np.asarray(piece, dtype=np.int64) for piece in pieces])
        lengths = np.array([len(part) + 1 for part in example.parts])
        text = np.ones(len(whole), dtype=bool)
        text[0] = False
        text[np.cumsum(lengths)] = False
        lengths[0] += 1
        segments = np.repeat(np.arange(len(lengths)), lengths)
        ids, targets = self.hide(whole, np.flatnonzero(text), random)
        return Row(begin=example.begin, ids=ids, targets=targets, segments=segments, label=example.label)

    def hide(
        self, whole: npt.NDArray[np.int64], candidates: npt.NDArray[np.int64], random: np.random.Generator
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return a copy of ``whole`` (time,) with gaps at some of the positions ``candidates``, and the targets."""
        wanted = max(1, round(self.share * len(whole)))
        chosen = random.permutation(candidates)[:wanted]
        fate = random.random(len(chosen))
        replaced = chosen[(fate >= MASK) & (fate < MASK + RANDOM)]
        ids, targets = whole.copy(), np.full_like(whole, IGNORED)
        ids[chosen[fate < MASK]] = self.tokenizer.mask_id
        ids[replaced] = random.integers(self.tokenizer.spec.vocabulary_size, size=len(replaced))
        targets[chosen] = whole[chosen]
        return ids, targets
