"""Codes on disk as they are drawn: records with a checksum, one file a level, so that ``kill -9`` costs a moment."""

from __future__ import annotations

import io
import json
import os
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.weights import files
from zoo.weights.files import make_writable, read_json, remove, replace_file, sync_folder

FOLDER, PLAN, GIVEN = "sampling", "plan.json", "given.npz"
MISSING = -(1 << 31)
"""In the place of a code that is not drawn yet."""
RECORD = struct.Struct("<4sIIII")
"""Mark, row, position of the first code, number of codes, crc32 of all of this and of the codes (int32) behind it."""
MARK = b"zooc"
DAMAGED = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What NumPy raises where an .npz file is empty, cut off or changed."""
WRITE, SYNC = 0.5, 5.0
"""Seconds after which codes are written, and after which the disk is told to keep them."""


class Journal:
    """The codes of a run, level by level; a context, which writes what is left when it is left.

    Args:
        folder: of the run.
        clock: seconds, for tests.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder = folder / FOLDER
        self._clock = clock
        self._waiting: dict[int, dict[int, tuple[int, list[int]]]] = {}
        self._files: dict[int, int] = {}
        self._written = self._synced = clock()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.flush(sync=True)
        finally:
            for descriptor in self._files.values():
                os.close(descriptor)
            self._files.clear()

    # The plan

    def begin(self, plan: Mapping[str, Any], given: Mapping[int, Tensor]) -> None:
        """Forget an earlier run in the folder, and note what this one is to do.

        Args:
            plan: plain values.
            given: codes that were there before anything was drawn, (rows, time) by level.
        """
        remove(self.folder)
        make_writable(self.folder)
        stream = io.BytesIO()
        arrays: dict[str, Any] = {f"level_{level}": codes.numpy() for level, codes in given.items()}
        np.savez(stream, **arrays)
        replace_file(self.folder / GIVEN, stream.getvalue())
        replace_file(
            self.folder / PLAN,
            json.dumps({**plan, "given": zlib.crc32(stream.getvalue())}, indent=1, allow_nan=False).encode(),
        )

    def plan(self) -> dict[str, Any] | None:
        """Return what the run in the folder is to do; None if there is none."""
        return read_json(self.folder / PLAN) if (self.folder / PLAN).exists() else None

    def given(self) -> dict[int, Tensor]:
        """Return the codes that the run began with.

        Raises:
            ZooError: they are not what the plan was made with.
        """
        path = self.folder / GIVEN
        try:
            data = path.read_bytes()
            if zlib.crc32(data) != read_json(self.folder / PLAN).get("given"):
                raise ValueError
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                return {int(name.removeprefix("level_")): torch.from_numpy(arrays[name]) for name in arrays.files}
        except (OSError, ValueError):
            raise ZooError(f"{path} is damaged; say overwrite=true to begin anew") from None

    def keep_alignments(self, level: int, alignments: Sequence[Tensor]) -> None:
        """Keep what was found when a level was whole; see ``alignments``."""
        stream = io.BytesIO()
        arrays: dict[str, Any] = {f"alignment_{index}": one.half().numpy() for index, one in enumerate(alignments)}
        np.savez_compressed(stream, **arrays)
        replace_file(self.folder / f"level_{level}.alignment.npz", stream.getvalue())

    def alignments(self, level: int) -> tuple[Tensor, ...] | None:
        """Return the alignments of a level, None where there are none yet, or none that can be read."""
        try:
            with np.load(self.folder / f"level_{level}.alignment.npz", allow_pickle=False) as arrays:
                found = [torch.from_numpy(arrays[f"alignment_{index}"]) for index in range(len(arrays.files))]
        except DAMAGED:
            return None
        return tuple(one.float() for one in found)

    # The codes

    def add(self, level: int, rows: Sequence[int], positions: Sequence[int], codes: Sequence[int]) -> None:
        """Note one code for each of ``rows``, at its position."""
        waiting = self._waiting.setdefault(level, {})
        for row, position, code in zip(rows, positions, codes, strict=True):
            first, run = waiting.setdefault(row, (position, []))
            if position != first + len(run):  # of another stretch of the row
                self._put(level, row, first, run)
                waiting[row] = (position, [code])
            else:
                run.append(code)
        if self._clock() - self._written >= WRITE:
            self.flush(sync=self._clock() - self._synced >= SYNC)

    def flush(self, *, sync: bool = False) -> None:
        """Write what is waiting; with ``sync``, also wait until the disk has it."""
        for level, waiting in self._waiting.items():
            for row, (first, run) in waiting.items():
                self._put(level, row, first, run)
            waiting.clear()
        self._written = self._clock()
        if sync:
            for descriptor in self._files.values():
                os.fsync(descriptor)
            self._synced = self._clock()

    def read(self, level: int, rows: int, total: int) -> Tensor:
        """Return the codes of a level, (rows, total) int64, MISSING where there is none yet.

        What a kill left half-written at the end of the file is cut off.
        """
        codes = torch.full((rows, total), MISSING)
        path = self._path(level)
        if not path.exists():
            return codes
        data, place = path.read_bytes(), 0
        while (record := _record(data, place)) is not None:
            row, first, found, end = record
            if row >= rows or first + len(found) > total:
                raise ZooError(f"{path} is of another run; say overwrite=true to begin anew")
            codes[row, first : first + len(found)] = torch.from_numpy(found.astype(np.int64))
            place = end
        if place < len(data):
            os.truncate(path, place)
        return codes

    def _put(self, level: int, row: int, first: int, run: Sequence[int]) -> None:
        if not run:
            return
        codes = np.array(run, dtype="<i4").tobytes()
        sum_ = zlib.crc32(RECORD.pack(MARK, row, first, len(run), 0) + codes)
        files.write_all(self._file(level), memoryview(RECORD.pack(MARK, row, first, len(run), sum_) + codes))

    def _file(self, level: int) -> int:
        if level not in self._files:
            self._files[level] = os.open(self._path(level), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            sync_folder(self.folder)
        return self._files[level]

    def _path(self, level: int) -> Path:
        return self.folder / f"level_{level}.codes"


def _record(data: bytes, place: int) -> tuple[int, int, np.ndarray[Any, Any], int] | None:
    """Return row, position, codes and end of the record at ``place``; None if there is no whole one."""
    if place + RECORD.size > len(data):
        return None
    mark, row, first, count, stated = RECORD.unpack_from(data, place)
    end = place + RECORD.size + 4 * count
    if mark != MARK or end > len(data):
        return None
    codes = data[place + RECORD.size : end]
    if zlib.crc32(RECORD.pack(MARK, row, first, count, 0) + codes) != stated:
        return None
    return row, first, np.frombuffer(codes, dtype="<i4"), end
