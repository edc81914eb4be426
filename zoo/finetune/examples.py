"""Labelled samples as rows of ids: to learn from, to stop by, and to be measured on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.classify.answers import Window, best_spans, exact_match, f1
from zoo.classify.kinds import AnyKind
from zoo.classify.reading import Row, by_rows, collate
from zoo.classify.scores import Report
from zoo.data.base import Batch, TokenData
from zoo.data.read_questions import Question
from zoo.data.seeded import Shuffled, generator
from zoo.network import Network

POOL = 16
"""Steps whose samples are drawn together and dealt out by length: padding is work for nothing."""
Said = Sequence[tuple[Tensor, Batch]]
"""Logits of each batch beside the batch: see ``zoo.train.supervised.said``."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Samples as they are read.

    Attributes:
        rows: of each sample.
        labels: int64 (samples,), float32 (samples, labels) of any number, or int64 (samples, 2) of spans.
        numbers: which sample of the data each is.
    """

    rows: Sequence[Sequence[Row]]
    labels: Tensor
    numbers: Sequence[int]

    def __len__(self) -> int:
        return len(self.rows)

    def seen(self, place: int, random: np.random.Generator) -> Sequence[Row]:
        """Return the rows of a sample as it is learned from, which a kind of data may vary each time."""
        return self.rows[place]

    def length(self, place: int) -> int:
        """Return how many ids a sample has when it is learned from."""
        return sum(len(row.ids) for row in self.rows[place])

    def batch(self, places: Iterable[int], random: np.random.Generator | None = None) -> Batch:
        """Return some of the samples: as they are, or with ``random`` as they are learned from."""
        chosen = list(places)
        return collate(
            [self.rows[place] if random is None else self.seen(place, random) for place in chosen],
            labels=self.labels[chosen],
            numbers=[self.numbers[place] for place in chosen],
        )

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield all samples in order, with ``size`` rows at a time, or those of one sample where it has more."""
        yield from (self.batch(places) for places in by_rows(self.rows, size))


@dataclass(frozen=True, kw_only=True)
class OneWindow(Part):
    """Sounds of which one window is learned from each time, another one the next."""

    def seen(self, place: int, random: np.random.Generator) -> Sequence[Row]:
        """Return one of the rows of a sound, by chance."""
        rows = self.rows[place]
        return [rows[int(random.integers(len(rows)))]]

    def length(self, place: int) -> int:
        """Return the ids of a window, all of which are equally long."""
        return len(self.rows[place][0].ids)


class ExampleData(TokenData):
    """Samples in three parts.

    Args:
        train: to learn from.
        validation: to choose the best weights by; where it is empty, ``test`` is looked at in its place.
        test: to be measured on, at the end.

    Attributes:
        latest: what was measured last; None before.
    """

    latest: Report | None = None

    def __init__(self, *, train: Part, validation: Part, test: Part) -> None:
        self.train, self.validation, self.test = train, validation, test
        self.train_tokens = len(train)  # what is counted is samples
        self._lengths = np.array([train.length(place) for place in range(len(train))], dtype=np.int64)
        self._order = Shuffled(len(train))

    def batch(self, *, step: int, size: int, seed: int) -> Batch:
        """Return ``size`` training samples of like lengths: all of them once in every round."""
        pool, place = divmod(step, POOL)
        drawn = self._order.take(pool, POOL * size, seed)
        ordered = drawn[self._lengths[drawn].argsort(kind="stable")]
        first = int(generator(seed, pool).permutation(POOL)[place]) * size
        return self.train.batch(ordered[first : first + size].tolist(), generator(seed, step))

    def held_out(self, size: int) -> Iterator[Batch]:
        """Yield the validation part, or the test part where there is none."""
        return (self.validation if len(self.validation) else self.test).batches(size)

    def metrics(self, nats: float, tokens: int) -> dict[str, Any]:
        """Return nothing: figures are of labels, see ``measure``."""
        return {}

    def check(self, network: Network) -> None:
        """Whether a network can learn this has been seen to by its head."""

    def measure(self, said: Said) -> Report:
        """Return the figures of what a head says of some of the batches."""
        self.latest = self._measure(said)
        return self.latest

    @abstractmethod
    def _measure(self, said: Said) -> Report:
        """Return the figures of what a head says of some of the batches."""


