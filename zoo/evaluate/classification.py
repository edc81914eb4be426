"""How well a checkpoint with a head names held-out samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from zoo.classify.kinds import OneLabel
from zoo.data.labelled import check_labels, read_labelled
from zoo.data.records import Records
from zoo.errors import ZooError, suggest
from zoo.evaluate.outcome import Exhibit, Histogram, Matrix, Outcome, Table, Told
from zoo.evaluate.part import Data
from zoo.model import Model

SHOWN = 20
"""Mistakes that are shown, those of which the model was surest."""


@dataclass(frozen=True, kw_only=True)
class Classification:
    """Accuracy, macro F1 and calibration of a head that tells one label of each sample, beside what it takes for what.

    Attributes:
        batch: samples that are read at once.
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
        if not isinstance(classifier.kind, OneLabel) or not model.network.labels:
            raise ZooError("task=classification is for heads that tell one label of each sample; this one's is another")
        records: Records[Any] = read_labelled(
            data.path, model.modality, columns=data.columns, field=data.label, encoding=data.encoding, check=_any
        )
        chosen = data.chosen(records).held_out
        names = model.network.labels
        known = {name: number for number, name in enumerate(names)}
        for index in chosen:
            if records.labels[index] not in known:
                raise ZooError(
                    f"{records.title}, {records.names[index]}: the model does not know the label "
                    f"'{records.labels[index]}'{suggest(records.labels[index], names, nearest=3)}"
                )
        probabilities = np.empty((len(chosen), len(names)))
        samples = ((records.names[index], records[index]) for index in chosen)
        for row, said in enumerate(classifier.predict(samples, batch=self.batch)):
            probabilities[row] = [said.probabilities[name] for name in names]
            if told:
                told(row + 1, len(chosen))
        right = np.array([known[records.labels[index]] for index in chosen])
        report = classifier.kind.report(torch.from_numpy(probabilities), torch.from_numpy(right), names)
        counts = np.array(report.confusion, dtype=np.int64)
        classes = [[one.label, f"{one.precision:.3f}", f"{one.recall:.3f}", f"{one.f1:.3f}", f"{one.samples:,}"]
                   for one in report.classes]  # fmt: skip
        exhibits: list[Exhibit] = [
            Matrix(title="What is taken for what", labels=names, counts=counts),
            Table(title="Each class", head=["class", "precision", "recall", "F1", "samples"], rows=classes),
            *_mistakes(probabilities, right, names, [records.names[index] for index in chosen]),
        ]
        rows = [
            {
                "input": records.names[index],
                "label": records.labels[index],
                "said": names[int(best)],
                "probability": float(top),
            }
            for index, best, top in zip(chosen, probabilities.argmax(1), probabilities.max(1), strict=True)
        ]
        return Outcome(
            data=records.title,
            sha256=records.sha256,
            samples=len(chosen),
            tokens=len(chosen),
            metrics=report.metrics,
            notes=["tokens are samples here: one answer each"],
            exhibits=exhibits,
            rows=rows,
        )


def _any(records: Records[Any]) -> None:
    """Refuse samples without labels; that all have the same one is no fault where nothing is learnt."""
    if not records.labels or any(not label.strip() for label in records.labels):
        check_labels(records)


def _mistakes(probabilities: Any, right: Any, names: Any, inputs: list[str]) -> list[Exhibit]:
    said, sureness = probabilities.argmax(1), probabilities.max(1)
    wrong = np.flatnonzero(said != right)
    shown = wrong[np.argsort(-sureness[wrong])][:SHOWN]
    rows = [[inputs[place], names[right[place]], names[said[place]], f"{sureness[place]:.3f}"] for place in shown]
    groups = {"right": sureness[said == right], "wrong": sureness[wrong]}
    table = Table(title="The surest mistakes", head=["sample", "is", "called", "probability"], rows=rows)
    sure = Histogram(
        title="How sure the model was",
        across="probability",
        groups={name: values for name, values in groups.items() if len(values)},
    )
    return [*([table] if rows else []), sure]
