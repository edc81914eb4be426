"""A text on its way to standard output, as it is drawn."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from zoo.cli.terminal import bold, colourful, put, visible


def write(pieces: Iterable[str], prompt: str) -> None:
    """Write a text to standard output as it comes, and end the line.

    In a terminal the prompt is bold, and control codes are shown instead of obeyed.

    Args:
        pieces: of the text, which may begin with the prompt.
        prompt: what was given.
    """
    fancy, seen = colourful(sys.stdout), sys.stdout.isatty()
    position = 0
    for piece in pieces:
        given = piece[: max(0, len(prompt) - position)]
        rest = piece[len(given) :]
        position += len(piece)
        if seen:
            given, rest = visible(given), visible(rest)
        sys.stdout.write((bold(given) if fancy and given else given) + rest)
        sys.stdout.flush()
    put()
