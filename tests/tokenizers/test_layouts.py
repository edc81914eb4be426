"""Residual codes in a row of ids: what stands where, and that nothing is lost."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import ZooError
from zoo.tokenizers.audio.layouts import Delayed, Flattened, Layout

LAYOUTS = (Flattened, Delayed)


@st.composite
def coded(draw: st.DrawFn) -> tuple[int, int, torch.Tensor]:
    books, size, steps = draw(st.integers(1, 6)), draw(st.integers(1, 9)), draw(st.integers(0, 12))
    codes = draw(st.lists(st.integers(0, size - 1), min_size=books * steps, max_size=books * steps))
    return books, size, torch.tensor(codes, dtype=torch.int64).reshape(steps, books)


@pytest.mark.parametrize("kind", LAYOUTS)
@given(coded())
def test_codes_come_back(kind: type[Layout], drawn: tuple[int, int, torch.Tensor]) -> None:
    books, size, codes = drawn
    layout = kind(books=books, size=size)
    ids = layout.ids(codes)
    assert ids.dtype == torch.int64
    assert len(ids) == layout.count(len(codes))
    assert torch.equal(layout.codes(ids), codes)
    assert bool(((ids >= 0) & (ids < layout.vocabulary_size)).all())
    # Books take turns, whatever the layout.
    assert torch.equal(ids // layout.span, torch.arange(len(ids)) % books)


@pytest.mark.parametrize("kind", LAYOUTS)
@given(coded(), st.integers(0, 100))
def test_a_beginning_gives_the_first_steps(kind: type[Layout], drawn: tuple[int, int, torch.Tensor], cut: int) -> None:
    books, size, codes = drawn
    layout = kind(books=books, size=size)
    ids = layout.ids(codes)[:cut]
    rows = len(ids) // books
    steps = rows if kind is Flattened else max(rows - books + 1, 0)
    assert torch.equal(layout.codes(ids), codes[:steps])


def test_what_stands_where() -> None:
    codes = torch.tensor([[1, 2], [3, 4], [5, 6]])
    assert Flattened(books=2, size=10).ids(codes).tolist() == [1, 12, 3, 14, 5, 16]
    assert Flattened(books=2, size=10).vocabulary_size == 20
    # MusicGen's pattern: the second book is a step late; 10 and 21 are empty.
    assert Delayed(books=2, size=10).ids(codes).tolist() == [1, 21, 3, 13, 5, 15, 10, 17]
    assert Delayed(books=2, size=10).vocabulary_size == 22
    assert Delayed(books=1, size=10).ids(codes[:, :1]).tolist() == [1, 3, 5]


def test_an_empty_place_ends_the_sound() -> None:
    layout = Delayed(books=2, size=10)
    ids = layout.ids(torch.tensor([[1, 2], [3, 4], [5, 6]]))
    ids[4] = 10  # the coarse code of the last step
    assert layout.codes(ids).tolist() == [[1, 2], [3, 4]]


def test_ids_of_another_book() -> None:
    with pytest.raises(ZooError, match="id 13 at position 2 is of codebook 1, and there stands one of codebook 0"):
        Flattened(books=2, size=10).codes(torch.tensor([1, 12, 13, 14]))
