"""Aesop for the word LSTM of Generative Deep Learning (Foster 2019, chapter 6): 20 words in, the next word out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from einops import rearrange

from zoo.data.base import IGNORED, Batch, Corpus, TokenData, refuse_both_sides
from zoo.data.documents import check_encoding, from_text
from zoo.data.read import Documents, read_documents
from zoo.data.read_table import check_columns
from zoo.data.seeded import generator
from zoo.data.sources import Manifest, Source
from zoo.data.stream import Ids, Stream, encode
from zoo.data.text import bits_per_byte, check_fraction, check_modality, locate, unlicensed
from zoo.download import Progress
from zoo.errors import ZooError
from zoo.network import Network
from zoo.tokenizers.base import Modality, Tokenizer

FIRST = re.compile(r"^(## +)?THE FOX AND THE GRAPES\n\n", re.MULTILINE)
AFTER_LAST = re.compile(r"^(## +)?ILLUSTRATIONS\n\n", re.MULTILINE)
BAR = "| "
"""Stands before a story, as often as a window has words: what to begin from when a new story is to be told."""


@dataclass(frozen=True, kw_only=True)
class Fables:
    """Stories, prepared as in the book's notebook 06_01 and cut into windows with step 1.

    Attributes:
        path: a text of yours; stories begin at ``## TITLE`` lines, or after four empty lines.
        columns: where a table's columns have other names: ``{text: body}``.
        source: where the recipe's own text is fetched from.
        held_out: part of the bytes that training does not see (the end).
        encoding: of the file.
        bars: bars before each story: the words of a window.
    """

    path: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    source: Source | Manifest | None = None
    held_out: float = 0.1
    encoding: str = "utf-8"
    bars: int = 20

    def __post_init__(self) -> None:
        check_columns(self.columns)
        check_encoding(self.encoding)
        check_fraction(self.held_out)
        if self.bars < 1:
            raise ZooError(f"bars must be at least 1, got {self.bars}")

    def open(self, progress: Progress | None = None) -> FablesCorpus:
        """Find, read and split the stories.

        Raises:
            ZooError: no data, or not text: one line that names the file.
        """
        path, entries = locate(self.path, self.source, progress)
        documents = read_documents(path, columns=self.columns, encoding=self.encoding, fraction=self.held_out)
        return FablesCorpus(documents, entries or unlicensed(documents), self.bars)


def prepare(text: str, bars: int) -> str:
    """Return stories as words, punctuation marks and bars between single blanks, all lower case.

    The title page and the list of illustrations are left out. Two blanks in a row, which is what ends a title or a
    paragraph, become a full stop.
    """
    text = text.replace("\r\n", "\n")
    first, last = FIRST.search(text), AFTER_LAST.search(text)
    text = text[first.start() if first else 0 : last.start() if last else len(text)]
    text = re.sub(r"^## +(.*)$", r"\n\n\n\n\n\1\n", text, flags=re.MULTILINE)
    stories = re.split(r"\n{5,}", text.lower().strip("\n"))
    text = "".join(BAR * bars + re.sub(r"  +", ". ", story.replace("\n", " ").strip()) + " " for story in stories)
    text = re.sub(r'([!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~])', r" \1 ", text.replace("..", "."))
    return re.sub(r"\s+", " ", text).strip()


class FablesCorpus(Corpus):
    """Prepared stories, before any tokenizer.

    Args:
        documents: the raw text of both parts.
        entries: the card's ``data``.
        bars: bars before each story.
    """

    modality: Modality = "text"

    def __init__(self, documents: Documents, entries: list[dict[str, Any]], bars: int) -> None:
        self._entries = entries
        self._raw_bytes = sum(document.size for document in documents.held_out)
        self._key = f"{documents.key} {bars} bars"
        self.train = prepare("\n\n\n\n\n".join(document.text() for document in documents.train), bars)
        self.held_out = prepare("\n\n\n\n\n".join(document.text() for document in documents.held_out), bars)

    def samples(self) -> Iterable[str]:
        """Return the training stories, then the characters that only the others have."""
        missing = sorted(set(self.held_out) - set(self.train))
        return [self.train, "".join(missing)] if missing else [self.train]

    def encode(self, tokenizer: Tokenizer[Any], context: int) -> FablesData:
        """Return the ids of both parts in windows of ``context``.

        Raises:
            ZooError: too short for one window, or a tokenizer of something else.
        """
        check_modality(tokenizer, "text")
        train, held_out = (
            encode([from_text("fables", text)], tokenizer, key=f"{self._key} {part}")
            for part, text in (("train", self.train), ("held out", self.held_out))
        )
        kept = Stream(
            ids=held_out.ids, text_bytes=self._raw_bytes, lossless=False
        )  # the preparation drops case and space
        return FablesData(train=train.ids, held_out=kept, context=context)

    def describe(self) -> list[dict[str, Any]]:
        """Return the card's ``data`` entries."""
        return self._entries


class FablesData(TokenData):
    """Windows with step 1, of which only the word after the window is predicted.

    Args:
        train: ids to learn from.
        held_out: ids to be evaluated on.
        context: ids in a window.

    Raises:
        ZooError: a part is too short for one window.
    """

    def __init__(self, *, train: Ids, held_out: Stream, context: int) -> None:
        if min(len(train), len(held_out.ids)) <= context:
            raise ZooError(f"the stories are too short: each part needs more than model.context={context} tokens")
        self.train_tokens = len(train)
        self.context = context
        self._train = train
        self._held_out = held_out

    @property
    def train_windows(self) -> int:
        """Number of different training windows."""
        return len(self._train) - self.context

    def batch(self, *, step: int, size: int, seed: int) -> Batch:
        """Return ``size`` training windows, all equally likely."""
        return _windows(self._train, generator(seed, step).integers(0, self.train_windows, size=size), self.context)

    def held_out(self, size: int) -> Iterator[Batch]:
        """Yield every held-out window: each id after the first ``context`` is predicted once."""
        ids = self._held_out.ids
        for first in range(0, len(ids) - self.context, size):
            yield _windows(ids, np.arange(first, min(first + size, len(ids) - self.context)), self.context)

    def check(self, network: Network) -> None:
        """Refuse a network with an encoder, or one that sees what it should predict."""
        super().check(network)
        refuse_both_sides(network)

    def metrics(self, nats: float, tokens: int) -> dict[str, Any]:
        """Return bits per byte of the raw text, ``lossless: false`` beside it."""
        return bits_per_byte(nats, self._held_out)


def _windows(ids: Ids, starts: np.ndarray[Any, Any], context: int) -> Batch:
    rows = torch.from_numpy(ids[rearrange(starts, "row -> row 1") + np.arange(context + 1)].astype(np.int64))
    targets = torch.full((len(starts), context), IGNORED)
    targets[:, -1] = rows[:, -1]
    return Batch(ids=rows[:, :-1], targets=targets, indices=torch.from_numpy(starts.astype(np.int64)))
