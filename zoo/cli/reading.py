"""What the verbs that look at models have in common: which data, how it is pooled, and how far they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from zoo.cli.terminal import say
from zoo.errors import ZooError, suggest

PoolName = Literal["mean", "first", "last"]
PAUSE = 15.0
"""Seconds between two lines about progress."""


def data_path(
    pairs: Mapping[str, str], known: Sequence[str], *, example: str
) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Return ``data.path`` to the letter, the other ``data.KEY=value`` words, and all other words.

    Args:
        pairs: of the command line.
        known: keys of ``data`` that the verb has beside path and columns.
        example: for the line that says what is missing.

    Raises:
        ZooError: no path, or a key that the verb does not have.
    """
    own = {name: text for name, text in pairs.items() if not name.startswith("data.")}
    told: dict[str, Any] = {name: text for name, text in pairs.items() if name not in own}
    if "data" in own:
        raise ZooError(f"which data? Say data.path={own['data']}")
    path = told.pop("data.path", None)
    found: dict[str, Any] = {"columns": {}}
    for name, text in told.items():
        _, first, *rest = name.split(".")
        if first == "columns" and len(rest) == 1 and rest[0]:
            found["columns"][rest[0]] = text
        elif first in known and not rest:
            found[first] = text
        else:
            choices = [f"data.{one}" for one in ("path", "columns.text", "columns.label", *known)]
            raise ZooError(f"unknown setting '{name}'{suggest(name, choices)}")
    if not path:
        raise ZooError(f"which data? Say data.path=PATH, for example: {example}")
    return path, found, own


def columns_of(told: Mapping[str, Any]) -> dict[str, str]:
    """Return the renaming of columns among what ``data_path`` found.

    Raises:
        ZooError: a column that tables of texts do not have.
    """
    from zoo.data.read_table import check_columns

    columns: dict[str, str] = told["columns"]
    check_columns(columns)
    return columns


def said_progress(what: str, *, quiet: bool) -> Callable[[int, int], None]:
    """Return what says now and then how far something is, ``120 of 500 samples read``; of 0 if nobody knows."""
    last = time.monotonic()

    def told(done: int, total: int) -> None:
        nonlocal last
        if not quiet and done != total and time.monotonic() - last > PAUSE:
            last = time.monotonic()
            say(f"{done:,} of {total:,} {what}" if total else f"{done:,} {what}")

    return told
