"""How well a checkpoint with a head names held-out samples, or finds the answers to questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.classify.answers import exact_match, f1
from zoo.classify.kinds import Choices, SeveralLabels
from zoo.classify.labels import right_choice, split_labels
from zoo.classify.predict import Classifier
from zoo.classify.prediction import Prediction
from zoo.classify.scores import Report
from zoo.data.labelled import check_labels, read_labelled
from zoo.data.read_questions import read_questions
from zoo.data.records import Records
from zoo.errors import ZooError, suggest
from zoo.evaluate.outcome import Exhibit, Histogram, Matrix, Outcome, Table, Told
from zoo.evaluate.part import Data
from zoo.model import Model

SHOWN = 20
"""Mistakes that are shown, those of which the model was surest."""


@dataclass(frozen=True, kw_only=True)
class Classification:
    """Accuracy, macro F1 and calibration of a head that names one label of each sample, any number of labels, or one of
    several choices; what is taken for what.

    Attributes:
        batch: rows that are read at once.
    """

    batch: int = 16

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ZooError(f"batch must be at least 1, got {self.batch}")

    def run(self, model: Model, data: Data, told: Told | None = None) -> Outcome:
        """Evaluate; ``told`` hears how many samples are done.

        Raises:
            ZooError: a model without such a head, samples without labels, or labels that the model does not know.
        """
        classifier = model.classifier()
        if classifier.kind is None:
            raise ZooError("task=classification is for heads that name labels; this one finds answers: task=answers")
        records: Records[Any] = read_labelled(
            data.path, model.modality, columns=data.columns, field=data.label, encoding=data.encoding,
            check=_some if isinstance(classifier.kind, SeveralLabels) else _any, alone=data.part == "all",
        )  # fmt: skip
        chosen = data.chosen(records).held_out
        right = _right(classifier, records, chosen)
        said = _said(classifier, records, chosen, self.batch, told)
        probabilities = np.zeros((len(said), max(len(one.values) for one in said)))
        for row, one in enumerate(said):
            probabilities[row, : len(one.values)] = one.values
        report = classifier.kind.report(torch.from_numpy(probabilities), right, classifier.network.labels)
        wrong = [not _same(one.label, records.labels[index]) for index, one in zip(chosen, said, strict=True)]
        if isinstance(classifier.kind, Choices):
            wrong = (probabilities.argmax(1) != right.numpy()).tolist()
        return _outcome(records, chosen, said, wrong, report, _figures(report, classifier.network.labels))


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Exact match and F1 (Rajpurkar et al. 2016, section 6.1) of a head that finds answers; SQuAD's .json files."""

    def run(self, model: Model, data: Data, told: Told | None = None) -> Outcome:
        """Ask all questions; ``told`` hears how many are done.

        Raises:
            ZooError: a model without such a head, or no questions.
        """
        classifier = model.classifier()
        if classifier.kind is not None:
            raise ZooError("task=answers is for heads that find answers in passages; this one names labels")
        records = read_questions(data.path, alone=data.part == "all")
        chosen = data.chosen(records).held_out
        asked = [(records[index].question, records[index].passage) for index in chosen]
        said = []
        for name, pair in zip((records.names[index] for index in chosen), asked, strict=True):
            said += list(classifier.predict([(name, pair)]))
            if told:
                told(len(said), len(chosen))
        right = [[text for text, _ in records[index].answers] for index in chosen]
        exact = [exact_match(one.label, texts) for one, texts in zip(said, right, strict=True)]
        overlap = [f1(one.label, texts) for one, texts in zip(said, right, strict=True)]
        report = Report(metrics={"exact_match": float(np.mean(exact)), "f1": float(np.mean(overlap))})
        return _outcome(records, chosen, said, [not one for one in exact], report, [], right=[one[0] for one in right])


