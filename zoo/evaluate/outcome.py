"""What an evaluation finds: figures, what people should know about them, and things to look at and listen to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from zoo.tokenizers.audio.waveform import Audio

Told = Callable[[int, int], None]
"""Is told how much is done, of how much."""
RANGES = 24
"""Of a histogram."""


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Texts to read.

    Attributes:
        title: above them.
        entries: (what is given, all of it): the first is shown in bold where the second begins with it.
    """

    title: str
    entries: Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Surprise:
    """A text whose pieces are shaded by how little they were expected.

    Attributes:
        title: above it.
        pieces: (text, nats).
    """

    title: str
    pieces: Sequence[tuple[str, float]]


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures side by side, each with a few words below."""

    title: str
    entries: Sequence[tuple[str, Pillow.Image]]


@dataclass(frozen=True, kw_only=True)
class Sounds:
    """Sounds to be played, each with its name."""

    title: str
    entries: Sequence[tuple[str, Audio]]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of words and numbers under a head."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """How often values fall into ranges of equal width, a few groups in front of each other."""

    title: str
    across: str
    groups: Mapping[str, NDArray[Any]]

    def shares(self) -> dict[str, list[tuple[float, float]]]:
        """Return (the middle of a range, the share of values in it) of each group, ascending."""
        edges = np.histogram_bin_edges(np.concatenate(list(self.groups.values())), RANGES)
        centers = (edges[:-1] + edges[1:]) / 2
        return {
            name: list(zip(centers.tolist(), (np.histogram(values, edges)[0] / len(values)).tolist(), strict=True))
            for name, values in self.groups.items()
        }


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """How often each class (row) was taken for each (column).

    Attributes:
        title: above it.
        labels: names of the classes.
        counts: (labels, labels).
    """

    title: str
    labels: Sequence[str]
    counts: NDArray[np.int64]


Exhibit: TypeAlias = Texts | Surprise | Pictures | Sounds | Table | Histogram | Matrix


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of an evaluation.

    Attributes:
        data: name of the data set.
        sha256: of its files.
        samples: texts, pictures, sounds or questions.
        tokens: ids that were predicted, or read where nothing is predicted.
        metrics: the contract's units.
        notes: what people should know before they compare the metrics with anything, a sentence each.
        exhibits: to look at.
        rows: one for each sample where the task has an answer to each.
    """

    data: str
    sha256: str
    samples: int
    tokens: int
    metrics: Mapping[str, Any]
    notes: Sequence[str] = ()
    exhibits: Sequence[Exhibit] = ()
    rows: Sequence[Mapping[str, Any]] = ()
