"""Text with gaps: BERT's pre-training examples (Devlin et al. 2018, section 3.1 and appendix A)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from zoo.data.base import IGNORED, Batch, Corpus, TokenData, refuse_encoder
from zoo.data.gaps import NEXT, OTHER, Example, Row, Rows
from zoo.data.seeded import generator
from zoo.data.sentences import Sentences
from zoo.data.sources import Manifest, Source
from zoo.data.stream import Ids, Stream, encode
from zoo.data.text import Text, TextCorpus
from zoo.download import Progress
from zoo.errors import ZooError
from zoo.network import Conditioning, Network
from zoo.tokenizers.base import Modality, Tokenizer
from zoo.tokenizers.masked import masked

HELD_OUT_SEED = 0
"""Of the held-out examples, which are the same in every run."""
SHORTEST = 8
"""Smallest context: [CLS], two parts of at least two ids, [SEP] after each."""


@dataclass(frozen=True, kw_only=True)
class Masked:
    """Any text, with some of its ids hidden for a model that sees both sides of a gap.

    Rows are ``[CLS] A [SEP] B [SEP]`` from one document, A and B beginning where sentences do. Half of the time B is
    what follows A in the text, else it begins anywhere else in the data.

    Attributes:
        path: text file, folder, glob or table (.gz too) of yours; goes before ``source``.
        columns: where a table's columns have other names: ``{text: body}``.
        source: where the recipe's own text is fetched from; None if it has none.
        held_out: part of the bytes of one text that training does not see (its end).
        encoding: of the files.
        next_sentence: rows of two parts and a label; False gives rows ``[CLS] A [SEP]`` without labels, as RoBERTa has
            them (Liu et al. 2019, section 4.2).
        share: of the ids of a row that are to be predicted, at least one.
    """

    path: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    source: Source | Manifest | None = None
    held_out: float = 0.1
    encoding: str = "utf-8"
    next_sentence: bool = True
    share: float = 0.15

    def __post_init__(self) -> None:
        self._text()  # checks what they have in common
        if not 0 < self.share < 1:
            raise ZooError(f"share must lie between 0 and 1, got {self.share}")

    def open(self, progress: Progress | None = None) -> MaskedCorpus:
        """Find, read and split the text; ``progress`` is told of a download.

        Raises:
            ZooError: no data, or not text: one line that names the file.
        """
        return MaskedCorpus(self._text().open(progress), self)

    def _text(self) -> Text:
        return Text(
            path=self.path, columns=self.columns, source=self.source, held_out=self.held_out, encoding=self.encoding
        )


class MaskedCorpus(Corpus):
    """Split text, before any tokenizer.

    Args:
        text: both parts.
        settings: how rows are made of it.
    """

    modality: Modality = "text"

    def __init__(self, text: TextCorpus, settings: Masked) -> None:
        self._text = text
        self._settings = settings

    def samples(self) -> Iterable[str]:
        """Return what a tokenizer is fitted on."""
        return self._text.samples()

    def encode(self, tokenizer: Tokenizer[Any], context: int) -> MaskedData:
        """Return the ids of both parts.

        Raises:
            ZooError: a tokenizer without BERT's special ids, too short a context, too little text.
        """
        known, parts = masked(tokenizer), self._text.documents
        if context < SHORTEST:
            raise ZooError(f"model.context={context} is too short for masked text; use at least {SHORTEST}")
        return MaskedData(
            title=parts.title,
            train=encode(parts.train, tokenizer, key=f"{parts.key} train"),
            held_out=encode(parts.held_out, tokenizer, key=f"{parts.key} held out"),
            rows=Rows(known, context, self._settings.share),
            next_sentence=self._settings.next_sentence,
        )

    def describe(self) -> list[dict[str, Any]]:
        """Return the card's ``data`` entries."""
        return self._text.describe()


