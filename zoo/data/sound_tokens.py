"""Sounds as ids: windows to learn from, and every window of the held-out part."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.data.base import IGNORED, Batch, TokenData, refuse_both_sides
from zoo.data.read_sound import SoundRecords
from zoo.data.seeded import generator
from zoo.data.spans import Spans, split_spans
from zoo.data.stream import Ids, id_type, keep, narrow
from zoo.errors import ZooError
from zoo.network import NO_CLASS, Conditioning, Network
from zoo.tokenizers.audio.base import AudioTokenizer
from zoo.tokenizers.audio.waveform import Samples, resample_blocks, to_mono

IN_MEMORY = 600
"""Seconds of sound above which ids are kept in a file."""


@dataclass(frozen=True, kw_only=True)
class TokenPart:
    """The ids of one part.

    Attributes:
        ids: of all stretches, one after the other, as small as the vocabulary allows.
        firsts: int64 (stretches,), where each begins in ``ids``.
        counts: int64 (stretches,), ids of each.
        numbers: int64 (stretches,), the sound of each.
        starts: int64 (stretches,), the sample of its sound at which each begins, at the tokenizer's rate.
        totals: int64 (stretches,), the samples of its whole sound.
        classes: int64 (stretches,), None where there are none.
    """

    ids: Ids
    firsts: NDArray[np.int64]
    counts: NDArray[np.int64]
    numbers: NDArray[np.int64]
    starts: NDArray[np.int64]
    totals: NDArray[np.int64]
    classes: NDArray[np.int64] | None


def encode_parts(
    records: SoundRecords, tokenizer: AudioTokenizer, *, fraction: float, classes: NDArray[np.int64] | None
) -> tuple[TokenPart, TokenPart]:
    """Encode what training hears and what is held out; of more than ten minutes, ids are kept for the next run.

    Args:
        records: the sounds.
        tokenizer: encodes them, each stretch from its beginning.
        fraction: of each sound that is held out, where no whole ones are.
        classes: int64 (sounds,), None where there are none.

    Raises:
        ZooError: a file that cannot be read, or a part without samples.
    """
    lengths = np.zeros(len(records), dtype=np.int64)
    for number in range(len(records)):
        with records.open(number) as sound:
            lengths[number] = round(sound.frames * tokenizer.rate / sound.rate)
    long = lengths.sum() > IN_MEMORY * tokenizer.rate
    parts = []
    for name, spans in zip(("train", "held out"), split_spans(records, lengths, fraction), strict=True):
        write = functools.partial(_write, records, spans, tokenizer)
        if long:
            ids, facts = keep(_content(records, fraction, name), tokenizer, write)
        else:
            buffer = BytesIO()
            facts = write(buffer)
            ids = np.frombuffer(buffer.getbuffer(), id_type(tokenizer))
        counts = np.array(facts["counts"], dtype=np.int64)
        own = None if classes is None else classes[spans.numbers]
        firsts = np.cumsum(counts) - counts
        parts.append(
            TokenPart(
                ids=ids,
                firsts=firsts,
                counts=counts,
                numbers=spans.numbers,
                starts=spans.starts,
                totals=lengths[spans.numbers],
                classes=own,
            )
        )
    return parts[0], parts[1]


def _content(records: SoundRecords, fraction: float, part: str) -> str:
    """Return what determines every id of a part."""
    ends = f" {','.join(map(str, records.ends))}" if records.held_out and records.ends else ""
    return f"sounds {records.sha256} {fraction} {part}{ends}"


def _write(records: SoundRecords, spans: Spans, tokenizer: AudioTokenizer, stream: IO[bytes]) -> dict[str, Any]:
    """Write the ids of all stretches; return how many each has."""
    counts = []
    for place in range(len(spans.numbers)):
        count = 0
        for ids in tokenizer.encode_blocks(_blocks(records, spans, place, tokenizer.rate)):
            stream.write(narrow(ids, tokenizer).tobytes())
            count += len(ids)
        counts.append(count)
    return {"counts": counts}


def _blocks(records: SoundRecords, spans: Spans, place: int, rate: int) -> Iterator[Samples]:
    """Yield the samples (time,) of a stretch at ``rate``."""
    start, left = int(spans.starts[place]), int(spans.counts[place])
    with records.open(int(spans.numbers[place])) as sound:
        for block in resample_blocks((to_mono(block) for block in sound.blocks()), sound.rate, rate):
            wanted = block[start : start + left]
            start, left = max(0, start - len(block)), left - len(wanted)
            if len(wanted):
                yield wanted


class SoundTokens(TokenData):
    """Sounds as ids, each predicted from those before it in the same sound.

    A window begins with the tokenizer's start id, if it has one. A row's class takes the place of what its window
    begins with: the start id, or the first id.

    Args:
        train, held_out: both parts.
        tokenizer: made the ids.
        context: ids that a network sees.
        unlabelled: share of the training windows whose class is kept back.
        title: of the data, for messages.

    Raises:
        ZooError: a part has nothing to predict.
    """

    def __init__(
        self,
        *,
        train: TokenPart,
        held_out: TokenPart,
        tokenizer: AudioTokenizer,
        context: int,
        unlabelled: float = 0.0,
        title: str = "data",
    ) -> None:
        self._train, self._held_out, self._unlabelled, self._context = train, held_out, unlabelled, context
        start, per_second = tokenizer.spec.start_id, tokenizer.spec.tokens_per_second
        assert per_second is not None
        self._per_second, self._step = per_second, tokenizer.ids_per_hop
        self._lead = np.array([] if start is None else [start], dtype=np.int64)
        for name, part in (("training", train), ("held-out", held_out)):
            if not self._predicted(part).any():
                raise ZooError(f"{title}: the {name} part has too few ids to predict any; give longer sounds")
        self.train_tokens = len(train.ids)
        # Windows begin where a hop does, so that ids of several codebooks keep their places.
        ways = np.maximum(self._predicted(train) - context, 0) // self._step + 1
        self._places = np.cumsum(np.where(self._predicted(train) > 0, ways, 0))

    def batch(self, *, step: int, size: int, seed: int) -> Batch:
        """Return ``size`` windows from anywhere in the training part, all beginnings equally likely."""
        random = generator(seed, step)
        places = random.integers(0, self._places[-1], size=size)
        spans = np.searchsorted(self._places, places, side="right")
        firsts = (places - np.concatenate([[0], self._places])[spans]) * self._step
        kept_back = random.random(size) < self._unlabelled
        return self._rows(self._train, spans, firsts, kept_back)

    def held_out(self, size: int) -> Iterator[Batch]:
        """Yield windows side by side: every id is predicted once, but for a sound's first one without a start id."""
        counts = -(-self._predicted(self._held_out) // self._context)
        spans = np.repeat(np.arange(len(counts)), counts)
        firsts = np.concatenate([np.arange(count) * self._context for count in counts])
        for first in range(0, len(spans), size):
            rows = slice(first, first + size)
            yield self._rows(self._held_out, spans[rows], firsts[rows], np.zeros(len(spans[rows]), dtype=bool))

    def check(self, network: Network) -> None:
        """Refuse a network with an encoder, or one that sees what it should predict."""
        super().check(network)
        refuse_both_sides(network)

    def metrics(self, nats: float, tokens: int) -> dict[str, Any]:
        """Return bits per second of sound: what tokenizers can be compared by, beside what they lose."""
        return {"bits_per_second": nats / math.log(2) * self._per_second / tokens}

    def _predicted(self, part: TokenPart) -> NDArray[np.int64]:
        """Return how many ids of each stretch can be predicted, (stretches,)."""
        return np.maximum(part.counts - 1 + len(self._lead), 0)

    def _rows(self, part: TokenPart, spans: NDArray[Any], firsts: NDArray[Any], kept_back: NDArray[np.bool_]) -> Batch:
        """Return windows of the stretches ``spans``, from their ids ``firsts`` on, padded where they are shorter."""
        lengths = np.minimum(self._predicted(part)[spans] - firsts, self._context)
        longest = int(lengths.max())
        ids = np.zeros((len(spans), longest), dtype=np.int64)
        targets = np.full((len(spans), longest), IGNORED, dtype=np.int64)
        for row, (span, first, length) in enumerate(zip(spans, firsts, lengths, strict=True)):
            begin = part.firsts[span] + first
            own = part.ids[begin : begin + length + 1 - len(self._lead)].astype(np.int64)
            window = np.concatenate([self._lead, own])
            ids[row, :length], targets[row, :length] = window[:-1], window[1:]
        classes = None if part.classes is None else np.where(kept_back, NO_CLASS, part.classes[spans])
        return Batch(
            ids=torch.from_numpy(ids),
            targets=torch.from_numpy(targets),
            indices=torch.from_numpy(part.numbers[spans]),
            lengths=None if (lengths == longest).all() else torch.from_numpy(lengths),
            conditioning=None if classes is None else Conditioning(classes=torch.from_numpy(classes)),
        )
