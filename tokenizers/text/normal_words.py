"""Normalized words: what GPT-1's and BERT's tokenizers split into pieces.

Text is normalized character by character, by a table for ``str.translate`` that is filled as characters are met; then a
pattern finds the words. Because every character maps on its own, the place of a word in the raw text is never lost.
"""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import regex
from numpy.typing import NDArray
from tokenizers import normalizers, pre_tokenizers

from zoo.tokenizers.text.words import batches


@dataclass(frozen=True, kw_only=True)
class Located:
    """Words with their places.

    Attributes:
        words: the words.
        starts, ends: (words,) the [start, end) characters of each in the normalized text.
        sources: index in the raw text that each character of the normalized text comes from.
    """

    words: list[str]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    sources: NDArray[np.int64]


class NormalWords(dict[int, str], ABC):
    """The words of a text after normalization; the mapping says what each character (by code point) becomes.

    A line break is a word where the normalization keeps it; other white space is none.
    """

    pattern: regex.Pattern[str]
    """Words and the white space between them; covers every character and looks behind nothing."""

    @abstractmethod
    def normalize(self, character: str) -> str:
        """Return what ``character`` becomes."""

    def __missing__(self, code: int) -> str:
        result = self[code] = self.normalize(chr(code))
        return result

    def words(self, text: str) -> Iterator[list[str]]:
        """Yield the words of ``text``, some at a time."""
        for runs in batches(self.pattern, text.translate(self).strip()):
            yield ["\n" if "\n" in run else run for run in runs if "\n" in run or not run.isspace()]

    def locate(self, text: str) -> Located:
        """Return the words of ``text`` with their places."""
        sources = np.repeat(
            np.arange(len(text)), np.array([len(self[ord(character)]) for character in text], dtype=np.int64)
        )
        normal = text.translate(self)
        first = len(normal) - len(normal.lstrip())
        matches = list(self.pattern.finditer(normal, first, len(normal.rstrip())))
        found = [match for match in matches if "\n" in match[0] or not match[0].isspace()]
        places = np.array([match.span() for match in found], dtype=np.int64).reshape(-1, 2)
        words = ["\n" if "\n" in match[0] else match[0] for match in found]
        return Located(words=words, starts=places[:, 0], ends=places[:, 1], sources=sources)


class BertWords(NormalWords):
    """Words as BERT sees them (Devlin et al. 2019): cleaned, lower-cased, accents off, punctuation and CJK alone.

    The table asks the tokenizers library about each character, so it equals BERT's own rules by construction.

    Args:
        lowercase: lower-case and strip accents.
    """

    pattern = regex.compile(r"\S+|\s+")

    def __init__(self, *, lowercase: bool) -> None:
        super().__init__()
        self._normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=lowercase)
        self._pre_tokenizer = pre_tokenizers.BertPreTokenizer()

    def normalize(self, character: str) -> str:
        """Return ``character`` cleaned, with blanks around it if it is a word of its own."""
        guarded = f"a{self._normalizer.normalize_str(character)}a"  # what does it do between two letters?
        words = [word for word, _ in self._pre_tokenizer.pre_tokenize_str(guarded)]
        return " ".join(words)[1:-1]


SPELLED = {ord(old): new for olds, new in (("–—―", "-"), ("´‘’‚‛", "'"), ("“”„‟", '"'), ("…", "...")) for old in olds}
"""Punctuation as the original's vocabulary spells it."""


class EnglishWords(NormalWords):
    """Words after the original GPT-1, which cleaned text with ftfy and split it with spaCy's English rules.

    Kept as there: line breaks, accents, contractions (do n't, it 's), abbreviations (Mr., U.S.A.), numbers with a
    point, names with an @ or an apostrophe inside. Not kept: spaCy's long lists of exceptions and units.
    """

    pattern = regex.compile(
        r"""
        \s*\n\s* | \s+                                                   # one token for a run of line breaks
        | (?:mr|mrs|ms|dr|prof|rev|gen|gov|sen|rep|st|jr|sr|co|corp|inc|ltd|bros|vs|etc
            |jan|feb|mar|apr|aug|sept?|oct|nov|dec)\.(?!\w)
        | (?:[a-z]\.){1,20}+(?!\w)                                       # u.s.a., e.g., an initial
        | (?:n't|'(?:s|m|re|ve|ll|d))(?!\w)                              # contractions
        | (?=[^\W_]++'t(?!\w)) [^\W_]+? (?=n't(?!\w))                    # what n't follows
        | [^\W_]+ (?:(?!'(?:s|m|re|ve|ll|d)(?!\w)) ['.@] [^\W_]+){0,99}  # a limit, because each round costs memory
        | \.{2,} | '' | -+ | ~+ | \++ | /+ | \\+ | \|+                    # runs that stay whole
        | .
        """,
        regex.VERBOSE | regex.DOTALL,
    )

    def normalize(self, character: str) -> str:
        """Return ``character`` in lower case, plain quotes, dashes and widths; nothing for control characters."""
        if character in "\r\n\t":
            return "\n" if character == "\r" else character
        if unicodedata.category(character) == "Cc":
            return ""
        if "\uff00" <= character <= "\uffef" or "\ufb00" <= character <= "\ufb06":  # full width, ligatures
            character = unicodedata.normalize("NFKC", character)
        return character.translate(SPELLED).lower()