class MaskedData(TokenData):
    """Rows with gaps.

    Args:
        title: of the data, for messages.
        train: ids to learn from, documents parted by the separator id.
        held_out: ids to be evaluated on.
        rows: makes rows of parts.
        next_sentence: rows have two parts and a label.

    Raises:
        ZooError: a part is too short.
    """

    label_name = "next_sentence"

    def __init__(self, *, title: str, train: Stream, held_out: Stream, rows: Rows, next_sentence: bool) -> None:
        self.train_tokens = len(train.ids)
        self._rows = rows
        self._pairs = next_sentence
        self._room = rows.context - (3 if next_sentence else 2)
        self._longest = self._room // 2 if next_sentence else self._room
        self._train, self._held_out = train.ids, held_out.ids
        for name, ids in (("training", self._train), ("held-out", self._held_out)):
            if len(ids) < 2:
                raise ZooError(f"{title}: its {name} part has {len(ids)} tokens, at least 2 are needed; give more text")
        self._sentences = self._find(self._train)
        self._first = self._sentences.followed if next_sentence else np.arange(len(self._sentences))
        self._spans, self._labels = self._held_out_spans(self._find(self._held_out))
        for name, found in (("training", self._first), ("held-out", self._spans)):
            if not len(found):
                raise ZooError(
                    f"{title}: no document of its {name} part has two sentences; give longer texts, or say "
                    "data.next_sentence=false"
                )

    def batch(self, *, step: int, size: int, seed: int) -> Batch:
        """Return ``size`` rows of the training part; all sentences are equally likely to begin one."""
        random = generator(seed, step)
        return self._batch([self._rows.make(self._draw(random), random) for _ in range(size)])

    def held_out(self, size: int) -> Iterator[Batch]:
        """Yield the held-out part, every id in one row, with the same gaps each time.

        A and B are whole sentences of up to half a row; for half of the rows, the Bs change places among them.
        """
        for first in range(0, len(self._spans), size):
            yield self._batch([self._held_out_row(row) for row in range(first, min(first + size, len(self._spans)))])

    def metrics(self, nats: float, tokens: int) -> dict[str, Any]:
        """Return nothing: the loss is of the gaps alone, and says nothing of a whole text's bits."""
        return {}

    def check(self, network: Network) -> None:
        """Refuse a network that sees one side only, or one that cannot tell the next sentence."""
        refuse_encoder(network)
        if network.causal:
            raise ZooError(
                "model.patterns: masked text needs a model that sees both sides of a gap; "
                "use model.patterns=[{type:dense,causal:false}]"
            )
        if self._pairs and len(network.labels) != 2:
            raise ZooError(
                f"model.head: telling whether a sentence is the next one takes a head with 2 labels, this has "
                f"{len(network.labels)}; give it one, or say data.next_sentence=false"
            )

    def _find(self, ids: Ids) -> Sentences:
        return Sentences.find(ids, self._rows.tokenizer, longest=self._longest)

    def _draw(self, random: np.random.Generator) -> Example:
        """Return a training example that fills a row where its document is long enough."""
        ids, sentences = self._train, self._sentences
        number = int(self._first[random.integers(len(self._first))])
        begin, stop = int(sentences.begins[number]), int(sentences.stops[number])
        stop = min(begin + self._room, stop)
        if not self._pairs:
            return Example(begin=begin, parts=(ids[begin:stop],))
        second = int(random.integers(number + 1, sentences.up_to(stop)))
        cut, label = int(sentences.begins[second]), NEXT
        if random.random() < 0.5:
            # Any sentence but the one that is next. B has the same room as if it were: lengths must not tell.
            other = (second + 1 + int(random.integers(len(sentences) - 1))) % len(sentences)
            label, start = OTHER, int(sentences.begins[other])
            part = ids[start : min(start + self._room - (cut - begin), int(sentences.stops[other]))]
        else:
            part = ids[cut:stop]
        return Example(begin=begin, parts=(ids[begin:cut], part), label=label)

    def _held_out_spans(self, sentences: Sentences) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return where the parts of every held-out row begin and end, (rows, parts, 2), and its label, (rows,)."""
        documents = sentences.stretches(self._longest)
        if not self._pairs:
            found = [[stretch] for document in documents for stretch in document]
            return np.array(found, dtype=np.int64).reshape(-1, 1, 2), np.zeros(len(found), dtype=np.int64)
        halves = [half for document in documents for half in _even(document)]
        spans = np.array(halves, dtype=np.int64).reshape(-1, 2, 2)
        partners = np.arange(len(spans))
        moved = generator(HELD_OUT_SEED, len(spans)).permutation(len(spans))[: len(spans) // 2]
        if len(moved) > 1:
            partners[moved] = np.roll(moved, 1)
        spans[:, 1] = spans[partners, 1]
        return spans, np.where(partners == np.arange(len(spans)), NEXT, OTHER)

    def _held_out_row(self, row: int) -> Row:
        spans = self._spans[row].tolist()
        parts = tuple(self._held_out[begin:end] for begin, end in spans)
        example = Example(begin=spans[0][0], parts=parts, label=int(self._labels[row]))
        # A generator for each row: the gaps do not depend on the number of rows in a batch.
        return self._rows.make(example, generator(HELD_OUT_SEED, row))

    def _batch(self, rows: Sequence[Row]) -> Batch:
        lengths = torch.tensor([len(row.ids) for row in rows])
        return Batch(
            ids=_pad([row.ids for row in rows], self._rows.tokenizer.spec.pad_id or 0),
            targets=_pad([row.targets for row in rows], IGNORED),
            indices=torch.tensor([row.begin for row in rows]),
            lengths=None if bool((lengths == lengths[0]).all()) else lengths,
            conditioning=Conditioning(segments=_pad([row.segments for row in rows], 0)) if self._pairs else None,
            labels=torch.tensor([row.label for row in rows]) if self._pairs else None,
        )


def _even(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the stretches of a document as an even number of them: if there is one too many, the longest is halved.

    A document of a single id has no two parts and is left out.
    """
    if len(stretches) % 2 == 0:
        return stretches
    row = max(range(len(stretches)), key=lambda number: stretches[number][1] - stretches[number][0])
    begin, end = stretches[row]
    if end - begin < 2:
        return stretches[:-1]
    middle = (begin + end) // 2
    return [*stretches[:row], (begin, middle), (middle, end), *stretches[row + 1 :]]


def _pad(rows: Sequence[npt.NDArray[np.int64]], value: int) -> Tensor:
    """Return (batch, time), filled up on the right."""
    return pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True, padding_value=value)
