"""Samples as rows of ids with their labels; one that cannot be read is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.architecture import AnyNetwork
from zoo.classify.answers import Answers, Window
from zoo.classify.reading import MOST_WINDOWS, Row, narrow
from zoo.data.read_questions import Question
from zoo.data.records import Records
from zoo.errors import ZooError
from zoo.finetune.examples import Part
from zoo.finetune.labelled import Labelled
from zoo.finetune.material import Asked
from zoo.model import Model

UNEVEN = 5
"""Times that one class may have the samples of another before it is said."""


def encoded(records: Records[Any], numbers: Sequence[int], labels: Tensor, read: Callable[[Any], list[Row]]) -> Part:
    """Return samples as rows.

    Raises:
        ZooError: a sample that cannot be read, named.
    """
    rows = []
    for number in numbers:
        try:
            rows.append([narrow(row) for row in read(records[number])])
        except ZooError as error:
            name = records.names[number]
            raise ZooError(str(error) if name in str(error) else f"{records.title}, {name}: {error}") from None
    return Part(rows=rows, labels=labels[list(numbers)], numbers=numbers)


def in_windows(
    records: Records[Question], numbers: Sequence[int], answers: Answers, kept: dict[int, Sequence[Window]]
) -> Part:
    """Return questions as rows of windows, and keep the windows for the figures."""
    rows: list[list[Row]] = []
    labels: list[tuple[int, int]] = []
    owners: list[int] = []
    for number in numbers:
        question = records[number]
        try:
            windows = answers.windows(question.question, question.passage)
        except ZooError as error:
            raise ZooError(f"{records.title}, {records.names[number]}: {error}") from None
        kept[number] = windows
        text, start = question.answers[0]
        for window in windows:
            rows.append([narrow(window.row)])
            labels.append(window.find(start, start + len(text)))
            owners.append(number)
    return Part(rows=rows, labels=torch.tensor(labels).reshape(-1, 2), numbers=owners)


def used(data: Labelled, parts: Sequence[Part]) -> dict[str, int]:
    """Return how many samples of a data set were used, where not all are."""
    if data.per_class is None and data.test_samples is None:
        return {}
    return {"train_samples": len(parts[0]) + len(parts[1]), "test_samples": len(parts[2])}


def notes(parts: Sequence[Part], asked: Asked, model: Model, network: AnyNetwork, *, balanced: bool) -> list[str]:
    """Return what people should know of the samples: cut ones, and labels that are rare.

    Args:
        parts: of the data, as rows.
        asked: of the run.
        model: that was asked for.
        network: with its head.
        balanced: rare labels count for more.
    """
    found = []
    most = asked.context or network.context
    if model.modality == "music":
        cut = [any(row.cut for row in rows) for part in parts for rows in part.rows]
        rest = f"{MOST_WINDOWS} windows of {most} tokens: as many, evenly spread, are read of each"
    else:
        cut = [row.cut > 0 for part in parts for rows in part.rows for row in rows]
        rest = f"{most} tokens: the end of those is left out"
    if any(cut):
        found.append(f"{sum(cut):,} of {len(cut):,} are longer than {rest}")
    if parts[0].labels.ndim == 1 and network.labels and not balanced:
        counts = Counter(parts[0].labels.tolist())
        (often, many), *_, (rarely, few) = counts.most_common()
        if many > UNEVEN * few:
            names = network.labels
            found.append(
                f"'{names[often]}' has {many:,} samples and '{names[rarely]}' {few:,}: balance=true weighs them"
            )
    return found
