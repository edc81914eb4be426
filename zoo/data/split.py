"""Which part of the data is held out: the public contract's rules, in one place.

The last 10 % of the bytes of one text; of a folder, sorted paths with index % 11 == 6; a data set's own test part.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from fractions import Fraction
from pathlib import PurePosixPath
from typing import TypeVar

from zoo.errors import ZooError

T = TypeVar("T")
PERIOD, PHASE = 11, 6
TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("test", "t10k", "valid", "validation", "val", "dev", "held_out")
"""Names of a data set's own test part, the first that is there counts; what is in neither part is left out."""


def train_bytes(total: int, fraction: float) -> int:
    """Return how many of the first bytes of one text are for training, rounded down: 1,003,854 of 1,115,394."""
    return int(total * (1 - Fraction(str(fraction))))


def own_parts(names: Sequence[str]) -> tuple[list[int], list[int]] | None:
    """Return the indices of a data set's own training and test files (``train/…``, ``test.csv``), or None."""
    parts = [part_of(name) for name in names]
    test = next((part for part in TEST_NAMES if part in parts), None)
    train = [index for index, part in enumerate(parts) if part in TRAIN_NAMES]
    return (train, [index for index, part in enumerate(parts) if part == test]) if test and train else None


def split_names(names: Sequence[str]) -> tuple[Sequence[int], Sequence[int]]:
    """Return the indices of training and held-out files, given their sorted names.

    A folder that has both a train and a test part keeps its own split. The held-out part is empty for fewer than seven
    files without such parts.
    """
    return own_parts(names) or split_count(len(names))


def split_count(count: int) -> tuple[Sequence[int], Sequence[int]]:
    """Return the indices of training and held-out samples of one ordered collection."""
    return (
        array("q", (index for index in range(count) if index % PERIOD != PHASE)),
        range(PHASE, count, PERIOD),
    )


def require_both(train: Sequence[T], held_out: Sequence[T], where: str) -> None:
    """Refuse a data set of samples that is too small to be split.

    Raises:
        ZooError: one of the parts is empty.
    """
    if not train or not held_out:
        count = len(train) + len(held_out)
        raise ZooError(
            f"{where}: {count} samples are too few to hold some out; give at least {PHASE + 1}, or train and test parts"
        )


def part_of(name: str) -> str:
    """Return the first component of a relative path, lower case, without extension: ``Train/a.txt`` gives ``train``."""
    return PurePosixPath(name).parts[0].lower().split(".")[0]
