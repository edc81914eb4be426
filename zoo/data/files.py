"""What ``data.path`` may name: one file, a folder or a glob, gzipped or not, in the same order on every machine."""

from __future__ import annotations

import glob
import gzip
import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

from zoo.download import sha256_of as sha256_of
from zoo.errors import ZooError, suggest

Kind = Literal["text", "table", "image", "array", "idx", "cifar", "archive", "sound", "other"]

SUFFIXES: dict[Kind, frozenset[str]] = {
    "text": frozenset(
        {".txt", ".text", ".md", ".markdown", ".rst", ".tex", ".html", ".htm", ".xml", ".log", ".srt", ".abc"}
    )
    | frozenset({".py", ".pyi", ".c", ".h", ".cc", ".cpp", ".hpp", ".js", ".ts", ".java", ".go", ".rs", ".sh", ".sql"})
    | frozenset({".r", ".jl", ".rb", ".lua", ".hs", ".ml", ".lisp", ".css", ".yaml", ".yml", ".toml", ".ini"}),
    "table": frozenset({".csv", ".tsv", ".jsonl"}),
    "image": frozenset({".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}),
    "array": frozenset({".npz"}),
    "cifar": frozenset({".bin"}),
    "archive": frozenset({".tar", ".tgz"}),
    "sound": frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif"}),
    "other": frozenset({".zip", ".bz2", ".xz", ".7z", ".pdf", ".docx", ".npy", ".pt", ".pkl", ".parquet"}),
}
NOTES = ("readme", "license", "licence", "copying")
"""A folder's files whose names start so are about the data, not data."""


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One file that belongs to a data set.

    Attributes:
        path: where it is.
        name: path below the data set's folder with ``/`` on every system: what files are sorted and reported by.
    """

    path: Path
    name: str

    @property
    def suffix(self) -> str:
        """The lower-case extension below ``.gz``: ``a.CSV.gz`` has ``.csv``."""
        name = Path(self.name.lower())
        return Path(name.stem).suffix if name.suffix == ".gz" else name.suffix

    @property
    def kind(self) -> Kind | None:
        """What the extension promises; None for one that is not known."""
        if self.suffix == "" and Path(self.name).name.removesuffix(".gz").endswith("-ubyte"):
            return "idx"
        return next((kind for kind, suffixes in SUFFIXES.items() if self.suffix in suffixes), None)


@dataclass(frozen=True, kw_only=True)
class Found:
    """The files that a ``data.path`` names, sorted by name.

    Attributes:
        path: as the user wrote it.
        form: ``file``, ``folder`` or ``glob``: files of the last two form a data set that is split by file.
        files: at least one.
    """

    path: str
    form: Literal["file", "folder", "glob"]
    files: tuple[DataFile, ...]

    @property
    def title(self) -> str:
        """A short name without the machine's folders, for cards and messages about what is inside."""
        return Path(self.path).name or self.path

    def of_kind(self, *kinds: Kind) -> tuple[DataFile, ...]:
        """Return the files whose extension promises one of ``kinds``."""
        return tuple(file for file in self.files if file.kind in kinds)


def find(path: str | Path) -> Found:
    """Return the files that ``path`` names: a file, every file below a folder, or the matches of a glob.

    Below a folder, hidden files and notes (README, LICENSE) are left out; a glob's matches are all taken.

    Raises:
        ZooError: nothing is there.
    """
    text = str(path)
    if not text.strip():
        raise ZooError("data.path is empty; name a file, a folder or a glob")
    place = Path(text).expanduser()
    if place.is_dir():
        files = tuple(sorted(_walk(place), key=lambda file: file.name))
        if not files:
            raise ZooError(f"{text}: the folder holds no data files")
        return Found(path=text, form="folder", files=files)
    if place.exists():
        return Found(path=text, form="file", files=(DataFile(path=place, name=place.name),))
    if glob.has_magic(text):
        matches = [Path(match) for match in glob.glob(str(place), recursive=True) if Path(match).is_file()]
        if not matches:
            raise ZooError(f"{text}: no files match")
        root = Path(os.path.commonpath([match.parent for match in matches]))
        named = [DataFile(path=match, name=match.relative_to(root).as_posix()) for match in matches]
        return Found(path=text, form="glob", files=tuple(sorted(named, key=lambda file: file.name)))
    near = [str(place.parent / entry) for entry in os.listdir(place.parent)] if place.parent.is_dir() else []
    raise ZooError(f"{text}: no such file or folder{suggest(str(place), near, limit=0)}")


def _walk(root: Path) -> Iterator[DataFile]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        for name in names:
            if not name.startswith(".") and not name.lower().startswith(NOTES):
                path = Path(folder, name)
                yield DataFile(path=path, name=path.relative_to(root).as_posix())


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, unpacked if it is gzipped; whatever goes wrong becomes one line that names the file."""
    try:
        with gzip.open(path) if path.suffix.lower() in (".gz", ".tgz") else path.open("rb") as stream:
            yield cast("IO[bytes]", stream)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ZooError(f"{path}: damaged gzip file ({error}); fetch or pack it again") from None
    except OSError as error:
        raise ZooError(f"{path}: cannot be read ({error.strerror or error})") from None


def sha256_of_all(files: Iterable[DataFile]) -> str:
    """Return the hash of one file, or of the ``hash  name`` lines of several."""
    listed = list(files)
    if len(listed) == 1:
        return sha256_of(listed[0].path)
    lines = "".join(f"{sha256_of(file.path)}  {file.name}\n" for file in listed)
    return hashlib.sha256(lines.encode()).hexdigest()