class LabelledData(ExampleData):
    """Samples with labels.

    Args:
        train, validation, test: the parts.
        kind: what the logits mean.
        names: of the labels.
    """

    def __init__(self, *, train: Part, validation: Part, test: Part, kind: AnyKind, names: Sequence[str]) -> None:
        super().__init__(train=train, validation=validation, test=test)
        self.kind, self.names = kind, tuple(names)

    def _measure(self, said: Said) -> Report:
        """Return accuracy, F1, calibration and who is taken for whom."""
        parts, labels = [], []
        for logits, batch in said:
            assert batch.groups is not None
            assert batch.labels is not None
            parts.append(self.kind.probabilities(self.kind.gathered(logits, batch.groups)))
            labels.append(batch.labels)
        widest = max(part.shape[1] for part in parts)
        padded = [torch.nn.functional.pad(part, (0, widest - part.shape[1])) for part in parts]
        return self.kind.report(torch.cat(padded), torch.cat(labels), self.names)


class QuestionData(ExampleData):
    """Questions in windows: a row for each, with the span of the first right answer in it, or position 0 twice.

    Args:
        train, validation, test: the parts, windows in order, ``numbers`` naming the question of each.
        windows: of the validation and test parts, by question.
        questions: by number.
    """

    def __init__(
        self,
        *,
        train: Part,
        validation: Part,
        test: Part,
        windows: dict[int, Sequence[Window]],
        questions: Sequence[Question],
    ) -> None:
        super().__init__(train=train, validation=validation, test=test)
        self._windows, self._questions = windows, questions

    def _measure(self, said: Said) -> Report:
        """Return exact match and F1 of the best spans, and the loss of begins and ends."""
        logits: dict[int, list[Tensor]] = {}
        nats, rows = 0.0, 0
        for values, batch in said:
            assert batch.labels is not None
            for row, (number, place) in enumerate(zip(batch.indices.tolist(), batch.labels, strict=True)):
                length = len(self._windows[number][len(logits.get(number, []))].row.ids)
                logits.setdefault(number, []).append(values[row, :length])
                logs = values[row, :length].log_softmax(dim=0)
                nats -= float(logs[place[0], 0] + logs[place[1], 1]) / 2
                rows += 1
        exact: list[float] = []
        overlap: list[float] = []
        for number, found in logits.items():
            question = self._questions[number]
            (start, end), _ = best_spans(self._windows[number], found)[0]
            answer, right = question.passage[start:end], [text for text, _ in question.answers]
            exact.append(exact_match(answer, right))
            overlap.append(f1(answer, right))
        figures = {
            "loss": nats / rows,
            "exact_match": float(np.mean(exact)),
            "f1": float(np.mean(overlap)),
        }
        return Report(metrics=figures, samples=len(exact))


def split(numbers: Sequence[int], groups: Sequence[Any], part: float, seed: int) -> tuple[list[int], list[int]]:
    """Return the sample numbers to learn from and those to stop by: ``part`` of each group, one at most of two.

    Args:
        numbers: of the samples.
        groups: of each sample (its label), so that both parts have all groups.
        part: that is kept back, 0 for none.
        seed: of which.
    """
    learn: list[int] = []
    check: list[int] = []
    for place, group in enumerate(sorted(set(groups), key=str)):
        mine: NDArray[np.int64] = np.array([n for n, own in zip(numbers, groups, strict=True) if own == group])
        order = generator(seed, place).permutation(mine)
        count = min(round(part * len(mine)), len(mine) - 1)
        check += order[:count].tolist()
        learn += order[count:].tolist()
    return sorted(learn), sorted(check)


def split_whole(numbers: Sequence[int], groups: Sequence[Any], part: float, seed: int) -> tuple[list[int], list[int]]:
    """Return the sample numbers to learn from and those to stop by, each group (passage) in one of them."""
    names = sorted(set(groups))
    count = min(round(part * len(names)), len(names) - 1)
    kept = {names[place] for place in generator(seed, 0).permutation(len(names))[:count].tolist()}
    pairs = list(zip(numbers, groups, strict=True))
    return [number for number, own in pairs if own not in kept], [number for number, own in pairs if own in kept]
