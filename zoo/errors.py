"""What users see when something is wrong: one exception, one line, and a way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ZooError(ValueError):
    """Bad input: one line that names the file, field or limit, and how to mend it. The command line exits with 2."""


def suggest(name: str, options: Iterable[str], *, limit: int = 12, nearest: int = 0) -> str:
    """Return `` did you mean 'x'?`` for a near miss of ``name``, else the choices, else nothing.

    The text starts with ``; `` so that it can be appended to any message. Small and capital letters are the same here.

    Args:
        name: what was given.
        options: what could have been meant.
        limit: most choices that are listed.
        nearest: how many of more than ``limit`` choices are named all the same, the most similar first.
    """
    choices = list(dict.fromkeys(options))
    known = {option.casefold(): option for option in reversed(choices)}  # of those that differ in capitals the first
    near = _close(name, known, 0.6)
    if not near:  # a path's last part is often right when its folder is not: `shakespear` for `text/shakespeare_char`
        tails = {option.rsplit("/", 1)[-1]: option for option in known}
        near = [tails[match] for match in _close(name.rsplit("/", 1)[-1], tails, 0.6)]
    if near:
        return f"; did you mean '{known[near[0]]}'?"
    if choices and len(choices) <= limit:
        return f"; choose one of: {', '.join(choices)}"
    similar = [known[match] for match in _close(name, known, 0.0, nearest)] if nearest else []
    return f"; of {len(choices)} these are nearest: {', '.join(similar)}" if similar else ""


def _close(name: str, options: Iterable[str], cutoff: float, count: int = 1) -> list[str]:
    return difflib.get_close_matches(name.casefold(), list(options), n=count, cutoff=cutoff)