def _right(classifier: Classifier, records: Records[Any], chosen: Sequence[int]) -> Tensor:
    """Return what is right of each sample, as the kind of the head has it.

    Raises:
        ZooError: a label that the model does not know.
    """
    if isinstance(classifier.kind, Choices):
        return torch.tensor([right_choice(records, index) for index in chosen])
    names = classifier.network.labels
    known = {name: number for number, name in enumerate(names)}
    several = isinstance(classifier.kind, SeveralLabels)
    places = []
    for index in chosen:
        own = split_labels(records.labels[index]) if several else [records.labels[index]]
        for name in own:
            if name not in known:
                raise ZooError(
                    f"{records.title}, {records.names[index]}: the model does not know the label "
                    f"'{name}'{suggest(name, names, nearest=3)}"
                )
        places.append([known[name] for name in own])
    if not several:
        return torch.tensor([place for (place,) in places])
    right = torch.zeros(len(chosen), len(names))
    for row, own_places in enumerate(places):
        right[row, own_places] = 1
    return right


def _said(
    classifier: Classifier, records: Records[Any], chosen: Sequence[int], batch: int, told: Told | None
) -> list[Prediction]:
    samples = ((records.names[index], records[index]) for index in chosen)
    said = []
    for one in classifier.predict(samples, batch=batch):
        said.append(one)
        if told:
            told(len(said), len(chosen))
    return said


def _same(said: str, right: str) -> bool:
    return said == right or set(split_labels(said)) == set(split_labels(right))


def _outcome(
    records: Records[Any],
    chosen: Sequence[int],
    said: Sequence[Prediction],
    wrong: Sequence[bool],
    report: Report,
    exhibits: list[Exhibit],
    *,
    right: Sequence[str] = (),
) -> Outcome:
    labels = right or [records.labels[index] for index in chosen]
    inputs = [records.names[index] for index in chosen]
    rows = [
        {"input": name, "label": label, "said": one.label, "probability": one.probability}
        for name, label, one in zip(inputs, labels, said, strict=True)
    ]
    return Outcome(
        data=records.title,
        sha256=records.sha256,
        samples=len(chosen),
        tokens=len(chosen),
        metrics=report.metrics,
        notes=["tokens are samples here: one answer each"],
        exhibits=[*exhibits, *_mistakes(rows, wrong)],
        rows=rows,
    )


def _any(records: Records[Any]) -> None:
    """Refuse samples without labels; that all have the same one is no fault where nothing is learnt."""
    if not records.labels or any(not label.strip() for label in records.labels):
        check_labels(records)


def _some(records: Records[Any]) -> None:
    """Refuse samples none of which has a label; that some have none is an answer, too, where there may be several."""
    if not any(label.strip() for label in records.labels or ()):
        check_labels(records)


def _figures(report: Report, names: Sequence[str]) -> list[Exhibit]:
    """Return what is taken for what, and a row for each class."""
    found: list[Exhibit] = []
    if report.confusion:
        counts = np.array(report.confusion, dtype=np.int64)
        found.append(Matrix(title="What is taken for what", labels=names, counts=counts))
    if report.classes:
        head = ["class", "precision", "recall", "F1", "samples"]
        rows = [[one.label, f"{one.precision:.3f}", f"{one.recall:.3f}", f"{one.f1:.3f}", f"{one.samples:,}"]
                for one in report.classes]  # fmt: skip
        found.append(Table(title="Each class", head=head, rows=rows))
    return found


def _mistakes(rows: Sequence[dict[str, Any]], wrong: Sequence[bool]) -> list[Exhibit]:
    """Return the mistakes of which the model was surest, and how sure it was of all."""
    mistakes = sorted((row for row, bad in zip(rows, wrong, strict=True) if bad), key=lambda row: -row["probability"])
    shown = [[row["input"], row["label"], row["said"], f"{row['probability']:.3f}"] for row in mistakes[:SHOWN]]
    groups = {"right": False, "wrong": True}
    sure = {
        name: np.array([row["probability"] for row, bad in zip(rows, wrong, strict=True) if bad == which])
        for name, which in groups.items()
    }
    table = Table(title="The surest mistakes", head=["sample", "is", "called", "probability"], rows=shown)
    found = Histogram(
        title="How sure the model was",
        across="probability",
        groups={name: values for name, values in sure.items() if len(values)},
    )
    return [*([table] if shown else []), found]
