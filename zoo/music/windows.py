"""Where the windows of a level begin, when a piece is longer than one."""

from __future__ import annotations


def starts(total: int, context: int, hop: int) -> list[int]:
    """Return the first id of each window: every ``hop`` ids, the last one moved back so that it ends with the piece.

    Args:
        total: ids of the piece, at least ``context``.
        context: ids of a window.
        hop: ids from one window to the next.
    """
    found: list[int] = []
    for start in range(0, total, hop):
        if start + context >= total:
            return [*found, total - context]
        found.append(start)
    return found
