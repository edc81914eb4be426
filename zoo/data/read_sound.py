"""Readers of sounds: files, folders (one per class, or flat), with an optional metadata.csv."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np

from zoo.data.documents import utf8_blocks
from zoo.data.files import DataFile, find, sha256_of_all
from zoo.data.read import choose, class_folders
from zoo.data.records import Records, Sound
from zoo.data.sound_file import open_sound
from zoo.data.split import split_names
from zoo.errors import ZooError, suggest
from zoo.tokenizers.audio.waveform import Samples, resample_blocks, to_mono

METADATA = "metadata.csv"
FIELDS = ("artist", "genre", "lyrics", "label")
MOST_SAMPLES = 1 << 29
"""Of all channels together, that one sound may have in memory: 2 GiB, 1.7 hours of stereo at 44.1 kHz."""


class Readable(Protocol):
    """A sound that is open: see ``zoo.data.sound_file.OpenSound``, and ``Loaded`` for one that is in memory."""

    rate: int
    channels: int
    frames: int

    def blocks(self) -> Iterator[Samples]:
        """Yield all samples (time, channels), some at a time."""

    def part(self, start: int, count: int) -> Samples:
        """Return samples (time, channels) from ``start`` on, fewer than ``count`` where the sound ends before."""


class Loaded:
    """A sound in memory, to be read as one in a file is.

    Args:
        sound: the sound.
    """

    def __init__(self, sound: Sound) -> None:
        self.rate = sound.rate
        self.frames, self.channels = sound.samples.shape
        self._samples = sound.samples

    def blocks(self) -> Iterator[Samples]:
        """Yield all samples at once."""
        yield self._samples

    def part(self, start: int, count: int) -> Samples:
        """Return samples (time, channels) from ``start`` on."""
        return self._samples[start : start + count]


@dataclass(frozen=True, kw_only=True)
class SoundRecords(Records[Sound]):
    """Sounds that need not be read whole.

    Attributes:
        open: opens the sound of a number.
        fields: artist, genre, lyrics and label of each sound, as far as they are known.
        ends: sounds of the training part whose end is held out; where no sound is, the end of each.
    """

    open: Callable[[int], AbstractContextManager[Readable]]
    fields: Sequence[Mapping[str, str]] = ()
    ends: Sequence[int] = ()

    @classmethod
    def of(cls, records: Records[Sound]) -> SoundRecords:
        """Return sounds that are read whole as such that need not be."""
        if isinstance(records, SoundRecords):
            return records
        known = {field.name: getattr(records, field.name) for field in dataclasses.fields(records)}
        return cls(**known, open=lambda index: nullcontext(Loaded(records[index])))


def read_sounds(path: str) -> SoundRecords:
    """Read sounds: a file, a folder or a glob. A folder's ``metadata.csv`` may tell of each file, by its path below the
    folder, the artist, genre, lyrics and label (columns file, artist, genre, lyrics, label; others are left alone).
    The held-out part is empty for fewer than seven files that name no parts.

    Raises:
        ZooError: nothing there, a row that names no file of the folder: one line that names it.
    """
    found = find(path)
    files = choose(found, "sound")
    metadata = next((file for file in found.files if file.name == METADATA), None)
    rows = _read_metadata(metadata.path, files) if metadata else {}
    labels = [rows.get(file.name, {}).get("label", "") for file in files]
    if any(labels) and not all(labels):
        bare = files[labels.index("")].name
        raise ZooError(f"{path}: '{bare}' has no label in {METADATA}, but other files have")
    train, held_out = split_names([file.name for file in files])
    return SoundRecords(
        title=found.title,
        names=[file.name for file in files],
        labels=labels if any(labels) else class_folders(files),
        train=train,
        held_out=held_out,
        load=lambda index: read_sound(files[index].path, rows.get(files[index].name, {})),
        sha256=sha256_of_all([*files, metadata] if metadata else files),
        open=lambda index: open_sound(files[index].path),
        fields=[rows.get(file.name, {}) for file in files],
    )


def read_sound(path: Path, facts: Mapping[str, str] | None = None) -> Sound:
    """Read one sound file, every sample of it, with what is known about it.

    Raises:
        ZooError: not a sound file, damaged, without samples, or too long for the memory.
    """
    with open_sound(path) as sound:
        blocks, count = [], 0
        for block in sound.blocks():
            blocks.append(block)
            count += block.size
            if count > MOST_SAMPLES:
                raise ZooError(f"{path}: more than {MOST_SAMPLES} samples are too long for one sound; cut it up")
    known = facts or {}
    return Sound(
        samples=np.concatenate(blocks),
        rate=sound.rate,
        artist=known.get("artist", ""),
        genre=known.get("genre", ""),
        lyrics=known.get("lyrics", ""),
    )


def read_blocks(path: Path | str, rate: int | None = None) -> Iterator[Samples]:
    """Yield one channel of a sound file, float32 (time,), in blocks of any size and constant memory.

    The blocks joined are the same samples as the whole file's, mixed to one channel and then resampled.

    Args:
        path: of the file.
        rate: samples per second that are wanted; None for the file's own.

    Raises:
        ZooError: not a sound file, or damaged; perhaps only after the blocks before the damage.
    """
    with open_sound(Path(path)) as sound:
        mono = (to_mono(block) for block in sound.blocks())
        yield from resample_blocks(mono, sound.rate, rate or sound.rate)


def _read_metadata(path: Path, files: Sequence[DataFile]) -> dict[str, dict[str, str]]:
    text = b"".join(utf8_blocks(path)).decode()
    rows: dict[str, dict[str, str]] = {}
    known = {file.name for file in files}
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        if "file" not in (reader.fieldnames or ()):
            raise ZooError(f"{path}: no column 'file'{suggest('file', reader.fieldnames or ())}")
        for column in reader.fieldnames or ():
            if column not in FIELDS and column.strip().lower() in FIELDS:
                raise ZooError(f"{path}: call the column '{column}' {column.strip().lower()}, or something else")
        for row in reader:
            if None in row or None in row.values():
                raise ZooError(f"{path} line {reader.line_num}: not as many columns as the header has")
            name = PurePosixPath(row["file"].replace("\\", "/")).as_posix()
            if name not in known:  # so an absolute path, or one that climbs out of the folder, is never opened
                raise ZooError(
                    f"{path} line {reader.line_num}: no sound file {row['file']!r} here{suggest(name, known)}"
                )
            if name in rows:
                raise ZooError(f"{path} line {reader.line_num}: a second row for {row['file']!r}; keep one")
            rows[name] = {field: row[field] for field in FIELDS if field in row}
    except csv.Error as error:
        raise ZooError(f"{path}: broken row ({error})") from None
    return rows
