"""Public data by URL, as recipes name it: one file, or a list of them, kept in ``$ZOO_HOME/data``."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from zoo.download import Progress, check_link, check_name, fetch, file_name
from zoo.errors import ZooError, suggest
from zoo.paths import home

REMEDY = "data.path=FILE"
"""What a user says where the web does not give the data."""


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
        check_name("name", self.name)
        check_link(self.url, self.sha256)

    def fetch(self, progress: Progress | None = None) -> Path:
        """Return the file, fetched if it is not there yet.

        Raises:
            ZooError: no network, or another content than promised: one line that names ``data.path``.
        """
        target = home() / "data" / self.name / file_name(self.url)
        return fetch(self.url, target, sha256=self.sha256, remedy=REMEDY, progress=progress)

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
        check_name("name", self.name)
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
            fetch(row["url"], folder / row["part"] / row["file"], sha256=row["sha256"], remedy=REMEDY)
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
            check_name("part", row["part"])
            check_name("file", row["file"])
            check_link(row["url"], row["sha256"])
            yield row


def manifests() -> list[str]:
    """Return the names of the lists of files that come with the package."""
    folder = resources.files("zoo.data") / "manifests"
    return sorted(entry.name.removesuffix(".csv") for entry in folder.iterdir() if entry.name.endswith(".csv"))


def _manifest(name: str) -> str:
    return (resources.files("zoo.data") / "manifests" / f"{name}.csv").read_text(encoding="utf-8")
