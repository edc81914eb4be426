"""Networks for tests: one whose logits are a plain function of its whole window, and small real ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zoo.network import Cache, Conditioning

Logits = Callable[[list[int]], Tensor]


class ListCache:
    """Remembers the ids themselves."""

    def __init__(self, rows: list[list[int]], capacity: int) -> None:
        self.rows = rows
        self.capacity = capacity

    @property
    def lengths(self) -> Tensor:
        return torch.tensor([len(row) for row in self.rows], dtype=torch.int64)

    def select(self, rows: Tensor) -> ListCache:
        return ListCache([list(self.rows[row]) for row in rows.tolist()], self.capacity)

    def assign(self, rows: Tensor, other: Cache) -> None:
        assert isinstance(other, ListCache)
        assert other.capacity == self.capacity
        for row, ids in zip(rows.tolist(), other.rows, strict=True):
            self.rows[row] = list(ids)


class FunctionNetwork:
    """Logits are ``function(window)``; reading too much for the context or the cache is an error. Counts ids read."""

    def __init__(self, function: Logits, vocabulary: int, context: int) -> None:
        self.function = function
        self.vocabulary = self.output_vocabulary = vocabulary
        self.context = context
        self.ids_read = 0
        self.calls = 0

    def hidden(
        self,
        ids: Tensor,
        *,
        lengths: Tensor | None = None,
        conditioning: Conditioning | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        batch, time = ids.shape
        known = ListCache([[] for _ in range(batch)], self.context) if cache is None else cache
        assert isinstance(known, ListCache)
        assert len(known.rows) == batch
        hidden = torch.full((batch, time, self.vocabulary), float("nan"))
        counts = [time] * batch if lengths is None else lengths.tolist()
        self.calls += 1
        self.ids_read += sum(counts)
        for row, count in enumerate(counts):
            for column in range(count):
                known.rows[row].append(int(ids[row, column]))
                assert len(known.rows[row]) <= min(self.context, known.capacity), "read beyond the context"
                hidden[row, column] = self.function(known.rows[row])
        return hidden

    def head(self, hidden: Tensor) -> Tensor:
        return hidden

    def __call__(
        self,
        ids: Tensor,
        *,
        lengths: Tensor | None = None,
        conditioning: Conditioning | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        return self.hidden(ids, lengths=lengths, conditioning=conditioning, cache=cache)

    def hidden_states(
        self, ids: Tensor, *, lengths: Tensor | None = None, conditioning: Conditioning | None = None
    ) -> tuple[Tensor, ...]:
        return (self.hidden(ids, lengths=lengths),)

    def prepare(self, conditioning: Conditioning | None) -> Conditioning | None:
        return conditioning

    def new_cache(self, batch: int, capacity: int | None = None) -> ListCache:
        return ListCache([[] for _ in range(batch)], self.context if capacity is None else capacity)


def hashing(vocabulary: int, scale: float = 2.0) -> Logits:
    """Return logits that depend on every id of the window and on its length."""

    def logits(window: list[int]) -> Tensor:
        generator = torch.Generator().manual_seed(hash(tuple(window)) % (1 << 62))
        return torch.randn(vocabulary, generator=generator) * scale

    return logits


def constant(values: list[float]) -> Logits:
    """Return the same logits for every window."""
    return lambda window: torch.tensor(values)
