"""Folders of ids: what a tokenizer made of many files, memory-mapped, with what is known about each file.

A folder holds ``level_0.bin``, ``level_1.bin``, ... (the ids of all files one after the other, little-endian uint16, or
uint32 for more than 65,536 codes), ``files.jsonl`` (a line for each file: name, ids at each level, seconds, labels,
sha256), and ``shards.json``, which vouches for the others by length and sha256. A coarser level than 0 stands for the
same sound with fewer ids.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from zoo import settings
from zoo.download import sha256_of
from zoo.errors import ZooError
from zoo.tokenizers.base import Modality

HEADER, FILES = "shards.json", "files.jsonl"
LARGEST_HEADER = 1 << 20
"""Bytes of a header that are read."""
LARGEST_LINE = 16 << 20
"""Bytes of a line about one file: its lyrics are in it."""
MOST_LEVELS = 64
MEND = "make the folder again with zoo tokenize"

Ids = NDArray[np.uint16] | NDArray[np.uint32]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file that was encoded.

    Attributes:
        name: path below the folder of the data set, with ``/`` on every system.
        counts: ids at each level.
        seconds: length of a sound; 0 elsewhere.
        sha256: of the file.
        artist, genre, lyrics, label: as the metadata or the folders say; empty where they do not.
    """

    name: str
    counts: tuple[int, ...]
    seconds: float = 0.0
    sha256: str = ""
    artist: str = ""
    genre: str = ""
    lyrics: str = ""
    label: str = ""

    def __post_init__(self) -> None:
        if any(count < 0 for count in self.counts):
            raise ZooError(f"counts must not be negative, got {list(self.counts)}")
        if not 0 <= self.seconds < math.inf:
            raise ZooError(f"seconds must be 0 or more, got {self.seconds}")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What made the ids: two folders of one origin can be used by the same models.

    Attributes:
        type: name of the tokenizer or codec.
        modality: of what was encoded.
        fingerprints: of each level's tokenizer.
        codes: ids of each level lie in ``[0, codes)``.
        hops: samples of sound that one id of each level stands for; 1 elsewhere.
        ids_per_hop: ids of every such step; more than 1 for residual codes that follow each other.
        rate: samples per second of the sound; None elsewhere.
    """

    type: str
    modality: Modality
    fingerprints: tuple[str, ...]
    codes: tuple[int, ...]
    hops: tuple[int, ...]
    ids_per_hop: int = 1
    rate: int | None = None

    def __post_init__(self) -> None:
        levels = len(self.fingerprints)
        if not 1 <= levels <= MOST_LEVELS or not levels == len(self.codes) == len(self.hops):
            raise ZooError(f"fingerprints, codes and hops must have one entry for each of 1 to {MOST_LEVELS} levels")
        if self.ids_per_hop < 1 or (self.rate is not None and self.rate < 1):
            raise ZooError(f"ids_per_hop and rate must be at least 1, got {self.ids_per_hop} and {self.rate}")
        if any(not 1 <= codes <= 1 << 32 for codes in self.codes) or min(self.hops) < 1:
            raise ZooError(f"codes must be 1 to 2**32 and hops at least 1, got {list(self.codes)}, {list(self.hops)}")

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.codes)

    def dtype(self, level: int) -> np.dtype[Any]:
        """Return how ids of a level are stored."""
        return np.dtype("<u2" if self.codes[level] <= 1 << 16 else "<u4")


@dataclass(frozen=True, kw_only=True)
class Header:
    """All of ``shards.json``.

    Attributes:
        format, version: what says that this is one.
        origin: what made the ids.
        files: how many were encoded.
        counts: ids at each level.
        sha256: of ``files.jsonl`` and of each level's file, by name.
    """

    FORMAT: ClassVar[str] = "zoo-shards"
    format: str
    version: int
    origin: Origin
    files: int
    counts: tuple[int, ...]
    sha256: dict[str, str]

    def __post_init__(self) -> None:
        if self.format != self.FORMAT or self.version != 1:
            raise ZooError(f"expected format '{self.FORMAT}' version 1, got {self.format!r} version {self.version}")
        if self.files < 0 or len(self.counts) != self.origin.levels or min(self.counts) < 0:
            raise ZooError("files and counts do not fit the levels")


class Shards:
    """A folder of ids, opened; levels are mapped into memory, not read.

    Args:
        folder: where it is.
        check: hash the ids, too. Without, only lengths and what describes the files are checked, and ids when they are
            taken with ``ids``: enough for a folder that was checked before.

    Attributes:
        origin: what made the ids.
        files: what is known about each file.

    Raises:
        ZooError: missing, cut short, changed, or no such folder: one line that names the file.
    """

    def __init__(self, folder: Path | str, *, check: bool = True) -> None:
        self.folder = Path(folder)
        header = read_header(self.folder)
        self.origin = header.origin
        self._counts = header.counts
        for level in range(self.levels):
            wanted, found = self._counts[level] * self.origin.dtype(level).itemsize, _size(self._file(level))
            if wanted != found:
                raise ZooError(f"{self._file(level)} has {found} bytes, not {wanted}: cut short or changed; {MEND}")
        self._sums = header.sha256
        for name in [FILES, *(level_file(level) for level in range(self.levels) if check)]:
            self._compare(name)
        self.files: tuple[Entry, ...] = tuple(read_entries(self.folder / FILES, self.levels))
        sums = tuple(sum(entry.counts[level] for entry in self.files) for level in range(self.levels))
        if len(self.files) != header.files or sums != self._counts:
            raise ZooError(f"{self.folder / FILES} does not describe the ids beside it; {MEND}")
        self._levels = [self._map(level) for level in range(self.levels)]

    def __len__(self) -> int:
        return len(self.files)

    @property
    def levels(self) -> int:
        """Number of levels."""
        return self.origin.levels

    @cached_property
    def offsets(self) -> tuple[NDArray[np.int64], ...]:
        """Where each file's ids begin at each level, and where the last one's end: int64 (files + 1,) each."""
        return tuple(
            np.fromiter(accumulate((entry.counts[level] for entry in self.files), initial=0), np.int64)
            for level in range(self.levels)
        )

    def check(self, level: int) -> None:
        """Hash the ids of a level.

        Raises:
            ZooError: they have changed: the message names the file.
        """
        self._compare(level_file(level))

    def _compare(self, name: str) -> None:
        if sha256_of(self.folder / name) != self._sums.get(name):
            raise ZooError(f"{self.folder / name} does not match its sha256 in {HEADER}; {MEND}")

    def level(self, level: int) -> Ids:
        """Return the ids of all files at a level, mapped, not checked: what windows are cut from.

        Raises:
            ZooError: there is no such level.
        """
        if not 0 <= level < self.levels:
            raise ZooError(f"{self.folder} has no level {level}, only 0 to {self.levels - 1}")
        return self._levels[level]

    def ids(self, index: int, level: int, begin: int = 0, end: int | None = None) -> NDArray[np.int64]:
        """Return ids of one file at a level, int64 (time,), all or those in ``[begin, end)``.

        Raises:
            ZooError: no such file or level, or an id that the tokenizer does not have.
        """
        values = self.level(level)
        if not 0 <= index < len(self):
            raise ZooError(f"{self.folder} has no file {index}, only 0 to {len(self) - 1}")
        first, last = self.offsets[level][index : index + 2]
        found = values[first:last][begin:end].astype(np.int64)
        if found.size and found.max() >= self.origin.codes[level]:
            raise ZooError(
                f"{self._file(level)}: id {found.max()} of '{self.files[index].name}' is not among the "
                f"{self.origin.codes[level]} codes; {MEND}"
            )
        return found

    def _file(self, level: int) -> Path:
        return self.folder / level_file(level)

    def _map(self, level: int) -> Ids:
        dtype = self.origin.dtype(level)
        if not self._counts[level]:  # an empty file cannot be mapped
            return np.empty(0, dtype)
        return np.memmap(self._file(level), dtype=dtype, mode="r", shape=(self._counts[level],))


def level_file(level: int) -> str:
    """Return the name of the file with a level's ids."""
    return f"level_{level}.bin"


