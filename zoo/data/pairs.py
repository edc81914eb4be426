"""Pairs of a source and its target: what an encoder-decoder learns from (Vaswani et al. 2017, section 3.1)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from zoo.data.base import IGNORED, Batch, Corpus, Problems, TokenData
from zoo.data.documents import check_encoding
from zoo.data.numbers import Numbers, Pair
from zoo.data.read import Lazy, read_pairs
from zoo.data.read_table import PAIR, check_columns
from zoo.data.seeded import generator
from zoo.data.text import check_modality
from zoo.download import Progress
from zoo.errors import ZooError
from zoo.network import Conditioning, Network
from zoo.tokenizers.base import Modality, Tokenizer

POOL = 16
"""Steps whose rows are drawn together."""


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Any pairs of texts, or pairs that are made.

    Attributes:
        path: table of yours (CSV, TSV or JSONL, .gz too) with the columns source and target, or a folder of such
            tables named train and test; goes before ``made``. A table alone is split by rows.
        columns: where a table's columns have other names: ``{source: english, target: german}``.
        header: the first row of a CSV or TSV file names its columns; False if it is a pair already, source first.
        encoding: of the tables.
        made: what the recipe makes itself.
    """

    path: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    header: bool = True
    encoding: str = "utf-8"
    made: Numbers | None = None

    def __post_init__(self) -> None:
        check_columns(self.columns, PAIR)
        check_encoding(self.encoding)

    def open(self, progress: Progress | None = None) -> PairsCorpus:
        """Read or make the pairs, split; nothing is ever fetched.

        Raises:
            ZooError: no data, or a table that cannot be read: one line that names the file.
        """
        if self.path is not None:
            rows = read_pairs(self.path, columns=self.columns, header=self.header, encoding=self.encoding)
            train, held_out = (
                Part(names=Lazy(part, rows.names.__getitem__), pairs=Lazy(part, rows.load))
                for part in (rows.train, rows.held_out)
            )
            entry = {"name": rows.title, "license": "not stated", "sha256": rows.sha256}
            return PairsCorpus(train=train, held_out=held_out, entry=entry)
        if self.made is None:
            raise ZooError("this recipe has no pairs of its own; say data.path=FILE")
        made = self.made.make()
        lines = (f"{source}\t{target}\n".encode() for source, target in chain(*made))
        sha256 = hashlib.sha256(b"".join(lines)).hexdigest()
        train, held_out = (Part(names=[source for source, _ in pairs], pairs=pairs) for pairs in made)
        entry = {"name": self.made.title, "license": "CC0-1.0", "sha256": sha256}
        return PairsCorpus(train=train, held_out=held_out, entry=entry)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of the pairs.

    Attributes:
        names: what each pair is called in messages.
        pairs: a source and a target each.
    """

    names: Sequence[str]
    pairs: Sequence[Pair]


class PairsCorpus(Corpus):
    """Split pairs, before any tokenizer.

    Args:
        train: pairs to learn from.
        held_out: pairs to be evaluated on.
        entry: the card's ``data``.
    """

    modality: Modality = "text"

    def __init__(self, *, train: Part, held_out: Part, entry: dict[str, Any]) -> None:
        self.train = train
        self.held_out = held_out
        self._entry = entry

    def samples(self) -> Iterable[str]:
        """Return the sources and targets to learn from, then the characters that only the held-out ones have."""
        learned = list(chain.from_iterable(self.train.pairs))
        missing = set(chain.from_iterable(chain.from_iterable(self.held_out.pairs))) - set(chain.from_iterable(learned))
        return [*learned, "".join(sorted(missing))] if missing else learned

    def encode(self, tokenizer: Tokenizer[Any], context: int) -> PairsData:
        """Return the pairs as ids; whether a network can read them is known once ``PairsData.check`` has seen it.

        Raises:
            ZooError: a tokenizer of something else, or one that makes nothing of a text.
        """
        check_modality(tokenizer, "text")
        return PairsData(self.train, self.held_out, tokenizer)

    def part(self, *, whole: bool, chosen: Callable[[Sequence[int]], Sequence[int]]) -> Part:
        """Return the pairs to be evaluated on: those of the held-out part, or of both, whose numbers are chosen."""
        parts = [self.train, self.held_out] if whole else [self.held_out]
        names = list(chain.from_iterable(part.names for part in parts))
        pairs = list(chain.from_iterable(part.pairs for part in parts))
        numbers = chosen(range(len(pairs)))
        return Part(names=[names[number] for number in numbers], pairs=[pairs[number] for number in numbers])

    def describe(self) -> list[dict[str, Any]]:
        """Return the card's ``data`` entry."""
        return [self._entry]


