"""Plain text that reads well: columns, bars and a little colour where a person is looking."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Sequence
from typing import TextIO


def say(text: str = "") -> None:
    """Write a line for people (standard error)."""
    print(text, file=sys.stderr, flush=True)


def put(text: str = "") -> None:
    """Write a line of the result (standard output)."""
    print(text, flush=True)


def colourful(stream: TextIO) -> bool:
    """Return whether a person sees ``stream`` and did not ask for plain text (``NO_COLOR``)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") != "dumb"


def bold(text: str, stream: TextIO | None = None) -> str:
    """Return ``text``, in bold where ``stream`` (default: standard output) can show it."""
    return f"\x1b[1m{text}\x1b[0m" if colourful(stream or sys.stdout) else text


def dim(text: str, stream: TextIO | None = None) -> str:
    """Return ``text``, dimmed where ``stream`` (default: standard output) can show it."""
    return f"\x1b[2m{text}\x1b[0m" if colourful(stream or sys.stdout) else text


def width(limit: int = 120) -> int:
    """Return the columns to write in: the terminal's (100 if there is none), at most ``limit``."""
    return max(40, min(limit, shutil.get_terminal_size((100, 24)).columns))


def cells(text: str) -> int:
    """Return how many terminal cells ``text`` takes."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def cut(text: str, size: int) -> str:
    """Return ``text`` shortened to ``size`` cells, with an ellipsis if anything is lost."""
    if cells(text) <= size:
        return text
    while text and cells(text) > size - 1:
        text = text[:-1]
    return text.rstrip() + "…"


def visible(text: str) -> str:
    """Return ``text`` with control and format characters, which a terminal would obey, shown as escapes."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else character.encode("unicode_escape").decode()
        for character in text
    )


def one_line(text: str) -> str:
    """Return ``text`` for the inside of a line: also line ends and tabs are shown as signs."""
    return visible(text).replace("\n", "⏎").replace("\t", "⇥")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Return aligned columns under a head; at the terminal's edge the last is cut, or left out if too little fits.

    Args:
        head: column titles.
        rows: one text per column.
        right: numbers of the columns that are aligned to the right.
    """
    rows = [[one_line(cell) for cell in row] for row in rows]
    sizes = [max(cells(row[column]) for row in [head, *rows]) for column in range(len(head))]
    room = width() - sum(sizes[:-1]) - 2 * (len(head) - 1)
    if room < min(sizes[-1], 12) and len(head) > 2:
        return table(head[:-1], [row[:-1] for row in rows], right=right)
    sizes[-1] = max(8, min(sizes[-1], room))

    def line(row: Sequence[str]) -> str:
        parts = []
        for column, cell in enumerate(row):
            shown = cut(cell, sizes[column])
            gap = " " * (sizes[column] - cells(shown))
            parts.append(gap + shown if column in right else shown + gap)
        return "  ".join(parts).rstrip()

    return "\n".join([bold(line(head)), *(line(row) for row in rows)])


def columns(pairs: Sequence[tuple[str, str]], *, indent: int = 2) -> str:
    """Return ``name  meaning`` lines, the meanings aligned and wrapped."""
    left = max((cells(name) for name, _ in pairs), default=0)
    lines = []
    for name, meaning in pairs:
        wrapped = textwrap.wrap(meaning, max(20, width(100) - left - indent - 2)) or [""]
        lines.append(f"{' ' * indent}{name}{' ' * (left - cells(name) + 2)}{wrapped[0]}".rstrip())
        lines += [" " * (indent + left + 2) + rest for rest in wrapped[1:]]
    return "\n".join(lines)


def count(number: int | None) -> str:
    """Return a count for people: 85,152 or 10.65 M."""
    if number is None:
        return "-"
    for size, letter in ((10**9, "B"), (10**6, "M")):
        if number >= size:
            return f"{number / size:.2f} {letter}"
    return f"{number:,}"


def bar(fraction: float, size: int) -> str:
    """Return a bar of ``size`` cells filled to ``fraction``, in eighths of a cell."""
    eighths = round(max(0.0, min(1.0, fraction)) * size * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")
