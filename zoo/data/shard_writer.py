"""Writes a folder of ids file by file: after ``kill -9`` at any moment, all files but the one in work are kept."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo import settings
from zoo.data.shards import (
    FILES,
    HEADER,
    LARGEST_LINE,
    Entry,
    Header,
    Origin,
    level_file,
    read_entries,
    write_entry,
)
from zoo.download import sha256_of
from zoo.errors import ZooError

BEGUN = "begun.json"
"""What an unfinished folder is made with."""


class ShardWriter:
    """A folder of ids that grows.

    Until ``finish``, everything is in a folder beside the final one. The ids of a file are made durable before the line
    about it is; so a line that is there in full speaks of ids that are, and whatever lies behind them is cut off when
    the writing goes on.

    Args:
        target: the final folder.
        origin: what makes the ids.
        resume: go on with what an earlier writer left.
        overwrite: replace ``target`` in the end.

    Attributes:
        done: the files that are written.

    Raises:
        ZooError: something is there and nobody said what to do about it, or it was made with another tokenizer.
    """

    def __init__(self, target: Path, origin: Origin, *, resume: bool = False, overwrite: bool = False) -> None:
        self.target, self.origin = target, origin
        self.folder = part_folder(target)
        refuse_taken(target, resume=resume, overwrite=overwrite)
        self.done: list[Entry] = []
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if resume and (self.folder / BEGUN).exists():
                self._recover()
            else:
                self._begin()
        except OSError as error:
            raise self._failed(error) from None

    def add(
        self,
        entry: Entry,
        stretches: Iterable[Sequence[NDArray[Any]]],
        *,
        seconds: Callable[[], float] = lambda: 0.0,
    ) -> Entry:
        """Write the ids of one file, and return what was noted of it.

        Args:
            entry: what is known of the file; its ``counts`` and ``seconds`` are filled in.
            stretches: ids (time,) of each level, one stretch of the file after the other.
            seconds: tells the length of the sound once all of it has passed.

        Raises:
            ZooError: ids that the tokenizer does not have, a disk that is full.
        """
        counts = [0] * self.origin.levels
        ends = [sum(done.counts[level] for done in self.done) for level in range(self.origin.levels)]
        files = [self.folder / level_file(level) for level in range(self.origin.levels)]
        try:
            streams = [path.open("r+b") for path in files]
            try:
                for level, stream in enumerate(streams):
                    stream.seek(ends[level] * self.origin.dtype(level).itemsize)
                    stream.truncate()
                for stretch in stretches:
                    for level, ids in enumerate(stretch):
                        streams[level].write(self._stored(ids, level))
                        counts[level] += len(ids)
                for stream in streams:
                    stream.flush()
                    os.fsync(stream.fileno())
            finally:
                for stream in streams:
                    stream.close()
            entry = dataclasses.replace(entry, counts=tuple(counts), seconds=seconds())
            with (self.folder / FILES).open("ab") as lines:
                lines.write(write_entry(entry))
                lines.flush()
                os.fsync(lines.fileno())
        except OSError as error:
            raise self._failed(error) from None
        self.done.append(entry)
        return entry

    def seal(self) -> Header:
        """Complete the folder, which keeps its temporary name; return its header.

        Raises:
            ZooError: it cannot be written.
        """
        try:
            names = [FILES, *(level_file(level) for level in range(self.origin.levels))]
            header = Header(
                format=Header.FORMAT,
                version=1,
                origin=self.origin,
                files=len(self.done),
                counts=tuple(sum(entry.counts[level] for entry in self.done) for level in range(self.origin.levels)),
                sha256={name: sha256_of(self.folder / name) for name in names},
            )
            self._put(HEADER, settings.to_mapping(header))
        except OSError as error:
            raise self._failed(error) from None
        return header

    def publish(self) -> None:
        """Give a sealed folder its final name, in place of what is there.

        Raises:
            ZooError: it cannot be renamed.
        """
        old = self.target.with_name(f".{self.target.name}.old")
        try:
            shutil.rmtree(old, ignore_errors=True)
            if self.target.exists():
                os.replace(self.target, old)
            os.replace(self.folder, self.target)
            (self.target / BEGUN).unlink()  # last, so that no stop in between takes a complete folder for none
            _sync(self.target.absolute().parent)
            shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            raise self._failed(error) from None

    def finish(self) -> Header:
        """Complete the folder and give it its final name; return its header."""
        header = self.seal()
        self.publish()
        return header

    def _begin(self) -> None:
        for path in self.folder.iterdir():
            if _is_ours(path.name):
                path.unlink()
        for name in [FILES, *(level_file(level) for level in range(self.origin.levels))]:
            (self.folder / name).write_bytes(b"")
        self._put(BEGUN, settings.to_mapping(self.origin))

    def _recover(self) -> None:
        """Read what an earlier writer noted, and cut off what it did not come to note."""
        begun = self.folder / BEGUN
        try:
            origin: Origin = settings.build(Origin, json.loads(begun.read_bytes()), str(begun))
        except (ValueError, RecursionError):
            raise ZooError(f"{begun} is damaged; begin again with overwrite=true") from None
        if origin != self.origin:
            raise ZooError(
                f"{self.target} was begun with another tokenizer ({origin.type}) or other settings; go on with that "
                "one, or begin again with overwrite=true"
            )
        lines = self.folder / FILES
        _cut_to_whole_lines(lines)
        room = [
            (self.folder / level_file(level)).stat().st_size // self.origin.dtype(level).itemsize
            for level in range(self.origin.levels)
        ]
        kept = 0
        for entry in read_entries(lines, self.origin.levels):
            room = [left - count for left, count in zip(room, entry.counts, strict=True)]
            if min(room) < 0:  # lost with the machine's power
                break
            self.done.append(entry)
            kept += len(write_entry(entry))
        os.truncate(lines, kept)

    def _stored(self, ids: NDArray[Any], level: int) -> bytes:
        values = np.asarray(ids)
        if values.size and not 0 <= int(values.min()) <= int(values.max()) < self.origin.codes[level]:
            raise ZooError(f"level {level}: ids must be 0 to {self.origin.codes[level] - 1}, got {values.max()}")
        return values.astype(self.origin.dtype(level)).tobytes()

    def _put(self, name: str, document: Any) -> None:
        """Write a small file in one step."""
        part = self.folder / f".{name}.tmp"
        with part.open("wb") as stream:
            stream.write(json.dumps(document, indent=1).encode())
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, self.folder / name)
        _sync(self.folder)

    def _failed(self, error: OSError) -> ZooError:
        return ZooError(
            f"cannot write {self.folder}: {error.strerror or error}; mend that and go on with resume=true, or choose "
            "another out=DIR"
        )


def part_folder(target: Path) -> Path:
    """Return where a folder of ids is while it grows."""
    return target.with_name(f".{target.name}.part")


def refuse_taken(target: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse to write where something is, unless it was said what to do about it.

    Raises:
        ZooError: name what is there.
    """
    if target.is_dir():
        others = sorted(entry.name for entry in target.iterdir() if not _is_ours(entry.name))
        if others:
            raise ZooError(f"{target} holds '{others[0]}', which is no part of a folder of ids; choose another out=DIR")
    elif target.exists():
        raise ZooError(f"{target} is a file; choose another out=DIR")
    if not overwrite and target.is_dir() and any(target.iterdir()):
        raise ZooError(f"{target} is complete; choose another out=DIR, or add overwrite=true to make it again")
    if not overwrite and not resume and (part_folder(target) / BEGUN).exists():
        raise ZooError(
            f"{target} was begun and not finished; add resume=true to go on, or overwrite=true to begin again"
        )


def _is_ours(name: str) -> bool:
    return name in (HEADER, FILES, BEGUN) or (name.startswith("level_") and name.endswith(".bin"))


def _cut_to_whole_lines(path: Path) -> None:
    """Cut off what follows the last line feed: a line that was being written."""
    with path.open("r+b") as stream:
        size = stream.seek(0, os.SEEK_END)
        begin = max(0, size - LARGEST_LINE - 1)
        stream.seek(begin)
        end = stream.read().rfind(b"\n")
        stream.truncate(begin + end + 1)


def _sync(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
