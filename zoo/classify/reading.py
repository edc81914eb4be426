"""How a network with a head reads a sample: a text, a pair, a question with its choices, a picture or a sound, as rows.

Around the parts stand GPT-1's start, delimiter and extract ids (Radford et al. 2018, section 3.3 and figure 1), which
fine-tuning puts after the vocabulary; in BERT [CLS] and [SEP] (Devlin et al. 2018, figure 4); and a start id before
pictures and sounds that were learnt behind one. Nothing says so in a file: a causal network with a head that knows
exactly three ids more than its tokenizer has GPT-1's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from zoo.architecture import AnyNetwork
from zoo.classify.kinds import Together
from zoo.data.adapted import fit
from zoo.data.base import IGNORED, Batch
from zoo.data.documents import from_text
from zoo.data.records import TextRow
from zoo.errors import ZooError
from zoo.network import Conditioning
from zoo.tokenizers.audio.base import AudioTokenizer
from zoo.tokenizers.base import TextTokenizer, Tokenizer
from zoo.tokenizers.image.base import ImageTokenizer
from zoo.tokenizers.masked import MaskedTokenizer
from zoo.tokenizers.none import NoTokenizer
from zoo.transformer.heads import MultipleChoice
from zoo.transformer.model import Transformer

MOST_WINDOWS = 8
"""Windows of a sound that are read: of Jukebox's top levels, with 18 and 24 seconds each, most of a song."""
OWN_IDS = 3
"""Start, delimiter and extract: the ids that fine-tuning puts after the vocabulary of a causal network of text."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What stands around the parts of a row.

    Attributes:
        before, between, after: ids.
        segments: the second part, with what follows it, is of another token type.
    """

    before: tuple[int, ...] = ()
    between: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    segments: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """One sequence that a network reads.

    Attributes:
        ids: int64 (time,).
        targets: int64 (time,), what each position predicts; None where nothing is predicted.
        segments: int64 (time,), None where the network has no token types.
        second: where the second part begins; 0 where there is none.
        cut: ids of the sample that there was no room for.
        told: what a prior of music is told of it, as a batch of one; None for nothing.
    """

    ids: Tensor
    targets: Tensor | None = None
    segments: Tensor | None = None
    second: int = 0
    cut: int = 0
    told: Conditioning | None = None


