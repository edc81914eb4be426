"""What a network with a head says of samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from zoo.architecture import AnyNetwork
from zoo.classify.answers import Answers
from zoo.classify.kinds import SeveralLabels, kind_of
from zoo.classify.prediction import JOIN, Prediction
from zoo.classify.reading import Reader, Row, collate
from zoo.classify.songs import SongReader
from zoo.data.records import TextRow
from zoo.errors import ZooError
from zoo.generate.sampler import device_of, evaluation_mode
from zoo.music.prior import Prior
from zoo.tokenizers.base import Tokenizer
from zoo.transformer.heads import Span


def reader_of(
    network: AnyNetwork,
    tokenizer: Tokenizer[Any],
    *,
    both_orders: bool = False,
    start: bool = True,
    context: int | None = None,
) -> Reader | SongReader:
    """Return what makes a network's rows; arguments are those of ``Reader``, of which a prior takes ``context``.

    Raises:
        ZooError: no tokenizer, a prior that reads no sounds, or a context that is too small for a window of it.
    """
    if isinstance(network, Prior):
        return SongReader(network, tokenizer, context=context)
    return Reader(network, tokenizer, both_orders=both_orders, start=start, context=context)


class Classifier:
    """Reads samples and says what they are.

    Args:
        network: with a head.
        tokenizer: makes the ids.
        both_orders, start, context: see ``Reader``.

    Raises:
        ZooError: a network without a head, or no tokenizer.
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
        self.network = network
        self.reader = reader_of(network, tokenizer, both_orders=both_orders, start=start, context=context)
        self.head = network.config.head
        self.kind = None if isinstance(self.head, Span) else kind_of(self.head, together=self.reader.together)

    def predict(self, samples: Iterable[tuple[str, Any]], *, batch: int = 16) -> Iterator[Prediction]:
        """Yield what each sample is, in order.

        Args:
            samples: (name for messages, sample): see ``Reader.rows``.
            batch: rows that are read at once: a sample has one, or a few (see ``Reader.rows``).

        Raises:
            ZooError: a sample that cannot be read, named.
        """
        waiting: list[tuple[Any, list[Row]]] = []
        for name, sample in samples:
            try:
                if self.kind is None:
                    assert isinstance(self.reader, Reader)
                    yield Answers(self.network, self.reader).answer(sample)
                    continue
                waiting.append((sample, self.reader.rows(sample)))
            except ZooError as error:
                raise ZooError(str(error) if name in str(error) else f"{name}: {error}") from None
            if sum(len(rows) for _, rows in waiting) >= batch:
                yield from self._said(waiting)
                waiting = []
        if waiting:
            yield from self._said(waiting)

    def _said(self, read: Sequence[tuple[Any, list[Row]]]) -> Iterator[Prediction]:
        assert self.kind is not None
        rows = collate([rows for _, rows in read])
        assert rows.groups is not None
        there = rows.to(device_of(self.network))
        with evaluation_mode(self.network), torch.inference_mode():
            logits, _ = self.network.judge(there.ids, lengths=there.lengths, conditioning=there.conditioning)
            probabilities = self.kind.probabilities(self.kind.gathered(logits.float().cpu(), rows.groups))
        for (sample, _), values in zip(read, probabilities.tolist(), strict=True):
            names = self.network.labels or (sample.choices if isinstance(sample, TextRow) else ())
            yield self._prediction(names, values)

    def _prediction(self, names: Sequence[str], values: Sequence[float]) -> Prediction:
        known: dict[str, float] = {}
        for name, value in zip(names, values, strict=False):
            known[name] = max(value, known.get(name, 0.0))  # choices may be equal
        values = tuple(values[: len(names)])
        if isinstance(self.kind, SeveralLabels):
            label = JOIN.join(name for name, value in known.items() if value >= 0.5)
            sure = min(max(value, 1 - value) for value in values)
            return Prediction(label=label, probability=sure, probabilities=known, values=values)
        best = max(known, key=lambda name: known[name])
        return Prediction(label=best, probability=known[best], probabilities=known, values=values)
