"""Whole words as tokens."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import regex
from torch import Tensor

from zoo.errors import ZooError
from zoo.tokenizers import folder as folders
from zoo.tokenizers.base import TextTokenizer, TokenSpec
from zoo.tokenizers.ids import check_ids, to_tensor
from zoo.tokenizers.text.check import check_stream, check_text, spans
from zoo.tokenizers.text.words import batches

Split = Literal["words", "spaces"]
FILE = "words.json"
UNKNOWN = "<unk>"


@dataclass(frozen=True, kw_only=True)
class Splitting:
    """One way to see words in a text.

    Attributes:
        pattern: covers the text; white space alone is no word where ``blank`` is not empty.
        blank: what stands between two words when ids become text again.
    """

    pattern: regex.Pattern[str]
    blank: str


SPLITTINGS: dict[Split, Splitting] = {
    "words": Splitting(pattern=regex.compile(r" ?\w+(?:['’]\w+){0,99}| ?[^\w\s]|\s"), blank=""),
    "spaces": Splitting(pattern=regex.compile(r"[^\s\x1c-\x1f]+|[\s\x1c-\x1f]+"), blank=" "),
}


class WordTokenizer(TextTokenizer):
    """One id per word of a vocabulary; id 0 is ``<unk>``, every other word.

    Args:
        words: the vocabulary without ``<unk>``, in the order of ids 1, 2, ...
        split: see ``zoo.tokenizers.text.settings.Word``.
    """

    def __init__(self, words: Sequence[str], *, split: Split = "words") -> None:
        if not words or len(set(words)) != len(words) or "" in words:
            raise ZooError("a vocabulary needs words, each once; fit the tokenizer on more text or lower minimum_count")
        self.split: Split = split
        self.words = (UNKNOWN, *words)
        self._splitting = SPLITTINGS[split]
        self._ids = {word: index for index, word in enumerate(words, start=1)}
        self._spec = TokenSpec(
            type="word",
            modality="text",
            vocabulary_size=len(self.words),
            lossless=False,
            fingerprint=folders.fingerprint("word", self._files()),
        )

    @classmethod
    def fit(
        cls, samples: Iterable[str], *, split: Split = "words", vocabulary: int | None = None, minimum_count: int = 1
    ) -> WordTokenizer:
        """Return a tokenizer with the most frequent words of ``samples``; of equal ones, those seen first."""
        counts: Counter[str] = Counter()
        for sample in samples:
            for batch in batches(SPLITTINGS[split].pattern, check_text(sample)):
                counts.update(_words(batch, SPLITTINGS[split]))
        frequent = [word for word, count in counts.most_common() if count >= minimum_count]
        return cls(frequent if vocabulary is None else frequent[: vocabulary - 1], split=split)

    @classmethod
    def load(cls, folder: Path | str) -> WordTokenizer:
        """Return the tokenizer saved in ``folder``."""
        path = Path(folder) / FILE
        match folders.read_json(path):
            case {"split": "words" | "spaces" as split, "words": list(words), **rest} if not rest:
                if all(isinstance(word, str) for word in words):
                    return cls(words, split=split)
        raise ZooError(f"{path}: expected 'split' (words or spaces) and 'words' (a list of texts) and nothing else")

    @property
    def spec(self) -> TokenSpec:
        """The facts that models, samplers and checkpoints rely on."""
        return self._spec

    def encode(self, sample: str) -> Tensor:
        """Return one id per word, int64 (time,)."""
        find = self._ids.get
        parts = [
            np.fromiter((find(word, 0) for word in _words(batch, self._splitting)), dtype=np.int64)
            for batch in batches(self._splitting.pattern, check_text(sample))
        ]
        return to_tensor(np.concatenate([np.zeros(0, dtype=np.int64), *parts]))

    def decode(self, ids: Tensor | Sequence[int]) -> str:
        """Return the text of ``ids``, shape (time,), ``<unk>`` where a word was not in the vocabulary."""
        return self._splitting.blank.join(map(self.words.__getitem__, check_ids(ids, len(self.words)).tolist()))

    def encode_with_offsets(self, text: str) -> tuple[Tensor, Tensor]:
        """Return ids (time,) and [start, end) in characters (time, 2)."""
        ids, starts, ends, end = [], [], [], 0
        for batch in batches(self._splitting.pattern, check_text(text)):
            for word in batch:
                start, end = end, end + len(word)
                if _is_word(word, self._splitting):
                    ids.append(self._ids.get(word, 0))
                    starts.append(start)
                    ends.append(end)
        return to_tensor(ids), spans(np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64))

    def stream(self, ids: Iterator[int]) -> Iterator[str]:
        """Decode ids as they come."""
        blank = ""
        for index in check_stream(ids, len(self.words)):
            yield blank + self.words[index]
            blank = self._splitting.blank

    def save(self, folder: Path | str) -> None:
        """Write ``spec.json`` and ``words.json`` into ``folder``."""
        folders.write(folder, self.spec, self._files())

    def _files(self) -> dict[str, str]:
        return {FILE: json.dumps({"split": self.split, "words": self.words[1:]}) + "\n"}


def _is_word(word: str, splitting: Splitting) -> bool:
    return not (splitting.blank and word.isspace())


def _words(batch: Sequence[str], splitting: Splitting) -> Iterable[str]:
    return (word for word in batch if not word.isspace()) if splitting.blank else batch