def is_shards(folder: Path) -> bool:
    """Return whether ``folder`` says that it is a folder of ids."""
    return (folder / HEADER).is_file()


def read_header(folder: Path) -> Header:
    """Return what ``shards.json`` in ``folder`` states, its form checked.

    Raises:
        ZooError: missing, or no header of such a folder.
    """
    path = folder / HEADER
    if not path.is_file():
        raise ZooError(f"{path} is missing: {folder} is no folder of ids; {MEND}")
    return settings.build(
        Header, _parse(path.open("rb").read(LARGEST_HEADER + 1), str(path), LARGEST_HEADER), str(path)
    )


def read_entries(path: Path, levels: int) -> Iterator[Entry]:
    """Yield what ``files.jsonl`` says about each file, line by line.

    Raises:
        ZooError: a line that says nothing of the kind.
    """
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(LARGEST_LINE + 1):
            number += 1
            where = f"{path} line {number}"
            entry: Entry = settings.build(Entry, _parse(line, where, LARGEST_LINE), where)
            if len(entry.counts) != levels:
                raise ZooError(f"{where}: {len(entry.counts)} counts for {levels} levels; {MEND}")
            yield entry


def write_entry(entry: Entry) -> bytes:
    """Return the line of ``files.jsonl`` about a file."""
    return json.dumps(dataclasses.asdict(entry), ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def _parse(data: bytes, where: str, limit: int) -> Mapping[str, Any]:
    if len(data) > limit:
        raise ZooError(f"{where} is longer than {limit >> 20} MB; {MEND}")
    try:
        value = json.loads(data.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        raise ZooError(f"{where} is not valid JSON: cut short or changed; {MEND}") from None
    if not isinstance(value, dict):
        raise ZooError(f"{where} holds no JSON object; {MEND}")
    return value


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise ZooError(f"{path} cannot be read ({error.strerror}); {MEND}") from None
