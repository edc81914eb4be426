"""Which data is evaluated on, and which part of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np

from zoo.data.documents import check_encoding
from zoo.data.labelled import Field
from zoo.data.read import Documents, read_documents
from zoo.data.read_image import read_images
from zoo.data.read_sound import SoundRecords, read_sounds
from zoo.data.read_table import check_columns
from zoo.data.records import Image, Records
from zoo.data.seeded import generator
from zoo.errors import ZooError

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Data:
    """Any data of the contract.

    Attributes:
        path: file, folder or glob.
        part: ``held_out`` (the last tenth of one text, every eleventh file or row, a data set's own test part), or
            ``all`` of it.
        limit: most samples that are looked at, drawn by ``seed``; of running text, most tokens from its beginning.
        columns: our names of a table's columns to its own.
        label: what a sound's label is, where there is a metadata.csv.
        encoding: of texts and tables.
        seed: of the samples that are drawn.
    """

    path: str
    part: Literal["held_out", "all"] = "held_out"
    limit: int | None = None
    columns: dict[str, str] = field(default_factory=dict)
    label: Field = "label"
    encoding: str = "utf-8"
    seed: int = 0

    def __post_init__(self) -> None:
        check_columns(self.columns)
        check_encoding(self.encoding)
        if self.limit is not None and self.limit < 1:
            raise ZooError(f"limit must be at least 1, got {self.limit}")

    def documents(self) -> Documents:
        """Read running text; what is evaluated on is its held-out part.

        Raises:
            ZooError: see ``read_documents``.
        """
        return read_documents(self.path, columns=self.columns, encoding=self.encoding, whole=self.part == "all")

    def images(self) -> Records[Image]:
        """Read pictures; see ``sounds``."""
        return self.chosen(read_images(self.path, alone=self.part == "all"))

    def sounds(self) -> SoundRecords:
        """Read sounds; the held-out part is what is evaluated on, as many as ``limit`` says. Of sounds without a
        held-out part it is empty."""
        records = read_sounds(self.path)
        if self.part == "held_out" and not records.held_out:  # the end of each is, as in training
            return dataclasses.replace(records, train=self.some(records.train))
        return dataclasses.replace(records, held_out=self.chosen(records).held_out)

    def chosen(self, records: Records[T]) -> Records[T]:
        """Return records whose held-out part is what is to be evaluated on."""
        whole = self.part == "all" or (len(records) == 1 and not records.held_out)
        part: Sequence[int] = range(len(records)) if whole else records.held_out
        return dataclasses.replace(records, held_out=self.some(part))

    def some(self, items: Sequence[int]) -> Sequence[int]:
        """Return all numbers, or ``limit`` of them in their order."""
        if self.limit is None or self.limit >= len(items):
            return items
        drawn: list[int] = np.sort(generator(self.seed, 0).permutation(np.asarray(items))[: self.limit]).tolist()
        return drawn


def described(data: Data) -> dict[str, Any]:
    """Return what a report says of the data beside its name."""
    return {"part": data.part, **({} if data.limit is None else {"limit": data.limit, "seed": data.seed})}
