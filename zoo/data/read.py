"""Readers of every text format that ``data.path`` may name: plain text as documents, and labelled rows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import PurePosixPath
from typing import Generic, TypeVar

from zoo.data.documents import Document, from_file, from_text, split_bytes
from zoo.data.files import DataFile, Found, Kind, find, sha256_of_all
from zoo.data.read_table import PAIR, Table, read_table
from zoo.data.records import Records, TextRow
from zoo.data.split import TEST_NAMES, TRAIN_NAMES, own_parts, require_both, split_count, split_names
from zoo.errors import ZooError

T = TypeVar("T")
KINDS: dict[Kind, str] = {"text": "text", "table": "tables", "image": "images", "array": "arrays", "idx": "MNIST files",
                          "cifar": "CIFAR-10 files", "archive": "tar archives", "sound": "sounds",
                          "other": "files of another kind"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Documents:
    """The text of one data set, split.

    Attributes:
        title: short name for cards and messages.
        train, held_out: documents of the two parts, in order.
        sha256: hash of the files.
        how: the settings they were read and split by.
    """

    title: str
    train: Sequence[Document]
    held_out: Sequence[Document]
    sha256: str
    how: str

    @property
    def key(self) -> str:
        """What determines every byte of the documents."""
        return f"{self.sha256} {self.how}"


class Lazy(Sequence[T], Generic[T]):
    """A sequence whose items are made when they are asked for."""

    def __init__(self, numbers: Sequence[int], make: Callable[[int], T]) -> None:
        self._numbers = numbers
        self._make = make

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> T:  # type: ignore[override]  # slices are never taken
        return self._make(self._numbers[index])

    def __iter__(self) -> Iterator[T]:
        return map(self._make, self._numbers)


def read_documents(
    path: str,
    *,
    columns: Mapping[str, str] | None = None,
    encoding: str = "utf-8",
    fraction: float = 0.1,
    whole: bool = False,
) -> Documents:
    """Read running text: a text file, a folder or glob of them, or a table's ``text`` column; ``.gz`` too.

    One text is split by bytes, a folder by files, a table by rows, unless the data set has its own test part. A folder
    of fewer than seven files without such a part is split by bytes like one text.

    Args:
        path: file, folder or glob; below a folder, text files count, or tables where there are no text files.
        columns: our names of columns to the table's.
        encoding: of text files and tables.
        fraction: part of the bytes of one text that is held out.
        whole: all of it is the held-out part, whatever its files are called, and nothing is to be learned from.

    Raises:
        ZooError: nothing there, no text in it, not valid text: one line that names the file.
    """
    found = find(path)
    files = choose(found, "text", "table")
    how = f"{encoding} {'whole' if whole else fraction} {sorted((columns or {}).items())}"
    if files[0].kind == "table":
        rows = _rows_of_tables(found, files, columns or {}, encoding, ("text",), make=Table.row)
        parts = (range(0), range(len(rows))) if whole else (rows.train, rows.held_out)
        if not whole:
            require_both(*parts, path)
        train: Sequence[Document]
        held_out: Sequence[Document]
        train, held_out = (Lazy(part, lambda row: from_text(rows.names[row], rows[row].text)) for part in parts)
        return Documents(title=rows.title, train=train, held_out=held_out, sha256=rows.sha256, how=how)
    documents = [from_file(file, encoding) for file in files]
    if not any(document.size for document in documents):
        raise ZooError(f"{path}: is empty")
    train_files, held_out_files = split_names([file.name for file in files])
    if whole:
        train, held_out = [], documents
    elif found.form == "file" or not held_out_files:
        train, held_out = split_bytes(documents, fraction)
    else:
        train = [documents[index] for index in train_files]
        held_out = [documents[index] for index in held_out_files]
    return Documents(title=found.title, train=train, held_out=held_out, sha256=sha256_of_all(files), how=how)


def read_rows(
    path: str,
    *,
    columns: Mapping[str, str] | None = None,
    encoding: str = "utf-8",
    alone: bool = False,
) -> Records[TextRow]:
    """Read texts with labels: a table, a folder of tables (train and test), or one folder of text files per class.

    Args:
        path: file, folder or glob.
        columns: our names of columns to the tables'.
        encoding: of the files.
        alone: the rows need not be enough to be split into two parts.

    Raises:
        ZooError: nothing there, a missing column, a ragged row, fewer than seven rows: one line that names it.
    """
    found = find(path)
    tables = found.of_kind("table")
    if tables:
        rows = _rows_of_tables(found, tables, columns or {}, encoding, ("text",), make=Table.row)
    else:
        files = choose(found, "text")
        train, held_out = split_names([file.name for file in files])
        rows = Records(
            title=found.title,
            names=[file.name for file in files],
            labels=class_folders(files),
            train=train,
            held_out=held_out,
            load=lambda index: TextRow(text=from_file(files[index], encoding).text()),
            sha256=sha256_of_all(files),
        )
    if not alone:
        require_both(rows.train, rows.held_out, path)
    return rows


def read_pairs(
    path: str, *, columns: Mapping[str, str] | None = None, header: bool = True, encoding: str = "utf-8"
) -> Records[tuple[str, str]]:
    """Read pairs of texts: a table with the columns source and target, or a folder of tables (train and test).

    Args:
        path: file, folder or glob.
        columns: our names of columns to the tables'.
        header: CSV and TSV files name their columns; else the first is the source and the second the target.
        encoding: of the tables.

    Raises:
        ZooError: nothing there, a missing column, a ragged or empty row, too few rows: one line that names it.
    """
    found = find(path)
    names = () if header else tuple((columns or {}).get(name, name) for name in PAIR)
    rows = _rows_of_tables(found, choose(found, "table"), columns or {}, encoding, PAIR, names, make=Table.pair)
    require_both(rows.train, rows.held_out, path)
    return rows


def choose(found: Found, *kinds: Kind) -> tuple[DataFile, ...]:
    """Return the files of the first of ``kinds`` that there are any of.

    A single file or a glob's matches whose extension is not known are taken for text, if text is wanted.

    Raises:
        ZooError: there are none; the line says what was found instead.
    """
    if found.form != "folder" and "text" in kinds:
        odd = next((file for file in found.files if file.kind not in (None, *kinds)), None)
        if odd is None and len({file.kind == "table" for file in found.files}) == 1:
            return found.files
        if odd is None:
            raise ZooError(f"{found.path}: matches both text files and tables; name one kind, such as '*.txt'")
        raise ZooError(
            f"{odd.path}: expected {KINDS[kinds[0]]}, but '{odd.suffix}' files are {KINDS[odd.kind or 'other']}"
        )
    for kind in kinds:
        files = found.of_kind(kind)
        if files:
            return files
    wanted = " or ".join(KINDS[kind] for kind in kinds)
    there = sorted({file.suffix or file.name for file in found.files})
    unheard = next((file.suffix for file in found.files if file.kind is None and file.suffix), None)
    hint = f"; name them with a glob such as '*{unheard}'" if unheard and "text" in kinds else ""
    raise ZooError(f"{found.path}: no {wanted} there, only {', '.join(there[:5])}{hint}")


def class_folders(files: Sequence[DataFile]) -> list[str]:
    """Return each file's class: the folder it lies in, below a data set's own train and test folders.

    Empty unless every file lies in a folder and there are at least two of those.
    """
    parts = [PurePosixPath(file.name).parts[:-1] for file in files]
    own = (*TRAIN_NAMES, *TEST_NAMES)
    classes = ["/".join(part[1:] if part and part[0].lower() in own else part) for part in parts]
    return classes if all(classes) and len(set(classes)) > 1 else []


def _rows_of_tables(
    found: Found,
    files: Sequence[DataFile],
    columns: Mapping[str, str],
    encoding: str,
    required: Sequence[str],
    header: Sequence[str] = (),
    *,
    make: Callable[[Table, int], T],
) -> Records[T]:
    """Put the rows of several tables one after another; split by tables where they are named train and test."""
    own = own_parts([file.name for file in files])
    if own:
        files = [files[index] for index in (*own[0], *own[1])]
    tables = [read_table(file, columns, required=required, encoding=encoding, header=header) for file in files]
    if len({bool(table.labels) for table in tables}) > 1:
        bare = next(table.file.path for table in tables if not table.labels)
        raise ZooError(f"{bare}: no column '{columns.get('label', 'label')}', which the other tables have")
    ends = list(accumulate(len(table) for table in tables))
    train, held_out = split_count(ends[-1])
    if own:
        first_test = ends[len(own[0]) - 1]
        train, held_out = range(first_test), range(first_test, ends[-1])
    find_row = partial(_find_row, tables, ends)
    return Records(
        title=found.title,
        names=Lazy(range(ends[-1]), lambda index: Table.name(*find_row(index))),
        labels=[label for table in tables for label in table.labels],
        train=train,
        held_out=held_out,
        load=lambda index: make(*find_row(index)),
        sha256=sha256_of_all(files),
    )


def _find_row(tables: Sequence[Table], ends: Sequence[int], index: int) -> tuple[Table, int]:
    number = bisect_right(ends, index)
    return tables[number], index - (ends[number - 1] if number else 0)