class Reader:
    """Turns samples into rows.

    Args:
        network: with its head, if it has one already.
        tokenizer: makes the ids.
        both_orders: of a pair, both orders are read, and the logits added (Radford et al. 2018, similarity).
        start: pictures and sounds begin with the start id, where there is one. False for classifiers that others have
            trained: transformers shows Image GPT the pixels alone.
        context: most ids in a row of text or sound; None for what the network reads.

    Attributes:
        together: what the logits of a sample's rows come to.

    Raises:
        ZooError: no tokenizer.
    """

    def __init__(
        self,
        network: AnyNetwork,
        tokenizer: Tokenizer[Any],
        *,
        both_orders: bool = False,
        start: bool = True,
        context: int | None = None,
    ) -> None:
        if isinstance(tokenizer, NoTokenizer):
            tokenizer.refuse()
        self.network, self.tokenizer, self.both_orders = network, tokenizer, both_orders
        self.context = network.context if context is None else context
        self.frame = frame_of(network, tokenizer, start=start)
        self.choices = isinstance(network.config.head, MultipleChoice)
        self.together: Together = "mean" if tokenizer.spec.modality == "music" else "sum"

    def rows(self, sample: Any) -> list[Row]:
        """Return the rows of a sample: one, two of a pair that is read in both orders, or one for each choice; of a
        sound its windows.

        Args:
            sample: a text, two texts, a ``TextRow``, a picture or a sound.

        Raises:
            ZooError: an empty text, a pair or choices where the model takes none, what the tokenizer cannot read.
        """
        if isinstance(self.tokenizer, AudioTokenizer):
            return self._windows(self.tokenizer.encode(sample), self.tokenizer.ids_per_hop)
        if self.tokenizer.spec.modality != "text":
            return [self.whole(self.tokenizer.encode(sample))]
        row = _as_row(sample)
        if self.choices:
            if len(row.choices) < 2:
                raise ZooError("this model chooses: give a question with at least two choices")
            return [self.text(row.text, choice) for choice in row.choices]
        if row.choices:
            raise ZooError("has choices, and this model does not choose; leave the column choices out")
        if row.text_b is None:
            if self.both_orders:
                raise ZooError("has no second text, and this model compares two")
            return [self.text(row.text)]
        parts = (row.text, row.text_b)
        return [self.text(*parts), self.text(*parts[::-1])] if self.both_orders else [self.text(*parts)]

    def text(self, first: str, second: str | None = None) -> Row:
        """Return the row of one text or two; what is too long is cut at its end, the longer one first."""
        parts = [self.encode(part) for part in ([first] if second is None else [first, second])]
        frame = self.frame
        around = len(frame.before) + len(frame.after) + (len(frame.between) if second is not None else 0)
        kept, cut = shortened(parts, self.context - around)
        return replace(self.framed(kept), cut=cut)

    def framed(self, parts: Sequence[Tensor]) -> Row:
        """Return the row of one or two parts, int64 (time,), for which there is room."""
        frame = self.frame
        between = frame.between if len(parts) > 1 else ()
        pieces = [_ids(frame.before), parts[0], _ids(between), *parts[1:], _ids(frame.after)]
        ids = torch.cat(pieces)
        second = sum(map(len, pieces[:3])) if len(parts) > 1 else 0
        segments = None
        if frame.segments:
            segments = torch.zeros_like(ids)
            if second:
                segments[second:] = 1
        return Row(ids=ids, targets=self._targets(ids), segments=segments, second=second)

    def encode(self, text: str) -> Tensor:
        """Return the ids of a text; characters that an alphabet lacks are written in another way or left out.

        Raises:
            ZooError: nothing is left of it.
        """
        if not text.strip():
            raise ZooError("the text is empty; fill it in or take it out")
        try:
            ids = self.tokenizer.encode(text)
        except ZooError:
            assert isinstance(self.tokenizer, TextTokenizer)
            ids = self.tokenizer.encode(fit(self.tokenizer, [from_text("text", text)]).adapt(text))
        if not len(ids):
            raise ZooError(f"the tokenizer knows nothing of {text[:40]!r}; take it out")
        return ids

    def whole(self, ids: Tensor) -> Row:
        """Return the row of the ids of a picture. Behind a start id, the last pixel is predicted and never read, as in
        training.
        """
        if self._behind_start:
            return Row(ids=torch.cat([_ids(self.frame.before), ids])[: len(ids)], targets=ids)
        read = torch.cat([_ids(self.frame.before), ids])
        kept = read[: self.context]
        return Row(ids=kept, targets=self._targets(kept), cut=len(read) - len(kept))

    def _windows(self, ids: Tensor, unit: int) -> list[Row]:
        """Return the rows of the ids of a sound, ``unit`` of which stand for the same time; see ``spread``."""
        if not len(ids):
            raise ZooError("is empty: there is nothing to read in it")
        room = self.context - len(self.frame.before)
        if room < 1:
            raise ZooError(f"context: a window of sound has its first id and one of its own, got {self.context}")
        parts = [
            torch.cat([_ids(self.frame.before), ids[first : first + room]]) for first in spread(len(ids), room, unit)
        ]
        cut = max(0, len(ids) - MOST_WINDOWS * room)
        return [Row(ids=part, targets=self._targets(part), cut=cut) for part in parts]

    def picture(self, row: Row) -> Tensor:
        """Return the ids of the picture that a row was made of."""
        if not self._behind_start:
            return row.ids
        assert row.targets is not None
        return row.targets

    @property
    def _behind_start(self) -> bool:
        return isinstance(self.tokenizer, ImageTokenizer) and len(self.frame.before) > 0

    def _targets(self, ids: Tensor) -> Tensor | None:
        """Return what each position of a causal network predicts: the next id, if it can be predicted at all."""
        return following(ids, self.network.output_vocabulary) if self.network.causal else None


def following(ids: Tensor, count: int) -> Tensor:
    """Return what each position (time,) predicts: the next id, if it is one of the ``count`` that can be predicted."""
    after = torch.cat([ids[1:], torch.tensor([IGNORED])])
    return after.where(after < count, IGNORED)


