"""Public data by URL: fetched once, checked against its sha256, kept in ``$ZOO_HOME/data``."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from importlib import resources
from pathlib import Path
from typing import Any

from zoo.data.files import sha256_of
from zoo.errors import ZooError, suggest
from zoo.paths import home

BLOCK = 1 << 20
TIMEOUT = 30.0
"""Seconds without a byte after which a server counts as gone."""

Progress = Callable[[int, int | None], None]
"""Told of bytes fetched and of the total, None where the server does not say."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file on the web.

    Attributes:
        url: http or https.
        sha256: of the file; another content is refused.
        license: as the card will say.
        name: of the data set: its folder below ``$ZOO_HOME/data``.
    """

    url: str
    sha256: str
    license: str
    name: str

    def __post_init__(self) -> None:
        _check_name("name", self.name)
        _check_link(self.url, self.sha256)

    def fetch(self, progress: Progress | None = None) -> Path:
        """Return the file, fetched if it is not there yet.

        Raises:
            ZooError: no network, or another content than promised: one line that names ``data.path``.
        """
        folder = home() / "data" / self.name
        return _fetch(self.url, self.sha256, folder / _file_name(self.url), progress)

    def describe(self) -> list[dict[str, Any]]:
        """Return the card's entry."""
        return [{"name": self.name, "license": self.license, "sha256": self.sha256, "url": self.url}]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Many files on the web, listed in ``zoo/data/manifests/<name>.csv``: columns part, file, sha256, url.

    Attributes:
        name: of the list, and of the folder below ``$ZOO_HOME/data``.
        license: of all the files.
    """

    name: str
    license: str

    def __post_init__(self) -> None:
        _check_name("name", self.name)
        if self.name not in manifests():
            raise ZooError(f"no list of files is called '{self.name}'{suggest(self.name, manifests())}")

    def fetch(self, progress: Progress | None = None) -> Path:
        """Return the folder of the files, ``<part>/<file>``, those missing fetched; ``progress`` counts files.

        Raises:
            ZooError: see ``Source.fetch``.
        """
        folder = home() / "data" / self.name
        rows = list(self._rows())
        for done, row in enumerate(rows):
            _fetch(row["url"], row["sha256"], folder / row["part"] / row["file"], None)
            if progress:
                progress(done + 1, len(rows))
        return folder

    def describe(self) -> list[dict[str, Any]]:
        """Return the card's entry; its sha256 is that of the list, which holds one for every file."""
        listed = hashlib.sha256(_manifest(self.name).encode()).hexdigest()
        shared = os.path.commonprefix([row["url"] for row in self._rows()])  # noqa: RUF071  # the beginning is meant
        return [{"name": self.name, "license": self.license, "sha256": listed, "url": shared}]

    def _rows(self) -> Iterator[dict[str, str]]:
        for row in csv.DictReader(_manifest(self.name).splitlines()):
            _check_name("part", row["part"])
            _check_name("file", row["file"])
            _check_link(row["url"], row["sha256"])
            yield row


def manifests() -> list[str]:
    """Return the names of the lists of files that come with the package."""
    folder = resources.files("zoo.data") / "manifests"
    return sorted(entry.name.removesuffix(".csv") for entry in folder.iterdir() if entry.name.endswith(".csv"))


def _manifest(name: str) -> str:
    return (resources.files("zoo.data") / "manifests" / f"{name}.csv").read_text(encoding="utf-8")


def _fetch(url: str, sha256: str, target: Path, progress: Progress | None) -> Path:
    if target.is_file() and sha256_of(target) == sha256:
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=target.parent, prefix=".fetching-")
    except OSError as error:
        raise ZooError(
            f"{target.parent}: cannot be written ({error.strerror}); set ZOO_HOME, or data.path=FILE"
        ) from None
    try:
        with os.fdopen(handle, "wb") as stream:
            got = _download(url, stream.write, progress)
        if got != sha256:
            raise ZooError(f"{url}: its sha256 is {got[:12]}…, not {sha256[:12]}…: it has changed; say data.path=FILE")
        os.chmod(partial, 0o644)
        os.replace(partial, target)
    except (urllib.error.URLError, HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise ZooError(
            f"cannot fetch {url} ({' '.join(str(reason).split())}); say data.path=FILE to use a copy"
        ) from None
    finally:
        Path(partial).unlink(missing_ok=True)
    return target


def _download(url: str, write: Callable[[bytes], int], progress: Progress | None) -> str:
    """Write the content of ``url`` block by block; return its sha256."""
    hasher = hashlib.sha256()
    done = 0
    request = urllib.request.Request(url, headers={"User-Agent": "tokenzoo"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        stated = response.headers.get("Content-Length", "")
        total = int(stated) if stated.isdigit() else None
        while block := response.read(BLOCK):
            write(block)
            hasher.update(block)
            done += len(block)
            if progress:
                progress(done, total)
    if total is not None and done != total:
        raise OSError(f"the connection ended after {done} of {total} bytes")
    return hasher.hexdigest()


def _file_name(url: str) -> str:
    name = urllib.parse.unquote(urllib.parse.urlparse(url).path).rsplit("/", 1)[-1]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".") or "data"


def _check_name(field: str, name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,150}", name):
        raise ZooError(f"{field}: {name!r} must be letters, digits, '-', '_' and '.', not starting with '.'")


def _check_link(url: str, sha256: str) -> None:
    if urllib.parse.urlparse(url).scheme not in ("http", "https"):
        raise ZooError(f"url: {url!r} must begin with http:// or https://")
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ZooError(f"sha256: {sha256!r} must be 64 lower-case hex digits")
