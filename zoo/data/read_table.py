"""CSV, TSV and JSONL tables with the columns text, label, text_b and choices, or source and target."""

from __future__ import annotations

import csv
import io
import json
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo.data.documents import utf8_blocks
from zoo.data.files import DataFile
from zoo.data.records import TextRow
from zoo.errors import ZooError, suggest

COLUMNS = ("text", "label", "text_b", "choices")
"""What a table of texts may hold; ``columns`` maps these to the table's own names."""
PAIR = ("source", "target")
"""What a table of pairs holds."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table: its bytes in memory once, its rows parsed when they are asked for.

    Attributes:
        file: where it is from.
        data: UTF-8 text of the file.
        starts: byte at which each row begins, and the end: int64 (rows + 1,).
        lines: line number of each row, counted from 1: int64 (rows,).
        header: names of the columns; empty for JSONL.
        columns: our names to the table's.
        labels: label of each row; empty if there is no such column.
    """

    file: DataFile
    data: bytes
    starts: npt.NDArray[np.int64]
    lines: npt.NDArray[np.int64]
    header: tuple[str, ...]
    columns: Mapping[str, str]
    labels: Sequence[str]

    def __len__(self) -> int:
        return len(self.lines)

    def row(self, index: int) -> TextRow:
        """Return one row."""
        cells = self._cells(index)
        where = f"{self.file.path} line {self.lines[index]}"
        second = cells.get(self.columns["text_b"])
        return TextRow(
            text=_text(cells, self.columns["text"], where),
            text_b=None if second is None else _text(cells, self.columns["text_b"], where),
            choices=_choices(cells.get(self.columns["choices"]), where),
        )

    def pair(self, index: int) -> tuple[str, str]:
        """Return the source and the target of one row.

        Raises:
            ZooError: one of them is empty.
        """
        cells = self._cells(index)
        where = f"{self.file.path} line {self.lines[index]}"
        source, target = (_text(cells, self.columns[name], where) for name in PAIR)
        if not source.strip() or not target.strip():
            empty = "target" if source.strip() else "source"
            raise ZooError(f"{where}: the {empty} is empty; fill it in or take the row out")
        return source, target

    def name(self, index: int) -> str:
        """Return what one row is called: the file and the line."""
        return f"{self.file.name}:{self.lines[index]}"

    def _cells(self, index: int) -> Mapping[str, Any]:
        line = self.data[self.starts[index] : self.starts[index + 1]].decode()
        if self.header:
            return dict(zip(self.header, next(_reader(iter([line]), self.file.suffix)), strict=True))
        parsed: Mapping[str, Any] = json.loads(line)
        return parsed


def check_columns(columns: Mapping[str, str], known: Sequence[str] = COLUMNS) -> None:
    """Refuse a renaming of columns that no table of this kind (with the ``known`` ones) can have.

    Raises:
        ZooError: say which name is wrong.
    """
    for name in columns:
        if name not in known:
            raise ZooError(f"unknown setting 'data.columns.{name}'{suggest(name, known)}")


def read_table(
    file: DataFile,
    columns: Mapping[str, str],
    *,
    required: Sequence[str] = ("text",),
    encoding: str = "utf-8",
    header: Sequence[str] = (),
) -> Table:
    """Read and check one .csv, .tsv or .jsonl file (.gz too).

    CSV cells may be quoted; TSV cells are taken as they are, quotes included. Labels and choices become text.

    Args:
        file: the table.
        columns: our names to the table's, where they differ.
        required: our names of the columns that must be there.
        encoding: of the file.
        header: names of the columns of a CSV or TSV file that does not state them itself.

    Raises:
        ZooError: a missing column, a ragged or broken row (with its line), an empty table, bytes that are not UTF-8.
    """
    named = {name: columns.get(name, name) for name in (*COLUMNS, *PAIR)}
    wanted = list(dict.fromkeys([*required, *columns]))  # who renames a column wants it, too
    data = b"".join(utf8_blocks(file.path, encoding))
    if not data.strip():
        raise ZooError(f"{file.path}: is empty")
    if file.suffix == ".jsonl":
        return _scan_json(file, data, named, required, wanted)
    return _scan_separated(file, data, named, wanted, tuple(header))


