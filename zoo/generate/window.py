"""The ids that each row of a batch has, and the part of them that its network may read.

A row's window is at most ``context`` ids. A full window still predicts one more id; once that is appended, the oldest
half (``context // 2`` ids) is dropped and the rest is read afresh from position 0, with and without a cache alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from zoo.network import Conditioning


class Windows:
    """The ids of every row, and the part of them that the network may read.

    Rows end in the same column: prompts stand at the right edge of the first columns (what is left of them is never
    read), and new ids go into one column for all rows, so that appending costs the same for any number of rows.
    """

    def __init__(self, prompts: Sequence[Tensor], room: int, context: int, device: torch.device) -> None:
        """Take ``prompts`` and leave ``room`` columns for new ids."""
        self.context = context
        self.end = max(map(len, prompts), default=0)
        self.begins = torch.tensor([self.end - len(prompt) for prompt in prompts], dtype=torch.int64)
        self.firsts = self.begins.clone()
        self.capacity = min(context, self.end + room)
        # Filled up on the left with each row's own first id, so that `seen` holds nothing that a row has not.
        rows = [functional.pad(prompt, (self.end - len(prompt), 0), value=int(prompt[0])) for prompt in prompts]
        self._ids = torch.stack(rows).to(device) if rows else torch.empty(0, 0, dtype=torch.int64, device=device)
        self._earliest = int(self.begins.min()) if rows else 0

    @property
    def seen(self) -> Tensor:
        """All ids so far, (rows, time), filled up on the left with each row's own first id."""
        return self._ids[:, : self.end]

    def append(self, ids: Tensor) -> None:
        """Add one id (rows,) to every row."""
        if self.end == self._ids.shape[1]:
            self._ids = functional.pad(self._ids, (0, max(self.end, 64)))
        self._ids[:, self.end] = ids
        self.end += 1

    def slide(self) -> Tensor | None:
        """Drop the older half of every window longer than the context; return the rows (int64) concerned, if any."""
        if self.end - self._earliest <= self.context:
            return None
        rows = (self.end - self.begins > self.context).nonzero()[:, 0]
        self.begins[rows] += max(self.context // 2, 1)
        self._earliest = int(self.begins.min())
        return rows

    def select(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        self._ids = self._ids.index_select(0, rows.to(self._ids.device))
        self.begins, self.firsts = self.begins[rows], self.firsts[rows]
        self._earliest = int(self.begins.min())

    def last(self) -> Tensor:
        """Return the newest id of every row, (rows, 1)."""
        return self._ids[:, self.end - 1 : self.end]

    def read(self, rows: Tensor, end: int) -> tuple[Tensor, Tensor]:
        """Return the windows of ``rows`` up to column ``end``: ids (rows, time), right-padded, and lengths (rows,)."""
        begins = self.begins[rows]
        lengths = end - begins
        columns = begins[:, None] + torch.arange(int(lengths.max()))
        columns = columns.clamp(max=end - 1).to(self._ids.device)
        return self._ids[rows.to(self._ids.device)].gather(1, columns), lengths

    def condition(
        self, conditioning: Conditioning | None, rows: Tensor | None, begin: Tensor | int, time: int
    ) -> Conditioning | None:
        """Return what the network is told at columns ``begin`` (rows,) to ``begin + time`` of ``rows`` (None: all)."""
        if conditioning is None:
            return None
        if rows is not None and not torch.equal(rows, torch.arange(len(self.begins))):
            conditioning = select_conditioning(conditioning, rows)
        positions = (begin - (self.firsts if rows is None else self.firsts[rows]))[:, None] + torch.arange(time)
        each = ("added", "segments", "visible")  # one value a position
        given = {name: getattr(conditioning, name) for name in each}
        return replace(
            conditioning, **{name: _at(value, positions) for name, value in given.items() if value is not None}
        )


def select_conditioning(conditioning: Conditioning, rows: Tensor) -> Conditioning:
    """Return the conditioning of ``rows`` (int64, repeats allowed)."""
    fields = {name: value for name, value in vars(conditioning).items() if value is not None}
    return Conditioning(**{name: value.index_select(0, rows.to(value.device)) for name, value in fields.items()})


def _at(values: Tensor, positions: Tensor) -> Tensor:
    """Return ``values`` (rows, time, ...) at ``positions`` (rows, new time); padded positions may lie past the end."""
    positions = positions.clamp(max=values.shape[1] - 1).to(values.device)
    return values[torch.arange(len(values), device=values.device)[:, None], positions]
