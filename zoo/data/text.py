"""Running text: any file, folder or table of it, as one stream of ids in windows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from einops import rearrange

from zoo.data.base import Batch, Corpus, TokenData, refuse_both_sides
from zoo.data.documents import check_encoding, from_text, split_bytes
from zoo.data.read import Documents, read_documents
from zoo.data.read_table import check_columns
from zoo.data.seeded import generator
from zoo.data.sources import Manifest, Source
from zoo.data.stream import Ids, Stream, encode
from zoo.download import Progress
from zoo.errors import ZooError
from zoo.network import Network
from zoo.tokenizers.base import Modality, Tokenizer


@dataclass(frozen=True, kw_only=True)
class Text:
    """Any text.

    Attributes:
        path: text file, folder, glob or table (.gz too) of yours; goes before ``source``.
        columns: where a table's columns have other names: ``{text: body}``.
        source: where the recipe's own text is fetched from; None if it has none.
        held_out: part of the bytes of one text that training does not see (its end).
        encoding: of the files.
    """

    path: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    source: Source | Manifest | None = None
    held_out: float = 0.1
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        check_columns(self.columns)
        check_encoding(self.encoding)
        check_fraction(self.held_out)

    def open(self, progress: Progress | None = None) -> TextCorpus:
        """Find, read and split the text; ``progress`` is told of a download.

        Raises:
            ZooError: no data, or not text: one line that names the file.
        """
        path, entries = locate(self.path, self.source, progress)
        documents = read_documents(path, columns=self.columns, encoding=self.encoding, fraction=self.held_out)
        return TextCorpus(documents, entries or unlicensed(documents))


@dataclass(frozen=True, kw_only=True)
class Topics:
    """The help texts that come with Python (``help("keywords")``): about 466 kB of real text on every machine.

    Attributes:
        path: a text, folder, glob or table of yours instead.
        columns, encoding: of what ``path`` names; see ``Text``.
        held_out: part of the bytes that training does not see (the end).
    """

    path: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    held_out: float = 0.1
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        check_columns(self.columns)
        check_encoding(self.encoding)
        check_fraction(self.held_out)

    def open(self, progress: Progress | None = None) -> TextCorpus:
        """Read and split the text.

        Raises:
            ZooError: this Python comes without the texts.
        """
        if self.path is not None:
            yours = Text(path=self.path, columns=self.columns, held_out=self.held_out, encoding=self.encoding)
            return yours.open(progress)
        try:
            from pydoc_data.topics import topics
        except ImportError:
            raise ZooError("this Python comes without its help texts (pydoc_data); say data.path=FILE") from None
        text = "\n".join(topics[name] for name in sorted(topics))
        whole = from_text("pydoc_data.topics", text)
        train, held_out = split_bytes([whole], self.held_out)
        documents = Documents(
            title=whole.name, train=train, held_out=held_out, sha256=whole.sha256(), how=f"{self.held_out}"
        )
        return TextCorpus(documents, [{"name": whole.name, "license": "PSF-2.0", "sha256": documents.sha256}])


class TextCorpus(Corpus):
    """Split text, before any tokenizer.

    Args:
        documents: the text of both parts.
        entries: the card's ``data``.
    """

    modality: Modality = "text"

    def __init__(self, documents: Documents, entries: list[dict[str, Any]]) -> None:
        self.documents = documents
        self._entries = entries

    def samples(self) -> Iterable[str]:
        """Return the training text, then the characters that only the held-out text has: an alphabet must know them,
        and nothing else can be learned from them."""
        return Samples(self.documents)

    def encode(self, tokenizer: Tokenizer[Any], context: int) -> TextData:
        """Return the ids of both parts in windows of ``context``.

        Raises:
            ZooError: too short for one window, or a tokenizer of something else.
        """
        check_modality(tokenizer, "text")
        parts = self.documents
        return TextData(
            title=parts.title,
            train=encode(parts.train, tokenizer, key=f"{parts.key} train"),
            held_out=encode(parts.held_out, tokenizer, key=f"{parts.key} held out"),
            context=context,
        )

    def describe(self) -> list[dict[str, Any]]:
        """Return the card's ``data`` entries."""
        return self._entries


