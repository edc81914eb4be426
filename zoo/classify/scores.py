"""Figures of a classifier: accuracy, F1, calibration, and who is taken for whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BINS = 15
"""Of the calibration error (Guo et al. 2017, section 2)."""
SMALLEST = 1e-12


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """How well one class is told from the others.

    Attributes:
        label: its name.
        precision: part of the samples that are called so which are so; 0 where none is.
        recall: part of the samples that are so which are called so; 0 where none is.
        f1: harmonic mean of both.
        samples: that are so.
    """

    label: str
    precision: float
    recall: float
    f1: float
    samples: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a classifier makes of a part of the data.

    Attributes:
        metrics: ``loss`` in nats, ``accuracy``, ``macro_f1``, ``calibration_error``, ...
        classes: of each label; none for multiple choice.
        confusion: samples of each label (rows) called each label (columns), int; empty where samples have several.
        samples: how many it is of.
    """

    metrics: dict[str, float]
    classes: tuple[ClassScore, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    samples: int = 0

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "samples": self.samples,
            "metrics": self.metrics,
            "classes": [vars(one) for one in self.classes],
            "confusion": [list(row) for row in self.confusion],
        }


def of_labels(probabilities: Floats, labels: NDArray[np.int64], names: Sequence[str]) -> Report:
    """Return the figures of samples with one label each.

    Args:
        probabilities: (samples, labels).
        labels: (samples,), the right one.
        names: of the labels.
    """
    said = probabilities.argmax(axis=1)
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (labels, said), 1)
    hits = confusion.diagonal()
    classes = _classes(names, hits, confusion.sum(axis=0), confusion.sum(axis=1))
    return Report(
        metrics={
            **_of_choice(probabilities, labels),
            "macro_f1": _macro(classes),
            "calibration_error": calibration_error(probabilities.max(axis=1), said == labels),
        },
        classes=classes,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        samples=len(labels),
    )


def of_several(probabilities: Floats, labels: NDArray[np.bool_], names: Sequence[str]) -> Report:
    """Return the figures of samples with any number of labels: ``accuracy`` of single yes and no, ``exact_match`` of
    all of a sample's.

    Args:
        probabilities: (samples, labels).
        labels: (samples, labels), which are right.
        names: of the labels.
    """
    said = probabilities >= 0.5
    hits = (said & labels).sum(axis=0)
    classes = _classes(names, hits, said.sum(axis=0), labels.sum(axis=0))
    right = np.where(labels, probabilities, 1 - probabilities)
    called, true = int(said.sum()), int(labels.sum())
    return Report(
        metrics={
            "loss": float(-np.log(np.maximum(right, SMALLEST)).mean()),
            "accuracy": float((said == labels).mean()),
            "exact_match": float((said == labels).all(axis=1).mean()),
            "macro_f1": _macro(classes),
            "micro_f1": float(2 * hits.sum() / (called + true)) if called + true else 0.0,
            "calibration_error": calibration_error(
                np.maximum(probabilities, 1 - probabilities).ravel(), (said == labels).ravel()
            ),
        },
        classes=classes,
        samples=len(labels),
    )


def of_choices(probabilities: Floats, labels: NDArray[np.int64]) -> Report:
    """Return the figures of samples whose choices have no names; probabilities (samples, most choices)."""
    right = probabilities.argmax(axis=1) == labels
    error = calibration_error(probabilities.max(axis=1), right)
    return Report(metrics={**_of_choice(probabilities, labels), "calibration_error": error}, samples=len(labels))


def calibration_error(sureness: Floats, right: NDArray[np.bool_]) -> float:
    """Return the expected calibration error: how far sureness and accuracy are apart, in 15 equal bins of sureness,
    weighted by their samples (Guo et al. 2017, equation 3)."""
    bins = np.minimum((sureness * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    gaps = np.bincount(bins, weights=sureness - right, minlength=BINS)
    return float(np.abs(gaps).sum() / counts.sum())


def _of_choice(probabilities: Floats, labels: NDArray[np.int64]) -> dict[str, float]:
    right = probabilities[np.arange(len(labels)), labels]
    return {
        "loss": float(-np.log(np.maximum(right, SMALLEST)).mean()),
        "accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
    }


def _classes(
    names: Sequence[str], hits: NDArray[np.int64], called: NDArray[np.int64], true: NDArray[np.int64]
) -> tuple[ClassScore, ...]:
    return tuple(
        ClassScore(
            label=name,
            precision=hit / said if said else 0.0,
            recall=hit / there if there else 0.0,
            f1=2 * hit / (said + there) if said + there else 0.0,
            samples=there,
        )
        for name, hit, said, there in zip(names, hits.tolist(), called.tolist(), true.tolist(), strict=True)
    )


def _macro(classes: Sequence[ClassScore]) -> float:
    """Return the mean F1 of the classes that there are samples of."""
    there = [one.f1 for one in classes if one.samples]
    return sum(there) / len(there) if there else 0.0
