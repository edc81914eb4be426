"""Artists and genres by name, as the numbers that a prior is told. Jukebox's ``data/artist_genre_processor.py``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zoo.errors import ZooError, suggest

UNKNOWN = 0
"""The number of an artist or a genre that nobody knows."""
LONGEST = 4 << 20
"""Bytes of a file of names; the original's longest has 200 kB."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """Names in small letters and digits, words joined by ``_``; a genre is a bag of its words (the original's v2)."""

    def artist(self, name: str) -> str:
        """Return the name as tables have it."""
        return re.sub(r"_+", "_", re.sub(r"[^a-z0-9]", "_", name.lower())).strip("_")

    def genres(self, name: str) -> tuple[str, ...]:
        """Return the words of a genre as tables have them."""
        normal = self.artist(name)
        return tuple(normal.split("_")) if normal else ()


@dataclass(frozen=True, kw_only=True)
class Whole:
    """Names in small letters; a genre is one name (the original's v3)."""

    def artist(self, name: str) -> str:
        """Return the name as tables have it."""
        return name.lower().strip()

    def genres(self, name: str) -> tuple[str, ...]:
        """Return the genre as tables have it."""
        normal = self.artist(name)
        return (normal,) if normal else ()


Style = Words | Whole


@dataclass(frozen=True, kw_only=True)
class Names:
    """Which number stands for which name; 0 for what is unknown, or not said.

    Attributes:
        artists, genres: name, in the style's form -> number.
        style: how names are written there.
    """

    artists: dict[str, int] = field(default_factory=dict)
    genres: dict[str, int] = field(default_factory=dict)
    style: Style = Whole()

    def __post_init__(self) -> None:
        for kind, table in (("artist", self.artists), ("genre", self.genres)):
            if wrong := [name for name, number in table.items() if not 0 <= number < 1 << 31]:
                raise ZooError(f"{kind} {wrong[0][:60]!r} has number {table[wrong[0]]}; numbers are 0 or more")

    @classmethod
    def read(cls, artists: Path, genres: Path, style: Style) -> Names:
        """Return the tables in two files of lines ``name;number``, as the original program has them.

        Raises:
            ZooError: a file that cannot be read, or a line of another form.
        """
        return cls(artists=_table(artists), genres=_table(genres), style=style)

    @classmethod
    def learned(cls, artists: Iterable[str], genres: Iterable[str], style: Style = Whole()) -> Names:
        """Return tables of the names that occur, in alphabetical order, numbered from 1."""
        words = {word for name in genres for word in style.genres(name)}
        singers = {style.artist(name) for name in artists} - {""}
        return cls(
            artists={name: number for number, name in enumerate(sorted(singers), start=1)},
            genres={name: number for number, name in enumerate(sorted(words), start=1)},
            style=style,
        )

    @property
    def artist_count(self) -> int:
        """Numbers of artists, the unknown one included."""
        return max(self.artists.values(), default=0) + 1

    @property
    def genre_count(self) -> int:
        """Numbers of genres, the unknown one included."""
        return max(self.genres.values(), default=0) + 1

    def artist(self, name: str, *, unknown: bool = False) -> int:
        """Return the number of an artist; nothing said is unknown.

        Args:
            name: as people write it.
            unknown: go on with number 0 where the name is not known.

        Raises:
            ZooError: the name is not known; the nearest ones are said.
        """
        if not name.strip():
            return UNKNOWN
        return _number("artist", name, self.style.artist(name), self.artists, unknown)

    def genre(self, name: str, slots: int, *, unknown: bool = False) -> list[int]:
        """Return the numbers of a genre (or of its words), at most ``slots``; see ``artist``."""
        words = self.style.genres(name)
        if len(words) > slots:
            raise ZooError(f"genre: '{name[:60]}' has {len(words)} words, and this model is told at most {slots}")
        if not words and name.strip():
            return [_number("genre", name, "", self.genres, unknown)]
        return [_number("genre", word, word, self.genres, unknown) for word in words]


def _number(kind: str, said: str, name: str, table: Mapping[str, int], unknown: bool) -> int:
    if name in table:
        return table[name]
    if unknown:
        return UNKNOWN
    if not table:
        raise ZooError(
            f"unknown {kind} '{said[:60]}': this model comes without names; put the table of its numbers "
            f"(v2_{kind}_ids.txt, or v3's) beside its weights. unknown=ok goes on without"
        )
    if not name:
        raise ZooError(
            f"unknown {kind} '{said[:60]}': this model's names are made of Latin letters and digits; write it in "
            "these. unknown=ok goes on without"
        )
    raise ZooError(f"unknown {kind} '{said[:60]}'{suggest(name, table, nearest=3)}; unknown=ok goes on without")


def _table(path: Path) -> dict[str, int]:
    try:
        if path.stat().st_size > LONGEST:
            raise ZooError(f"{path} is longer than any table of names; give a file of lines NAME;NUMBER")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise ZooError(f"{path} cannot be read: {reason}; give a file of lines NAME;NUMBER") from None
    table: dict[str, int] = {}
    for row, line in enumerate(lines, start=1):
        name, separator, number = line.strip().rpartition(";")
        if not line.strip():
            continue
        if not separator or not re.fullmatch(r"\d{1,9}", number):
            raise ZooError(f"{path}, line {row}: '{line.strip()[:60]}' is not NAME;NUMBER")
        table[name.lower()] = int(number)
    if not table:
        raise ZooError(f"{path} names nobody; give a file of lines NAME;NUMBER")
    return table