def frame_of(network: AnyNetwork, tokenizer: Tokenizer[Any], *, start: bool = True) -> Frame:
    """Return what stands around the parts of a row; see the top of this file."""
    spec = tokenizer.spec
    if not network.causal and isinstance(tokenizer, MaskedTokenizer):
        separator = (tokenizer.separator_id,)
        segments = isinstance(network, Transformer) and network.config.segments > 1
        return Frame(before=(tokenizer.class_id,), between=separator, after=separator, segments=segments)
    if network.causal and spec.modality == "text" and has_own_ids(network, tokenizer):
        first, delimiter, extract = range(spec.vocabulary_size, spec.vocabulary_size + OWN_IDS)
        return Frame(before=(first,), between=(delimiter,), after=(extract,))
    before = (spec.start_id,) if spec.start_id is not None and network.causal and start else ()
    return Frame(before=before, between=() if spec.end_id is None else (spec.end_id,))


def has_own_ids(network: AnyNetwork, tokenizer: Tokenizer[Any]) -> bool:
    """Return whether a network with a head has GPT-1's three ids after its tokenizer's."""
    more = network.vocabulary - tokenizer.spec.vocabulary_size
    return network.config.head is not None and more == OWN_IDS


def shortened(parts: Sequence[Tensor], room: int) -> tuple[list[Tensor], int]:
    """Return parts that fit into ``room`` ids together, the longest of them shortened first, and how much was cut.

    Raises:
        ZooError: there is no room for one id of each.
    """
    if room < len(parts):
        raise ZooError("the model's context has no room for these texts; use one that reads more tokens at once")
    sizes = [len(part) for part in parts]
    over = cut = max(0, sum(sizes) - room)
    while over:
        longest = sizes.index(max(sizes))
        others = [size for number, size in enumerate(sizes) if number != longest]
        step = min(over, max(1, sizes[longest] - max(others, default=0)))
        sizes[longest] -= step
        over -= step
    return [part[:size] for part, size in zip(parts, sizes, strict=True)], cut


def collate(
    examples: Sequence[Sequence[Row]], *, labels: Tensor | None = None, numbers: Sequence[int] | None = None
) -> Batch:
    """Return the rows of several samples below each other, padded on the right.

    Args:
        examples: the rows of each.
        labels: of the samples: int64 (samples,), or float32 (samples, labels).
        numbers: which sample each is, for messages.
    """
    rows = [row for example in examples for row in example]
    counts = torch.tensor([len(example) for example in examples])
    lengths = torch.tensor([len(row.ids) for row in rows])
    targets = [torch.full_like(row.ids, IGNORED) if row.targets is None else row.targets for row in rows]
    segments = [row.segments for row in rows if row.segments is not None]
    told = Conditioning.joined([row.told for row in rows if row.told is not None])
    if segments:
        told = replace(told or Conditioning(), segments=pad_sequence(segments, batch_first=True))
    return Batch(
        ids=pad_sequence([row.ids for row in rows], batch_first=True).long(),
        targets=pad_sequence(targets, batch_first=True, padding_value=IGNORED).long(),
        indices=torch.tensor(list(range(len(examples)) if numbers is None else numbers)),
        lengths=None if bool((lengths == lengths[0]).all()) else lengths,
        conditioning=told,
        labels=labels,
        groups=torch.arange(len(examples)).repeat_interleave(counts),
    )


def spread(count: int, room: int, unit: int = 1) -> list[int]:
    """Return where the windows begin by which a sound of ``count`` ids is read, in multiples of ``unit``: one if
    ``room`` ids hold it, else as many as do, all full and evenly spread; of a sound that is longer than
    ``MOST_WINDOWS``, so many.
    """
    windows = min(MOST_WINDOWS, -(-count // room))
    firsts = np.linspace(0, max(0, count - room), windows).round().astype(int)
    return [int(first) // unit * unit for first in firsts]


def by_rows(examples: Sequence[Sequence[Row]], size: int) -> Iterator[range]:
    """Yield the places of samples in order, so many at once as have ``size`` rows; at least one."""
    first, held = 0, 0
    for place, rows in enumerate(examples):
        if place > first and held + len(rows) > size:
            yield range(first, place)
            first, held = place, 0
        held += len(rows)
    if first < len(examples):
        yield range(first, len(examples))


def narrow(row: Row) -> Row:
    """Return a row as it is kept in memory, in half of it."""
    targets = None if row.targets is None else row.targets.int()
    return replace(row, ids=row.ids.int(), targets=targets)


def _as_row(sample: Any) -> TextRow:
    match sample:
        case TextRow():
            return sample
        case str():
            return TextRow(text=sample)
        case (str(first), str(second)):
            return TextRow(text=first, text_b=second)
    raise ZooError(f"expected a text, two texts or a zoo.data.records.TextRow, got {type(sample).__name__}")


def _ids(values: Sequence[int]) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.int64))