class Samples(Iterable[str]):
    """What a tokenizer is fitted on; may be gone through more than once."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def __iter__(self) -> Iterator[str]:
        parts = self._documents
        missing = {"\n"} if max(len(parts.train), len(parts.held_out)) > 1 else set()  # it joins documents
        for document in parts.held_out:
            missing.update(*document.pieces())
        for document in parts.train:
            for piece in document.pieces():
                missing -= set(piece)
                yield piece
        if missing:
            yield "".join(sorted(missing))


class TextData(TokenData):
    """Two streams of ids in windows.

    Args:
        title: of the data, for messages.
        train: ids to learn from.
        held_out: ids to be evaluated on.
        context: ids in a window.

    Raises:
        ZooError: a part is too short.
    """

    def __init__(self, *, title: str, train: Stream, held_out: Stream, context: int) -> None:
        for name, stream, needed in (("training", train, context + 1), ("held-out", held_out, 2)):
            if len(stream.ids) < needed:
                raise ZooError(
                    f"{title}: its {name} part has {len(stream.ids)} tokens, but model.context={context} needs "
                    f"at least {needed}; give more text or a smaller model.context"
                )
        self.train_tokens = len(train.ids)
        self.context = context
        self._title, self._parts = title, (train, held_out)
        self._train, self._held_out = train.ids, held_out

    def with_context(self, context: int) -> TextData:
        """Return the same ids in windows of another size."""
        train, held_out = self._parts
        return TextData(title=self._title, train=train, held_out=held_out, context=context)

    def share(self, index: int) -> float:
        """Return how much of both parts is the id ``index``, 0 to 1."""
        parts = [part.ids for part in self._parts]
        return sum(int((ids == index).sum()) for ids in parts) / sum(map(len, parts))

    def batch(self, *, step: int, size: int, seed: int) -> Batch:
        """Return ``size`` windows from anywhere in the training part, all starts equally likely."""
        starts = generator(seed, step).integers(0, len(self._train) - self.context, size=size)
        return _windows(self._train, starts, self.context)

    def held_out(self, size: int) -> Iterator[Batch]:
        """Yield windows side by side: every held-out id but the first, which nothing stands before, is predicted once.

        The last window is shorter as a rule, and comes as a batch of its own.
        """
        ids = self._held_out.ids
        predicted = len(ids) - 1
        starts = np.arange(0, predicted - self.context + 1, self.context)
        for first in range(0, len(starts), size):
            yield _windows(ids, starts[first : first + size], self.context)
        rest = predicted % self.context
        if rest:
            yield _windows(ids, np.array([predicted - rest]), rest)

    def check(self, network: Network) -> None:
        """Refuse a network with an encoder, or one that sees what it should predict."""
        super().check(network)
        refuse_both_sides(network)

    def metrics(self, nats: float, tokens: int) -> dict[str, Any]:
        """Return bits per byte of the raw text: what tokenizers can be compared by."""
        return bits_per_byte(nats, self._held_out)


def bits_per_byte(nats: float, stream: Stream) -> dict[str, Any]:
    """Return nats / (ln 2 * UTF-8 bytes), with ``lossless: false`` beside it where ids do not tell the whole text."""
    bits: dict[str, Any] = {"bits_per_byte": nats / (math.log(2) * stream.text_bytes)}
    return bits if stream.lossless else bits | {"lossless": False}


def locate(
    path: str | None, source: Source | Manifest | None, progress: Progress | None, *, wanted: str = "FILE"
) -> tuple[str, list[dict[str, Any]]]:
    """Return where a recipe's data is, fetched if need be, and its card entries; none for a path of the user's.

    Raises:
        ZooError: neither is given, or the source cannot be fetched.
    """
    if path is not None:
        return path, []
    if source is None:
        raise ZooError(f"this recipe has no data of its own; say data.path={wanted}")
    return str(source.fetch(progress)), source.describe()


def unlicensed(documents: Documents) -> list[dict[str, Any]]:
    """Return the card entry of a user's own data."""
    return [{"name": documents.title, "license": "not stated", "sha256": documents.sha256}]


def check_fraction(held_out: float) -> None:
    """Refuse a held-out part that leaves nothing.

    Raises:
        ZooError: say so.
    """
    if not 0 < held_out < 1:
        raise ZooError(f"held_out must be between 0 and 1, got {held_out}")


def check_modality(tokenizer: Tokenizer[Any], modality: Modality) -> None:
    """Refuse a tokenizer of something else.

    Raises:
        ZooError: name both.
    """
    spec = tokenizer.spec
    if spec.modality != modality:
        raise ZooError(f"the tokenizer '{spec.type}' is for {spec.modality}, but the data is {modality}")


def _windows(ids: Ids, starts: np.ndarray[Any, Any], length: int) -> Batch:
    rows = torch.from_numpy(ids[rearrange(starts, "row -> row 1") + np.arange(length + 1)].astype(np.int64))
    return Batch(ids=rows[:, :-1], targets=rows[:, 1:], indices=torch.from_numpy(starts.astype(np.int64)))
