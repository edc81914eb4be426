"""Samples by themselves, without labels or parts: files, folders, and the rows of tables and arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from zoo.data.documents import from_file
from zoo.data.files import DataFile, Found, Kind, find
from zoo.data.labelled import OWN, refuse_mixed
from zoo.data.read import KINDS, choose
from zoo.data.read_image import read_image, read_images
from zoo.data.read_sound import read_sound
from zoo.data.read_table import read_table
from zoo.data.records import TextRow
from zoo.errors import ZooError
from zoo.tokenizers.base import Modality

TOGETHER: tuple[Kind, ...] = ("idx", "cifar", "archive")
"""Kinds of files of which no single one holds samples: MNIST's four, CIFAR-10's parts."""


@dataclass(frozen=True, kw_only=True)
class Named:
    """One sample that is still to be read.

    Attributes:
        name: as people know it: the file under the path that they gave, or the file and the row.
        read: reads it; ZooError if it cannot be read.
        path: of a sound, which can be read in constant memory instead; None for all else.
    """

    name: str
    read: Callable[[], Any]
    path: Path | None = None


def samples_of(
    words: Sequence[str], modality: Modality, *, columns: Mapping[str, str] | None = None
) -> Iterator[Named]:
    """Yield the samples of one modality that files, folders and globs hold, in order.

    A text file is one sample, a row of a table one, a picture of an array one, a sound file one.

    Args:
        words: paths.
        modality: of the samples.
        columns: our names of a table's columns to its own.

    Raises:
        ZooError: nothing there, or files of another kind: one line that names it.
    """
    for word in words:
        found = find(word)
        files = _files(found, modality)
        if files[0].kind in TOGETHER:
            yield from _pictures(found)
        else:
            for file in files:
                yield from _samples(file, modality, columns or {})


def _files(found: Found, modality: Modality) -> Sequence[DataFile]:
    refuse_mixed(found, modality)
    kinds: tuple[Kind, ...] = OWN[modality]
    if found.form == "folder" or modality != "text":
        return choose(found, *kinds)
    for file in found.files:
        if file.kind not in (None, *kinds):
            raise ZooError(f"{file.path}: expected texts, but '{file.suffix}' files are {KINDS[file.kind or 'other']}")
    return found.files


def _pictures(found: Found) -> Iterator[Named]:
    """Yield pictures that several files hold together."""
    records = read_images(found.path, alone=True)
    for index in range(len(records)):
        yield Named(name=f"{found.path}:{records.names[index]}", read=partial(records.load, index))


def _samples(file: DataFile, modality: Modality, columns: Mapping[str, str]) -> Iterator[Named]:
    name = str(file.path)
    if file.kind == "table":
        table = read_table(file, columns)
        for row in range(len(table)):
            yield Named(name=f"{name}:{table.lines[row]}", read=partial(table.row, row))
    elif modality == "text":
        yield Named(name=name, read=lambda: TextRow(text=from_file(file).text()))
    elif modality == "music":
        yield Named(name=name, read=lambda: read_sound(file.path), path=file.path)
    elif file.kind == "image":
        yield Named(name=name, read=lambda: read_image(file.path))
    else:
        records = read_images(name, alone=True)
        for index in range(len(records)):
            yield Named(name=f"{name}:{records.names[index]}", read=partial(records.load, index))
