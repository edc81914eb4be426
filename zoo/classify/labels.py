"""What a cell with labels says: any number of them, or which of a row's choices is right."""

from __future__ import annotations

from zoo.classify.prediction import JOIN
from zoo.data.records import Records, TextRow
from zoo.errors import ZooError


def split_labels(cell: str) -> list[str]:
    """Return the labels in a cell, each once."""
    return list(dict.fromkeys(part.strip() for part in cell.split(JOIN) if part.strip()))


def right_choice(records: Records[TextRow], number: int) -> int:
    """Return the number of a question's right choice, from 0.

    Raises:
        ZooError: fewer than two choices, or a label that names none.
    """
    choices, label = records[number].choices, records.labels[number]
    where = f"{records.title}, {records.names[number]}"
    if len(choices) < 2:
        raise ZooError(f"{where}: needs at least two choices in the column 'choices', separated by '{JOIN}'")
    if label in choices:
        return choices.index(label)
    if label.isdecimal() and int(label) < len(choices):
        return int(label)
    raise ZooError(f"{where}: the label {label[:40]!r} is none of its {len(choices)} choices, nor their number from 0")