class PairsData(TokenData):
    """Pairs as ids: targets follow ``TokenSpec.target_start_id``, and end with ``target_end_id``.

    Args:
        train: pairs to learn from.
        held_out: pairs to be evaluated on.
        tokenizer: of sources and targets alike.

    Raises:
        ZooError: the tokenizer makes nothing of a text.
    """

    def __init__(self, train: Part, held_out: Part, tokenizer: Tokenizer[str]) -> None:
        self._spec = tokenizer.spec
        self._train = _encode(train, tokenizer)
        self._held_out = _encode(held_out, tokenizer)
        self._bytes = sum(len(target.encode()) for _, target in held_out.pairs)
        self._lossless = tokenizer.spec.lossless or all(
            tokenizer.decode(ids) == target
            for ids, (_, target) in zip(self._held_out.targets, held_out.pairs, strict=True)
        )
        self.train_tokens = int((self._train.targets.lengths + 1).sum())

    def batch(self, *, step: int, size: int, seed: int) -> Batch:
        """Return ``size`` pairs drawn from the training part, all equally likely, with sources of similar lengths.

        Padding is work for nothing (Vaswani et al. 2017, section 5.1, batch by length, too): the rows of ``POOL``
        steps are drawn together, sorted, and dealt out in random order.
        """
        pool, place = divmod(step, POOL)
        random = generator(seed, pool)
        drawn = random.integers(0, len(self._train.names), size=POOL * size)
        ordered = drawn[self._train.sources.lengths[drawn].argsort(kind="stable")]
        first = int(random.permutation(POOL)[place]) * size
        return self._batch(self._train, ordered[first : first + size].tolist())

    def held_out(self, size: int) -> Iterator[Batch]:
        """Yield the held-out pairs, ``size`` at a time."""
        count = len(self._held_out.names)
        for first in range(0, count, size):
            yield self._batch(self._held_out, range(first, min(first + size, count)))

    def metrics(self, nats: float, tokens: int) -> dict[str, Any]:
        """Return bits per UTF-8 byte of the targets, their ends included; ``lossless: false`` where ids drop some."""
        bits: dict[str, Any] = {"bits_per_byte": nats / (math.log(2) * self._bytes)}
        return bits if self._lossless else bits | {"lossless": False}

    def problems(self) -> tuple[Problems, ...]:
        """Return the held-out pairs: the whole target is to be found, end included."""
        rows = self._held_out
        end = torch.tensor([self._spec.target_end_id])
        return (
            Problems(
                name="held_out",
                prompts=torch.full((len(rows.names), 1), self._spec.target_start_id),
                answers=[torch.cat([target, end]) for target in rows.targets],
                end_id=self._spec.target_end_id,
                sources=rows.sources,
            ),
        )

    def check(self, network: Network) -> None:
        """Refuse a network without an encoder, or one that cannot read the longest pair."""
        if network.source_context is None:
            raise ZooError(
                "model: pairs need a network with an encoder, and this has none; use the recipe text/seq2seq, or set "
                "model.encoder, model.memory_width and a cross pattern"
            )
        for rows in (self._train, self._held_out):
            for what, texts, extra, context, key in (
                ("source", rows.sources, 0, network.source_context, "model.encoder.context"),
                ("target", rows.targets, 1, network.context, "model.context"),
            ):
                row = int(texts.lengths.argmax())
                needed = int(texts.lengths[row]) + extra
                if needed > context:
                    raise ZooError(
                        f"{rows.names[row]}: this {what} takes {needed} ids, more than {key}={context}; "
                        f"say {key}={needed}, or shorten it"
                    )

    def _batch(self, rows: Rows, chosen: Sequence[int]) -> Batch:
        targets = [rows.targets[row] for row in chosen]
        ids = [functional.pad(target, (1, 0), value=self._spec.target_start_id) for target in targets]
        wanted = [functional.pad(target, (0, 1), value=self._spec.target_end_id) for target in targets]
        return Batch(
            ids=pad_sequence(ids, batch_first=True),
            targets=pad_sequence(wanted, batch_first=True, padding_value=IGNORED),
            indices=torch.tensor(chosen),
            lengths=torch.tensor([len(row) for row in ids]),
            conditioning=Conditioning.of_sources([rows.sources[row] for row in chosen]),
        )


class Ragged(Sequence[Tensor]):
    """Ids of many texts in one array.

    Args:
        texts: ids (time,) of each.
    """

    def __init__(self, texts: Iterable[Tensor]) -> None:
        pieces = [ids.numpy().astype(np.int32) for ids in texts]
        self.lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
        self._ends = self.lengths.cumsum()
        self._ids = np.concatenate(pieces)

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> list[Tensor]: ...

    def __getitem__(self, index: int | slice) -> Tensor | list[Tensor]:
        if isinstance(index, slice):
            return [self[row] for row in range(len(self))[index]]
        row = range(len(self))[index]
        end = int(self._ends[row])
        return torch.from_numpy(self._ids[end - int(self.lengths[row]) : end].astype(np.int64))


@dataclass(frozen=True, kw_only=True)
class Rows:
    """One part of the pairs as ids.

    Attributes:
        names: what each pair is called in messages.
        sources, targets: ids of each, without those that begin and end a target.
    """

    names: Sequence[str]
    sources: Ragged
    targets: Ragged


def _encode(part: Part, tokenizer: Tokenizer[str]) -> Rows:
    sources, targets = zip(*part.pairs, strict=True)
    rows = Rows(
        names=part.names,
        sources=Ragged(map(tokenizer.encode, sources)),
        targets=Ragged(map(tokenizer.encode, targets)),
    )
    for what, texts in (("source", rows.sources), ("target", rows.targets)):
        if not texts.lengths.all():
            name = rows.names[int(texts.lengths.argmin())]
            raise ZooError(f"{name}: the tokenizer '{tokenizer.spec.type}' makes no id of this {what}; take it out")
    return rows