def _scan_separated(
    file: DataFile, data: bytes, columns: Mapping[str, str], required: Sequence[str], header: tuple[str, ...]
) -> Table:
    consumed, line = 0, 0

    def lines() -> Iterator[str]:
        nonlocal consumed, line
        for text in io.BytesIO(data):
            consumed += len(text)
            line += 1
            yield text.decode()

    reader = _reader(lines(), file.suffix)
    csv.field_size_limit(max(csv.field_size_limit(), len(data)))  # a cell may be a whole book; never lowered
    starts, numbers = array("q"), array("q")
    labels: list[str] = []
    label_at = -1
    while True:
        begin, first = consumed, line + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ZooError(f"{file.path} line {first}: broken row ({error})") from None
        if cells is None:
            break
        if not header:
            header = tuple(cells)
            _check_header(str(file.path), header, columns, required)
            label_at = header.index(columns["label"]) if columns["label"] in header else -1
        elif cells:  # a blank line is no row
            if len(cells) != len(header):
                raise ZooError(f"{file.path} line {first}: {len(cells)} columns, but the header has {len(header)}")
            starts.append(begin)
            numbers.append(first)
            labels += [sys.intern(cells[label_at])] if label_at >= 0 else []
    return _table(file, data, starts, numbers, header, columns, labels)


def _scan_json(
    file: DataFile, data: bytes, columns: Mapping[str, str], required: Sequence[str], wanted: Sequence[str]
) -> Table:
    starts, numbers = array("q"), array("q")
    labels: list[str] = []
    position = 0
    labelled: bool | None = None
    for number, line in enumerate(io.BytesIO(data), start=1):
        begin, position = position, position + len(line)
        if not line.strip():
            continue
        where = f"{file.path} line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise ZooError(f"{where}: not valid JSON; a .jsonl file has one object on each line") from None
        if not isinstance(row, dict):
            raise ZooError(f'{where}: expected a JSON object such as {{"text": "…"}}, got {type(row).__name__}')
        _check_header(where, tuple(row), columns, wanted)
        for name in required:
            _text(row, columns[name], where)
        label = row.get(columns["label"])
        if labelled is not None and labelled != (label is not None):
            raise ZooError(f"{where}: some rows have '{columns['label']}' and some have not; give all rows one")
        labelled = label is not None
        labels += [sys.intern(_plain(label))] if labelled else []
        starts.append(begin)
        numbers.append(number)
    return _table(file, data, starts, numbers, (), columns, labels)


def _table(
    file: DataFile,
    data: bytes,
    starts: array[int],
    numbers: array[int],
    header: tuple[str, ...],
    columns: Mapping[str, str],
    labels: list[str],
) -> Table:
    starts.append(len(data))
    if not numbers:
        raise ZooError(f"{file.path}: has a header but no rows")
    return Table(
        file=file,
        data=data,
        starts=np.frombuffer(starts, dtype=np.int64),
        lines=np.frombuffer(numbers, dtype=np.int64),
        header=header,
        columns=columns,
        labels=labels,
    )


def _reader(lines: Iterator[str], suffix: str) -> Iterator[list[str]]:
    if suffix == ".tsv":
        return (line.rstrip("\r\n").split("\t") if line.strip("\r\n") else [] for line in lines)
    return csv.reader(lines, strict=True)


def _check_header(where: str, header: Sequence[str], columns: Mapping[str, str], required: Sequence[str]) -> None:
    for name in required:
        if columns[name] not in header:
            hint = suggest(columns[name], header)
            bare = ", or data.header=false if no row names them" if name in PAIR else ""
            raise ZooError(f"{where}: no column '{columns[name]}'{hint} (say data.columns.{name}=NAME{bare})")
    if len(set(header)) != len(header):
        twice = next(name for name in header if list(header).count(name) > 1)
        raise ZooError(f"{where}: two columns are called '{twice}'")


def _text(cells: Mapping[str, Any], column: str, where: str) -> str:
    value = cells[column]
    if not isinstance(value, str):
        raise ZooError(f"{where}: '{column}' must be text, got {value!r}")
    return value


def _choices(value: Any, where: str) -> tuple[str, ...]:
    """Read choices from a JSON list, or from a cell that holds one or separates them by ``|``."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            raise ZooError(f"{where}: 'choices' is not a valid JSON list") from None
    elif isinstance(value, str):
        value = [part.strip() for part in value.split("|")] if value else []
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(choice, str) for choice in value):
        raise ZooError(f"{where}: 'choices' must be a list of texts")
    return tuple(value)


def _plain(value: Any) -> str:
    """Return a label as CSV would hold it: text as it is, ``1`` for 1, ``a|b`` for several, JSON for the rest."""
    if isinstance(value, list) and all(isinstance(label, str) and "|" not in label for label in value):
        return "|".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
