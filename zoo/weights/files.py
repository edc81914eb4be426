"""Files and folders that are there in full or not at all, also after ``kill -9``, a full disk or a power cut."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo.errors import ZooError

CHUNK = 1 << 20
MANIFEST = "manifest.json"
TEXT_LIMIT = 16 << 20
"""Longest settings file (bytes) that is parsed; ours are a few kB."""


def digest(path: Path) -> str:
    """Return the hex sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_all(descriptor: int, data: memoryview) -> None:
    """Write every byte of ``data``; the one place where checkpoints leave for the disk."""
    while data:
        data = data[os.write(descriptor, data[:CHUNK]) :]


def write_file(path: Path, pieces: Iterable[bytes | memoryview]) -> str:
    """Write ``pieces`` one after the other to ``path``, make them durable and return their hex sha256.

    Not atomic by itself: write below a temporary name, then rename.
    """
    running = hashlib.sha256()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        for piece in pieces:
            view = memoryview(piece)
            running.update(view)
            write_all(descriptor, view)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return running.hexdigest()


def copy_file(source: Path, target: Path) -> str:
    """Copy a file's content durably and return its hex sha256."""

    def pieces() -> Iterator[bytes]:
        with source.open("rb") as file:
            while piece := file.read(CHUNK):
                yield piece

    return write_file(target, pieces())


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` in one step: readers see the old content or the new one."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write_file(temporary, [data])
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_manifest(folder: Path, known: Mapping[str, str]) -> None:
    """Write ``manifest.json``, the sha256 of every other file below ``folder``, and make all names durable.

    Args:
        folder: complete but for the manifest.
        known: hashes that need not be computed again.
    """
    hashes = {name: known.get(name) or digest(folder / name) for name in files_below(folder) if name != MANIFEST}
    write_file(folder / MANIFEST, [json.dumps(hashes, indent=1).encode()])
    for inner in [path for path in folder.rglob("*") if path.is_dir()]:
        sync_folder(inner)
    sync_folder(folder)


def files_below(folder: Path) -> list[str]:
    """Return the files below ``folder`` as sorted relative names with forward slashes."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def read_manifest(folder: Path) -> dict[str, str]:
    """Return ``{file: sha256}`` as stated in a folder, checked for form only.

    Raises:
        ZooError: no manifest, not JSON, or names that leave the folder.
    """
    stated = read_json(folder / MANIFEST)
    for name, value in stated.items():
        if not isinstance(value, str) or Path(name).is_absolute() or ".." in Path(name).parts:
            raise ZooError(f"{folder / MANIFEST}: '{name}' is no file of this folder; get the folder again")
    return stated


def verify(folder: Path, names: Iterable[str] | None = None, *, mend: str = "get the folder again") -> None:
    """Check files against the manifest, all that it lists or only ``names``.

    Raises:
        ZooError: a file is missing, not listed, or its content is another; the line ends with ``mend``.
    """
    stated = read_manifest(folder)
    for name in stated if names is None else names:
        path = folder / name
        if name not in stated:
            raise ZooError(f"{path} is not listed in {MANIFEST}; {mend}")
        if not path.is_file():
            raise ZooError(f"{path} is missing; {mend}")
        if digest(path) != stated[name]:
            raise ZooError(f"{path} does not match its sha256 in {MANIFEST} (cut short or changed); {mend}")


def read_text(path: Path) -> str:
    """Return a small UTF-8 file's text.

    Raises:
        ZooError: missing, too long to be a settings file, or not UTF-8.
    """
    try:
        if path.stat().st_size > TEXT_LIMIT:
            raise ZooError(f"{path} is longer than {TEXT_LIMIT >> 20} MB: this is no settings file of a checkpoint")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ZooError(f"{path} is missing; this is no complete checkpoint folder") from None
    except UnicodeDecodeError:
        raise ZooError(f"{path} is not UTF-8 text; get the checkpoint again") from None
    except OSError as error:
        raise ZooError(f"{path} cannot be read: {error.strerror}") from None


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a small file; ZooError if it is anything else."""
    value = parse_json(path)
    if not isinstance(value, dict):
        raise ZooError(f"{path} holds no JSON object; get the checkpoint again")
    return value


def parse_json(path: Path) -> Any:
    """Return the JSON value in a small file; ZooError if it is no JSON."""
    try:
        return json.loads(read_text(path))
    except ZooError:
        raise
    except (ValueError, RecursionError) as error:  # ValueError also for a number of thousands of digits
        raise ZooError(f"{path} is not valid JSON ({str(error).splitlines()[0]}); get the checkpoint again") from None


def remove(path: Path) -> None:
    """Delete a file or a whole folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def make_writable(folder: Path) -> None:
    """Make ``folder`` and check that files can be written into it.

    Raises:
        ZooError: naming the folder and the reason.
    """
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
        raise ZooError(f"cannot write to {folder}: {error.strerror}; choose another folder with out=DIR") from None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold ``folder/.lock``, so that two runs never write into one folder; a dead run's lock counts for nothing.

    Raises:
        ZooError: another live process holds it; its number is named.
    """
    path = folder / ".lock"
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            same = os.path.samestat(os.fstat(descriptor), path.stat())
        except OSError as error:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            if error.errno == errno.ENOENT:
                continue
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise ZooError(
                    f"{folder} is in use by process {holder}; wait for it, or choose another out=DIR"
                ) from None
            raise
        if same:  # else the last holder removed this file between our open and our lock
            break
        os.close(descriptor)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)
