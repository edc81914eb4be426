"""How the residual codes of a step stand in one row of ids, and back.

A codec with residual codebooks gives every step one code of each book: codes (steps, books). A sequence model of the
ordinary kind wants one row of ids. Books have ranges of their own, of equal size, and take turns, so that an id says
its book, and the next id's book is the next one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from einops import rearrange
from torch import Tensor

from zoo.errors import ZooError


class Layout(ABC):
    """Codes (steps, books) to ids and back.

    Args:
        books: codebooks of a step.
        size: codes of each book.

    Attributes:
        span: ids that each book has; book k has those in [k * span, (k + 1) * span).
    """

    span: int

    def __init__(self, *, books: int, size: int) -> None:
        self.books, self.size = books, size

    @property
    def vocabulary_size(self) -> int:
        """Ids of all books."""
        return self.books * self.span

    @abstractmethod
    def ids(self, codes: Tensor) -> Tensor:
        """Return ids (time,) of codes (steps, books), both int64."""

    @abstractmethod
    def codes(self, ids: Tensor) -> Tensor:
        """Return codes (steps, books) of ids (time,), both int64; steps that are not complete are left out.

        Raises:
            ZooError: an id stands where it is another book's turn.
        """

    @abstractmethod
    def count(self, steps: int) -> int:
        """Return how many ids so many steps have."""

    @property
    def _offsets(self) -> Tensor:
        return torch.arange(self.books) * self.span

    def _rows(self, ids: Tensor) -> Tensor:
        """Return what ids say within their books, (rows, books), checked; a row that is cut short is left out."""
        whole = ids[: len(ids) // self.books * self.books]
        rows = rearrange(whole, "(row book) -> row book", book=self.books) - self._offsets
        wrong = ((rows < 0) | (rows >= self.span)).flatten().nonzero()
        if len(wrong):
            place = int(wrong[0])
            raise ZooError(
                f"id {int(ids[place])} at position {place} is of codebook {int(ids[place]) // self.span}, and there "
                f"stands one of codebook {place % self.books}"
            )
        return rows


class Flattened(Layout):
    """Step after step, each its books from the coarsest to the finest: id = book * size + code.

    With two books: a0 b0 a1 b1 a2 b2.
    """

    def __init__(self, *, books: int, size: int) -> None:
        super().__init__(books=books, size=size)
        self.span = size

    def ids(self, codes: Tensor) -> Tensor:
        """Return ids (steps * books,) of codes (steps, books)."""
        return rearrange(codes + self._offsets, "step book -> (step book)")

    def codes(self, ids: Tensor) -> Tensor:
        """Return codes (steps, books) of ids (time,); a step that is cut short is left out."""
        return self._rows(ids)

    def count(self, steps: int) -> int:
        """Return how many ids so many steps have."""
        return steps * self.books


class Delayed(Layout):
    """Book k is k steps late, as in MusicGen (Copet et al. 2023, section 2.2, "delay"), written row after row.

    A row holds the code of step r of book 0, of step r - 1 of book 1, and so on: when the finer codes of a step are
    predicted, the coarser codes of the steps after it are known. What lies before the first step or after the last one
    is empty, and each book has an id for that: id = book * (size + 1) + code, where code = size is empty. With two
    books and three steps, - for empty: a0 -  a1 b0  a2 b1  -  b2.
    """

    def __init__(self, *, books: int, size: int) -> None:
        super().__init__(books=books, size=size)
        self.span = size + 1

    def ids(self, codes: Tensor) -> Tensor:
        """Return ids ((steps + books - 1) * books,) of codes (steps, books); no steps give no ids."""
        steps = len(codes)
        if not steps:
            return torch.empty(0, dtype=torch.int64)
        rows = torch.full((steps + self.books - 1, self.books), self.size, dtype=torch.int64)
        for book in range(self.books):
            rows[book : book + steps, book] = codes[:, book]
        return rearrange(rows + self._offsets, "row book -> (row book)")

    def codes(self, ids: Tensor) -> Tensor:
        """Return codes (steps, books) of ids (time,).

        A step is complete where each of its codes is there and none of them empty; steps after the first one that is
        not are left out, so that ids that end anywhere give what can be heard of them.
        """
        rows = self._rows(ids)
        steps = max(len(rows) - self.books + 1, 0)
        late = [rows[book : book + steps, book] for book in range(self.books)]
        codes = torch.stack(late, dim=1)
        broken = (codes == self.size).any(dim=1).nonzero()
        return codes[: int(broken[0])] if len(broken) else codes

    def count(self, steps: int) -> int:
        """Return how many ids so many steps have."""
        return (steps + self.books - 1) * self.books if steps else 0
