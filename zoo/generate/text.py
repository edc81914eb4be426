"""Stop sequences, matched on text: they may begin in one token and end in another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from zoo.errors import ZooError


def check_stops(stop: str | Sequence[str]) -> tuple[str, ...]:
    """Return stop sequences as a tuple; one may be given bare."""
    if not isinstance(stop, Sequence):
        raise ZooError(f"stop: expected text or a list of texts, got {stop!r}")
    stops = (stop,) if isinstance(stop, str) and stop else tuple(stop)
    for entry in stops:
        if not isinstance(entry, str) or not entry:
            raise ZooError(f"stop: expected text of at least one character, got {entry!r}")
    return stops


def find_stop(text: str, stops: Sequence[str], begin: int = 0) -> int | None:
    """Return where the stop sequence starts that is complete first in ``text[begin:]`` (the longest of several)."""
    found = [(start + len(stop), start) for stop in stops if (start := text.find(stop, begin)) >= 0]
    return min(found)[1] if found else None


def cut_at_stop(text: str, stops: Sequence[str], begin: int) -> str:
    """Return ``text`` before the first stop sequence in ``text[begin:]``."""
    start = find_stop(text, stops, begin)
    return text if start is None else text[:start]


def stream_until_stop(pieces: Iterable[str], stops: Sequence[str], begin: int) -> Iterator[str]:
    """Yield ``pieces`` of a text up to the first stop sequence after its first ``begin`` characters.

    What could be the beginning of a stop sequence waits for the next piece; the pieces joined are ``cut_at_stop``.
    """
    held = ""
    for piece in pieces:
        held += piece
        start = find_stop(held, stops, max(begin, 0))
        if start is not None:
            yield from filter(None, [held[:start]])
            return
        safe = len(held) - _overlap(held[max(begin, 0) :], stops)
        if safe:
            yield held[:safe]
        held, begin = held[safe:], begin - safe
    yield from filter(None, [held])


def _overlap(text: str, stops: Sequence[str]) -> int:
    """Return the length of the longest end of ``text`` that a stop sequence begins with."""
    lengths = (size for stop in stops for size in range(1, min(len(stop), len(text) + 1)) if text.endswith(stop[:size]))
    return max(lengths, default=0)


class StopWatch:
    """Says when the text of a growing row of ids completes a stop sequence, at a constant cost per id."""

    def __init__(self, decode: Callable[[Tensor], str], prompt: Sequence[int], stops: Sequence[str]) -> None:
        """Watch what is added to ``prompt``; stop sequences inside the prompt do not count."""
        self._decode = decode
        self._stops = stops
        self._ids = list(prompt)
        self._skip = len(self._text(0)) if stops else 0
        self._begin = max(len(self._ids) - 8, 0)  # ids decode in company: a word's blank comes from its neighbour
        self._margin = max(map(len, stops), default=0) + 8

    def add(self, index: int) -> bool:
        """Take one more id; return True if the text has come to a stop."""
        if not self._stops:
            return False
        self._ids.append(index)
        tail = self._text(self._begin)
        if find_stop(tail, self._stops) is not None and find_stop(self._text(0), self._stops, self._skip) is not None:
            return True
        middle = (self._begin + len(self._ids)) // 2
        if len(tail) > 4 * self._margin and len(self._text(middle)) >= self._margin:
            self._begin = middle
        return False

    def _text(self, begin: int) -> str:
        return self._decode(torch.tensor(self._ids[begin:], dtype=torch.int64))
