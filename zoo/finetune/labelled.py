"""Samples with labels as fine-tuning reads them: where they are, and which of them are learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from zoo.data.documents import check_encoding
from zoo.data.labelled import Field
from zoo.data.read_table import check_columns
from zoo.data.records import Records
from zoo.data.seeded import generator
from zoo.errors import ZooError
from zoo.finetune.examples import split, split_whole
from zoo.finetune.moves import Moves


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Samples with labels, of any kind and form.

    Attributes:
        path: table, folder (one folder per class, or of tables or sounds), glob, .npz or MNIST's folder; SQuAD's .json.
        columns: where a table's columns have other names: ``{label: category}``.
        label: of sounds: the label (or folder), the genre or the artist of metadata.csv.
        validation: part of the training samples of each label that the best weights are chosen by; 0 for none: training
            then goes to its end. The held-out part is measured once, at the end.
        per_class: learn from so many samples of each label, drawn by the seed; None for all.
        test_samples: measure on so many of the held-out samples, drawn by the seed; None for all.
        encoding: of text files and tables.
        shift, flip: of pictures that are learned from: see ``Moves``.
    """

    path: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    label: Field = "label"
    validation: float = 0.1
    per_class: int | None = None
    test_samples: int | None = None
    encoding: str = "utf-8"
    shift: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        check_columns(self.columns)
        check_encoding(self.encoding)
        Moves(shift=self.shift, flip=self.flip)
        if not 0 <= self.validation < 1:
            raise ZooError(f"validation must lie in [0, 1), got {self.validation}")
        for name in ("per_class", "test_samples"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ZooError(f"{name} must be at least 1, got {value}")

    @property
    def moves(self) -> Moves:
        """How pictures are varied."""
        return Moves(shift=self.shift, flip=self.flip)

    def parts(
        self, records: Records[Any], groups: Sequence[Any], seed: int, *, whole: bool = False
    ) -> tuple[list[int], list[int], list[int]]:
        """Return the numbers of the samples to learn from, to stop by and to be measured on.

        Args:
            records: all samples.
            groups: of each sample: parts are taken of each group (label) alike.
            seed: of which go where.
            whole: groups (passages) go to one part each instead.
        """
        train = [int(number) for number in records.train]
        if self.per_class is not None:
            by_group: dict[Any, list[int]] = {}
            for number in generator(seed, 0).permutation(train).tolist():
                by_group.setdefault(groups[number], []).append(number)
            train = sorted(number for own in by_group.values() for number in own[: self.per_class])
        test = [int(number) for number in records.held_out]
        if self.test_samples is not None:
            test = sorted(generator(seed, 1).permutation(test)[: self.test_samples].tolist())
        divide = split_whole if whole else split
        learn, check = divide(train, [groups[number] for number in train], self.validation, seed)
        return learn, check, test
