"""How a network reads the windows of a batch: every window whole at every step, or each id once, into a cache."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from zoo.generate.window import Windows
from zoo.network import Cache, Conditioning, Predictor


class Reader(Protocol):
    """Gives the hidden states from which the next ids are predicted."""

    def read(self, windows: Windows, conditioning: Conditioning | None) -> Tensor:
        """Return hidden states (rows, 1, width) at each row's last id, after sliding the windows that are over-full."""

    def select(self, rows: Tensor) -> None:
        """Go on with these rows (int64, on the CPU) only."""


class PlainReader:
    """Reads every window whole, at every step."""

    def __init__(self, network: Predictor) -> None:
        self._network = network

    def read(self, windows: Windows, conditioning: Conditioning | None) -> Tensor:
        """Return the hidden states (rows, 1, width) at each row's last id."""
        windows.slide()
        rows = torch.arange(len(windows.begins))
        ids, lengths = windows.read(rows, windows.end)
        told = windows.condition(conditioning, None, windows.begins, ids.shape[1])
        hidden = self._network.hidden(ids, lengths=_ragged(lengths), conditioning=told)
        return _last(hidden, lengths)

    def select(self, rows: Tensor) -> None:
        """Nothing to do: nothing is remembered."""


class CachedReader:
    """Reads each id once, into a cache; a window that slides is read afresh."""

    def __init__(self, network: Predictor, chunk: int | None) -> None:
        self._network = network
        self._chunk = chunk
        self._cache: Cache | None = None

    def read(self, windows: Windows, conditioning: Conditioning | None) -> Tensor:
        """Return the hidden states (rows, 1, width) at each row's last id."""
        if self._cache is None:
            return self._first(windows, conditioning)
        slid = windows.slide()
        if slid is not None:
            # All but the last id, which is then read together with that of the rows that did not slide.
            fresh = self._network.new_cache(len(slid), windows.capacity)
            if int(windows.begins[slid].min()) < windows.end - 1:
                self._fill(fresh, windows, conditioning, slid, windows.end - 1)
            self._cache.assign(slid, fresh)
        told = windows.condition(conditioning, None, windows.end - 1, 1)
        return self._network.hidden(windows.last(), conditioning=told, cache=self._cache)

    def select(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        if self._cache is not None:
            self._cache = self._cache.select(rows)

    def _first(self, windows: Windows, conditioning: Conditioning | None) -> Tensor:
        every = torch.arange(len(windows.begins))
        rows, repeats = (every, every) if conditioning is not None else _unique(windows)
        cache = self._network.new_cache(len(rows), windows.capacity)
        hidden = self._fill(cache, windows, conditioning, rows, windows.end)
        if len(rows) == len(every):
            self._cache = cache
            return hidden
        self._cache = cache.select(repeats)  # many samples of a prompt: read it once
        return hidden[repeats.to(hidden.device)]

    def _fill(
        self, cache: Cache, windows: Windows, conditioning: Conditioning | None, rows: Tensor, end: int
    ) -> Tensor:
        """Read the windows of ``rows`` up to column ``end``; return hidden states (rows, 1, width) at their ends."""
        ids, lengths = windows.read(rows, end)
        size = self._chunk or ids.shape[1]
        last: Tensor | None = None
        for begin in range(0, ids.shape[1], size):
            part = ids[:, begin : begin + size]
            counts = (lengths - begin).clamp(0, part.shape[1])
            told = windows.condition(conditioning, rows, windows.begins[rows] + begin, part.shape[1])
            hidden = self._network.hidden(part, lengths=_ragged(counts, part.shape[1]), conditioning=told, cache=cache)
            ends_here = _last(hidden, counts.clamp(min=1))
            reached = (counts > 0).to(hidden.device)[:, None, None]
            last = ends_here if last is None else torch.where(reached, ends_here, last)
        assert last is not None
        return last


def _ragged(lengths: Tensor, time: int | None = None) -> Tensor | None:
    """Return ``lengths`` only if they differ from the rows' width: networks are faster without."""
    width = int(lengths.max()) if time is None else time
    return None if bool((lengths == width).all()) else lengths


def _last(hidden: Tensor, lengths: Tensor) -> Tensor:
    """Return (rows, 1, width): ``hidden`` (rows, time, width) at each row's last id."""
    rows = torch.arange(len(hidden), device=hidden.device)
    return hidden[rows, (lengths - 1).to(hidden.device)][:, None]


def _unique(windows: Windows) -> tuple[Tensor, Tensor]:
    """Return the rows with different prompts (rows,), and for every row its place among them."""
    places: dict[tuple[int, ...], int] = {}
    rows: list[int] = []
    repeats: list[int] = []
    ids = windows.seen.tolist()
    for row, begin in enumerate(windows.begins.tolist()):
        key = tuple(ids[row][begin:])
        if key not in places:
            places[key] = len(rows)
            rows.append(row)
        repeats.append(places[key])
    return torch.tensor(rows, dtype=torch.int64), torch.tensor(repeats, dtype=torch.int64)
