"""What users see when something is wrong: one exception, one line, and a way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ZooError(ValueError):
    """Bad input: one line that names the file, field or limit, and how to mend it. The command line exits with 2."""


def suggest(name: str, options: Iterable[str], *, limit: int = 12) -> str:
    """Return `` did you mean 'x'?`` for a near miss of ``name``, else the choices, else nothing.

    The text starts with ``; `` so that it can be appended to any message.
    """
    known = list(options)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if not near:  # a path's last part is often right when its folder is not: `shakespear` for `text/shakespeare_char`
        tails = {option.rsplit("/", 1)[-1]: option for option in known}
        near = [tails[match] for match in difflib.get_close_matches(name.rsplit("/", 1)[-1], tails, n=1, cutoff=0.6)]
    if near:
        return f"; did you mean '{near[0]}'?"
    if known and len(known) <= limit:
        return f"; choose one of: {', '.join(known)}"
    return ""
