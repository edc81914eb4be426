"""Readers of sounds: files, folders (one per class, or flat), with an optional metadata.csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from zoo.data.documents import utf8_blocks
from zoo.data.files import DataFile, find, sha256_of_all
from zoo.data.read import choose, class_folders
from zoo.data.records import Records, Sound
from zoo.data.split import require_both, split_names
from zoo.errors import ZooError, suggest

METADATA = "metadata.csv"
FIELDS = ("artist", "genre", "lyrics", "label")


def read_sounds(path: str) -> Records[Sound]:
    """Read sounds: a file, a folder or a glob. A folder's ``metadata.csv`` may tell of each file, by its path below the
    folder, the artist, genre, lyrics and label (columns file, artist, genre, lyrics, label; others are left alone).

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
    if found.form != "file":
        require_both(train, held_out, path)
    return Records(
        title=found.title,
        names=[file.name for file in files],
        labels=labels if any(labels) else class_folders(files),
        train=train,
        held_out=held_out,
        load=lambda index: read_sound(files[index].path, rows.get(files[index].name, {})),
        sha256=sha256_of_all([*files, metadata] if metadata else files),
    )


def read_sound(path: Path, facts: Mapping[str, str] | None = None) -> Sound:
    """Read one sound file, every sample of it, with what is known about it.

    Raises:
        ZooError: not a sound file, or damaged.
    """
    import soundfile

    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise ZooError(f"{path}: not a readable sound file ({' '.join(str(error).split())})") from None
    known = facts or {}
    return Sound(
        samples=samples,
        rate=int(rate),
        artist=known.get("artist", ""),
        genre=known.get("genre", ""),
        lyrics=known.get("lyrics", ""),
    )


def _read_metadata(path: Path, files: Sequence[DataFile]) -> dict[str, dict[str, str]]:
    text = b"".join(utf8_blocks(path)).decode()
    rows: dict[str, dict[str, str]] = {}
    known = {file.name for file in files}
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        if "file" not in (reader.fieldnames or ()):
            raise ZooError(f"{path}: no column 'file'{suggest('file', reader.fieldnames or ())}")
        for row in reader:
            if None in row or None in row.values():
                raise ZooError(f"{path} line {reader.line_num}: not as many columns as the header has")
            name = PurePosixPath(row["file"].replace("\\", "/")).as_posix()
            if name not in known:  # so an absolute path, or one that climbs out of the folder, is never opened
                raise ZooError(
                    f"{path} line {reader.line_num}: no sound file {row['file']!r} here{suggest(name, known)}"
                )
            rows[name] = {field: row[field] for field in FIELDS if field in row}
    except csv.Error as error:
        raise ZooError(f"{path}: broken row ({error})") from None
    return rows
