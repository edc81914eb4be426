"""Rows of features on their way to a file: written as they come, so that thousands take no memory and a stop no work.

Beside the file that is asked for stand, until it is complete, ``.NAME.rows`` (float32 rows one after the other) and
``.NAME.names`` (JSON lines: what the rows are of, first what all of them depend on).
"""

from __future__ import annotations

import importlib.util
import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import ZooError

AT_ONCE = 1024
"""Rows that are copied or written at once."""
SUFFIXES = (".npz", ".parquet")


def check_suffix(path: Path) -> None:
    """Refuse a file of another kind, or Parquet without pyarrow, before anything is computed.

    Raises:
        ZooError: say which are possible.
    """
    if path.suffix not in SUFFIXES:
        raise ZooError(f"out: features go into a file that ends in {' or '.join(SUFFIXES)}, got '{path}'")
    if path.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ZooError("out: Parquet files need pyarrow: pip install 'tokenzoo[parquet]', or say out=F.npz")


class Store:
    """Rows that are being written; use it in a ``with``.

    Args:
        path: the file that they become.
        facts: what all rows depend on; rows that depend on other things are not gone on with.
        resume: go on with the rows that a stopped call has left.

    Attributes:
        names: of the rows that are there.

    Raises:
        ZooError: the folder cannot be written to, or the rows that are there depend on something else.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any], *, resume: bool) -> None:
        self._path, self._facts = path, dict(facts)
        self._rows_file = path.with_name(f".{path.name}.rows")
        self._names_file = path.with_name(f".{path.name}.names")
        self.names: list[str] = []
        self._width = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if resume and self._names_file.exists():
                self._go_on()
            else:
                self._names_file.write_text(json.dumps(self._facts) + "\n", encoding="utf-8")
                self._rows_file.write_bytes(b"")
            self._rows: IO[bytes] = self._rows_file.open("ab")
            self._log: IO[bytes] = self._names_file.open("ab")
        except OSError as error:
            raise ZooError(f"cannot write {path}: {error.strerror or error}; choose another out=FILE") from None

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.close()
        self._log.close()

    def add(self, name: str, row: NDArray[np.float32]) -> None:
        """Write one row (width,); it is on the disk once ``flush`` has been called.

        Raises:
            ZooError: the disk is full.
        """
        self._width = self._width or len(row)
        try:
            self._rows.write(np.ascontiguousarray(row, dtype=np.float32).tobytes())
            self._log.write(json.dumps([name, len(row)]).encode() + b"\n")
        except OSError as error:
            raise ZooError(f"cannot write {self._path}: {error.strerror or error}") from None
        self.names.append(name)
        if len(self.names) % AT_ONCE == 0:
            self.flush()

    def flush(self) -> None:
        """Put what has been written on the disk, rows before their names."""
        try:
            for stream in (self._rows, self._log):
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise ZooError(f"cannot write {self._path}: {error.strerror or error}") from None

    def finish(self) -> None:
        """Make the file of the rows, in constant memory, and remove what stood beside it.

        Raises:
            ZooError: no rows, or no room.
        """
        if not self.names:
            raise ZooError("there are no samples to be embedded")
        self.flush()
        part = self._path.with_name(f".{self._path.name}.part")
        try:
            (_write_npz if self._path.suffix == ".npz" else _write_parquet)(part, self)
            os.replace(part, self._path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise ZooError(f"cannot write {self._path}: {error.strerror or error}") from None
        self.__exit__(None, None, None)
        self._rows_file.unlink(missing_ok=True)
        self._names_file.unlink(missing_ok=True)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield the rows (some, width) from the disk."""
        with self._rows_file.open("rb") as stream:
            while block := stream.read(4 * self._width * AT_ONCE):
                yield np.frombuffer(block, dtype=np.float32).reshape(-1, self._width)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and their width."""
        return len(self.names), self._width

    @property
    def facts(self) -> dict[str, Any]:
        """What all rows depend on."""
        return self._facts

    def _go_on(self) -> None:
        """Find the rows that are complete, and cut off what is not."""
        first, *lines = self._names_file.read_bytes().split(b"\n")
        try:
            facts = json.loads(first)
            entries = [json.loads(line) for line in lines[:-1]]  # what follows the last line end is no whole line
            self.names = [str(name) for name, _ in entries]
            self._width = int(entries[0][1]) if entries else 0
        except (ValueError, TypeError):
            raise ZooError(f"{self._names_file} is damaged; say resume=false to begin anew") from None
        for name, value in self._facts.items():
            if facts.get(name) != value:
                raise ZooError(
                    f"{self._path} was begun with {name}={facts.get(name)!r}, not {value!r}; say resume=false to begin "
                    "anew, or choose another out=FILE"
                )
        rows = min(len(entries), self._rows_file.stat().st_size // (4 * self._width)) if self._width else 0
        self.names = self.names[:rows]
        os.truncate(self._rows_file, 4 * self._width * rows)
        self._names_file.write_bytes(b"".join(line + b"\n" for line in [first, *lines[:rows]]))


def _write_npz(path: Path, store: Store) -> None:
    names = np.array(store.names)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        with archive.open("embeddings.npy", "w", force_zip64=True) as stream:
            header = {"descr": "<f4", "fortran_order": False, "shape": store.shape}
            np.lib.format.write_array_header_1_0(stream, header)
            for block in store.blocks():
                stream.write(block.astype("<f4").tobytes())
        for name, array in (("files", names), ("facts", np.array(json.dumps(store.facts)))):
            with archive.open(f"{name}.npy", "w") as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)


def _write_parquet(path: Path, store: Store) -> None:
    import pyarrow
    import pyarrow.parquet

    kind = pyarrow.list_(pyarrow.float32(), store.shape[1])
    schema = pyarrow.schema(
        [("file", pyarrow.string()), ("embedding", kind)], metadata={"zoo": json.dumps(store.facts)}
    )
    begin = 0
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for block in store.blocks():
            names = store.names[begin : begin + len(block)]
            values = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(block.ravel()), store.shape[1])
            writer.write_table(pyarrow.table([pyarrow.array(names), values], schema=schema))
            begin += len(block)


def read_embeddings(path: Path) -> tuple[NDArray[np.float32], Sequence[str]]:
    """Return the embeddings (n, width) and names (n) of a file that ``Store`` wrote.

    Raises:
        ZooError: there is none, or it is not such a file.
    """
    try:
        if path.suffix == ".parquet":
            check_suffix(path)
            import pyarrow.parquet

            table = pyarrow.parquet.read_table(path, columns=["file", "embedding"])
            flat = table["embedding"].combine_chunks().flatten().to_numpy()
            return flat.reshape(len(table), -1), table["file"].to_pylist()
        with np.load(path, allow_pickle=False) as arrays:
            embeddings, names = arrays["embeddings"], arrays["files"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile, EOFError) as error:
        reason = " ".join(str(error).split())
        raise ZooError(f"{path}: not a file of embeddings ({reason}); make one with 'zoo embed'") from None
    if embeddings.ndim != 2 or embeddings.dtype.kind != "f" or names.shape != embeddings.shape[:1]:
        raise ZooError(f"{path}: embeddings are (n, width) and files (n), got {embeddings.shape} and {names.shape}")
    return embeddings.astype(np.float32, copy=False), names.tolist()
