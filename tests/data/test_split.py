"""The contract's held-out rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.data.split import own_parts, require_both, split_count, split_names, train_bytes
from zoo.errors import ZooError


def test_last_tenth_of_the_bytes() -> None:
    assert train_bytes(1_115_394, 0.1) == 1_003_854  # nanoGPT's split of tiny Shakespeare
    assert [train_bytes(total, 0.1) for total in (10, 30, 70, 100)] == [9, 27, 63, 90]


@given(st.integers(0, 10**12))
def test_a_tenth_is_exact_at_every_size(total: int) -> None:
    assert train_bytes(total, 0.1) == total * 9 // 10


def test_every_eleventh_file() -> None:
    train, held_out = split_names([f"{index:03d}.txt" for index in range(40)])
    assert list(held_out) == [6, 17, 28, 39]
    assert sorted([*train, *held_out]) == list(range(40))


@given(st.integers(0, 500))
def test_parts_are_disjoint_and_complete(count: int) -> None:
    train, held_out = split_count(count)
    assert sorted([*train, *held_out]) == list(range(count))
    assert all(index % 11 == 6 for index in held_out)


def test_a_data_set_keeps_its_own_parts() -> None:
    assert own_parts(["train/a.txt", "train/b.txt", "valid/c.txt"]) == ([0, 1], [2])
    assert own_parts(["Test.csv", "Train.csv"]) == ([1], [0])
    assert own_parts(["test.csv", "train.csv", "valid.csv"]) == ([1], [0])
    assert own_parts(["test.txt", "valid.txt"]) is None
    assert own_parts(["trains/a.txt", "tests/b.txt"]) is None


def test_too_few_samples() -> None:
    with pytest.raises(ZooError, match="x: 6 samples are too few"):
        require_both(*split_count(6), "x")
    require_both(*split_count(7), "x")
