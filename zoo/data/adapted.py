"""Text for a tokenizer that was made for other text: plain characters for typographic ones, the rest left out.

A tokenizer of letters knows the letters it was fitted on and refuses all others. Fine-tuning keeps the checkpoint's
tokenizer, so the text has to give way; how much of it did is counted, and said.
"""

from __future__ import annotations

import dataclasses
import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from zoo.data.documents import Document
from zoo.errors import ZooError
from zoo.tokenizers.base import Tokenizer, TokenSpec

PLAIN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys("\u2018\u2019\u201a\u2032\u0060\u00b4", ("'",)),  # ‘ ’ ‚ ′ ` ´
    **dict.fromkeys("\u201c\u201d\u201e\u2033\u00ab\u00bb", ('"', "'")),  # “ ” „ ″ « »
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", ("-",)),  # hyphens, en dash, minus
    **dict.fromkeys("\u2014\u2015", ("--", "-")),  # em dash, horizontal bar
    "\u2026": ("...",),  # …
    '"': ("'",),
    "\t": (" ",),
    "\r": ("",),
    "\u00df": ("ss",),  # ß
    "\u00e6": ("ae",),  # æ
    "\u0153": ("oe",),  # œ
}
"""Character to what may stand for it, the best first; letters with accents fall back on the letters."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How well a tokenizer knows a text.

    Attributes:
        table: what is put in the place of each character that it refuses; empty text where the character is left out.
        characters: of the whole text; 0 where nothing is refused, and nobody counted.
        replaced: of them, characters written in another way.
        dropped: of them, characters left out.
        examples: of those left out, the most frequent first.
    """

    table: Mapping[str, str]
    characters: int
    replaced: int
    dropped: int
    examples: tuple[str, ...]

    def adapt(self, text: str) -> str:
        """Return ``text`` as the tokenizer can read it."""
        return text.translate({ord(character): plain for character, plain in self.table.items()})


def fit(tokenizer: Tokenizer[str], documents: Iterable[Document]) -> Fit:
    """Look through a text for characters that ``tokenizer`` refuses."""
    documents = list(documents)
    alphabet: set[str] = set()
    for document in documents:
        alphabet.update(*document.pieces())
    refused = {character for character in alphabet if not _knows(tokenizer, character)}
    counts: Counter[str] = Counter()
    if refused:  # counting is slower than looking, and most tokenizers refuse nothing
        for document in documents:
            for piece in document.pieces():
                counts.update(piece)
    table = {character: _plain(tokenizer, character) for character in sorted(refused)}
    gone = sorted((character for character in refused if not table[character]), key=lambda one: (-counts[one], one))
    dropped = sum(counts[character] for character in gone)
    return Fit(
        table=table,
        characters=counts.total(),
        replaced=sum(counts[character] for character in refused) - dropped,
        dropped=dropped,
        examples=tuple(gone[:5]),
    )


def _knows(tokenizer: Tokenizer[str], text: str) -> bool:
    try:
        tokenizer.encode(text)
    except ZooError:
        return False
    return True


def _plain(tokenizer: Tokenizer[str], character: str) -> str:
    """Return the best known spelling of a refused character, empty if there is none."""
    letters = "".join(part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part))
    options = (*PLAIN.get(character, ()), letters)
    return next((option for option in options if option != character and _knows(tokenizer, option)), "")


class Adapted(Tokenizer[str]):
    """A tokenizer that reads every text, by way of ``Fit.adapt``; decoding gives the adapted text."""

    def __init__(self, tokenizer: Tokenizer[str], fit: Fit) -> None:
        self._tokenizer, self._fit = tokenizer, fit
        key = f"{tokenizer.spec.fingerprint} {sorted(fit.table.items())}"
        self._spec = dataclasses.replace(
            tokenizer.spec, lossless=False, fingerprint=hashlib.sha256(key.encode()).hexdigest()
        )

    @property
    def spec(self) -> TokenSpec:
        """The tokenizer's, no longer lossless."""
        return self._spec

    def encode(self, sample: str) -> Tensor:
        """Return the ids of the adapted text, int64 (time,)."""
        return self._tokenizer.encode(self._fit.adapt(sample))

    def decode(self, ids: Tensor) -> str:
        """Return the adapted text of ``ids``, shape (time,)."""
        return self._tokenizer.decode(ids)

    def save(self, folder: Path | str) -> None:
        """Save the tokenizer itself: what it reads was adapted for training only."""
        self._tokenizer.save(folder)


def unknown_id(tokenizer: Tokenizer[str]) -> int | None:
    """Return the id that stands for all that ``tokenizer`` does not know, None if it has none."""
    if tokenizer.spec.lossless or not _knows(tokenizer, STRANGE):
        return None
    ids = tokenizer.encode(STRANGE).tolist()
    return ids[0] if len(ids) == 1 else None


STRANGE = "\U00012000"
"""A letter (cuneiform A) that no vocabulary here was ever fitted on."""
