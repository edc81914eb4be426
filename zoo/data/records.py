"""Samples as the readers give them: listed at once, read one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from zoo.errors import ZooError

Sample = TypeVar("Sample")


@dataclass(frozen=True, kw_only=True)
class TextRow:
    """One text to be classified, compared or continued.

    Attributes:
        text: the text, or the first of a pair.
        text_b: the second text of a pair, None where there is none.
        choices: possible endings of a multiple-choice question.
    """

    text: str
    text_b: str | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sound:
    """One recording.

    Attributes:
        samples: float32 (time, channels) in [-1, 1].
        rate: samples per second.
        artist, genre, lyrics: as the metadata says, empty where it does not.
    """

    samples: npt.NDArray[np.float32]
    rate: int
    artist: str = ""
    genre: str = ""
    lyrics: str = ""


Image = npt.NDArray[np.uint8]
"""uint8 (height, width, channels), 1 channel for gray levels, 3 for colours."""


@dataclass(frozen=True, kw_only=True)
class Records(Generic[Sample]):
    """The samples of one data set in a fixed order, split, and read when they are asked for.

    Attributes:
        title: name of the data set, without the machine's folders.
        names: what each sample is called (file, row or number).
        labels: label of each sample; empty where there are none.
        train, held_out: sample numbers of the two parts.
        load: reads the sample of a number.
        sha256: hash of the files.
    """

    title: str
    names: Sequence[str]
    labels: Sequence[str]
    train: Sequence[int]
    held_out: Sequence[int]
    load: Callable[[int], Sample]
    sha256: str

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        return self.load(range(len(self))[index])

    def __iter__(self) -> Iterator[Sample]:
        return map(self.load, range(len(self)))

    @property
    def label_names(self) -> tuple[str, ...]:
        """The different labels, sorted: the order of a classifier's outputs."""
        return tuple(sorted(set(self.labels)))

    def label_ids(self) -> npt.NDArray[np.int64]:
        """Return the number of every sample's label among ``label_names``, int64 (samples,).

        Raises:
            ZooError: there are no labels.
        """
        if not self.labels:
            raise ZooError(f"{self.title}: has no labels; give a column 'label' or one folder per class")
        known = {name: index for index, name in enumerate(self.label_names)}
        return np.array([known[label] for label in self.labels], dtype=np.int64)
