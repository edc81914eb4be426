"""What the original Jukebox keeps of the samples that it draws (``data.pth.tar``): codes, and what was asked for.

It is a dictionary by ``torch.save``: ``zs``, a tensor of codes (samples, time) for each level, the finest first, those
not drawn yet without time; ``labels``, for each level the rows of numbers ``y`` and the words ``info``; beside them its
settings and the sound, which nobody needs who has the codes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.weights.pickles import StoredTensor
from zoo.weights.torch_legacy import Saved, open_saved

FILE = "data.pth.tar"
CODES = "zs"
WORDS = ("artist", "genre", "lyrics")
NUMBERS = ("total", "offset")
"""The first of a row of labels, in samples."""
MOST_LEVELS = 8
LARGEST = 1 << 31


@dataclass(frozen=True, kw_only=True)
class SavedSamples:
    """Samples of one run, drawn in full or in part.

    Attributes:
        codes: level (0 is the finest) -> int64 (samples, time); levels of which nothing was drawn are left out.
        words: artist, genre and lyrics -> what was asked for, one a sample; left out where the file does not say.
        numbers: total and offset -> length of the piece, and where it begins, in samples of sound; one a sample.
    """

    codes: Mapping[int, Tensor]
    words: Mapping[str, tuple[str, ...]]
    numbers: Mapping[str, tuple[int, ...]]

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(next(iter(self.codes.values())))

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """Return the arrays of ``codes.npz``: ``level_0`` and so on, then words and numbers by their names."""
        codes = {f"level_{level}": codes.numpy() for level, codes in self.codes.items()}
        words = {name: np.array(values, dtype=np.str_) for name, values in self.words.items()}
        return codes | words | {name: np.array(values, dtype=np.int64) for name, values in self.numbers.items()}


def find(path: Path) -> Saved | None:
    """Open a file of samples: ``path`` itself, or ``data.pth.tar`` in it; None if it is something else.

    Raises:
        ZooError: the file is refused (see ``open_saved``).
    """
    file = path / FILE if path.is_dir() else path
    if not re.search(r"\.(pth\.tar|pth|pt)$", file.name) or not file.is_file():
        return None
    saved = open_saved(file)
    return saved if isinstance(saved.value, dict) and CODES in saved.value else None


def read(saved: Saved) -> SavedSamples:
    """Read the codes of a file of samples.

    Raises:
        ZooError: there are none, or they are no codes.
    """
    levels = saved.value[CODES]
    if not isinstance(levels, list) or not 1 <= len(levels) <= MOST_LEVELS:
        raise ZooError(f"{saved.path}: {CODES} is no list of codes, one tensor a level; use the original's own file")
    codes = {level: _codes(saved, entry, level) for level, entry in enumerate(levels)}
    drawn = {level: entry for level, entry in codes.items() if entry.numel()}
    counts = {len(entry) for entry in drawn.values()}
    if len(counts) != 1:
        found = "no codes yet" if not counts else f"levels of {' and '.join(map(str, sorted(counts)))} samples"
        raise ZooError(f"{saved.path} holds {found}; use the file of a level that was drawn")
    words, numbers = _labels(saved, counts.pop())
    return SavedSamples(codes=drawn, words=words, numbers=numbers)


def _codes(saved: Saved, entry: object, level: int) -> Tensor:
    """Return the codes of a level."""
    if not isinstance(entry, StoredTensor) or len(entry.shape) != 2 or entry.storage.dtype is not torch.int64:
        raise ZooError(f"{saved.path}: {CODES}[{level}] is no tensor of int64 codes (samples, time)")
    codes = saved.read(entry, f"{CODES}[{level}]")
    if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < LARGEST:
        raise ZooError(f"{saved.path}: {CODES}[{level}] holds {int(codes.min())} to {int(codes.max())}; codes are >= 0")
    return codes


def _labels(saved: Saved, count: int) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[int, ...]]]:
    """Return words and numbers of every sample, those of the coarsest level that has any."""
    stated = saved.value.get("labels")
    for labels in reversed(stated if isinstance(stated, list) else []):
        if not isinstance(labels, dict):
            continue
        words, numbers = _words(labels.get("info"), count), _numbers(saved, labels.get("y"), count)
        if words or numbers:
            return words, numbers
    return {}, {}


def _words(info: object, count: int) -> dict[str, tuple[str, ...]]:
    if not isinstance(info, list) or len(info) != count or not all(isinstance(one, dict) for one in info):
        return {}
    found = {name: tuple(one.get(name, "") for one in info) for name in WORDS}
    texts = {name: values for name, values in found.items() if all(isinstance(value, str) for value in values)}
    return {name: tuple(value.encode(errors="replace").decode() for value in values) for name, values in texts.items()}


def _numbers(saved: Saved, rows: object, count: int) -> dict[str, tuple[int, ...]]:
    whole = isinstance(rows, StoredTensor) and len(rows.shape) == 2 and rows.storage.dtype is torch.int64
    if not isinstance(rows, StoredTensor) or not whole or rows.shape[0] != count or rows.shape[1] < len(NUMBERS):
        return {}
    columns = saved.read(rows, "labels").T.tolist()
    return {name: tuple(column) for name, column in zip(NUMBERS, columns, strict=False)}
