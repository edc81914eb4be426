"""Runs that two texts share, beside a search that tries all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.evaluate import copies
from zoo.evaluate.copies import distinct, longest_copies

TEXT = st.lists(st.integers(0, 2), max_size=40)


def longest(sample: list[int], known: list[int]) -> int:
    runs = {tuple(known[begin:end]) for begin in range(len(known)) for end in range(begin + 1, len(known) + 1)}
    lengths = [
        end - begin
        for begin in range(len(sample))
        for end in range(begin + 1, len(sample) + 1)
        if tuple(sample[begin:end]) in runs
    ]
    return max(lengths, default=0)


@settings(deadline=None, max_examples=60)
@given(samples=st.lists(TEXT, max_size=4), known=TEXT, block=st.sampled_from([3, 1 << 21]))
def test_longest_runs_are_those_of_a_full_search(samples: list[list[int]], known: list[int], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copies, "BLOCK", block)
        found = longest_copies([np.array(sample, np.int64) for sample in samples], np.array(known, np.uint16))
    assert [length for _, length in found] == [longest(sample, known) for sample in samples]
    for sample, (begin, length) in zip(samples, found, strict=True):
        run = sample[begin : begin + length]
        assert not run or any(known[at : at + length] == run for at in range(len(known)))


def test_a_copy_is_found_in_a_long_text() -> None:
    known = np.random.default_rng(0).integers(0, 50_257, 3_000_000).astype(np.uint16)
    sample = np.random.default_rng(1).integers(0, 50_257, 128)
    sample[20:97] = known[2_097_100:2_097_177]  # over the end of a block
    assert longest_copies([sample], known) == [(20, 77)]


def test_repetition_is_counted() -> None:
    assert distinct([np.arange(10), np.arange(10)]) == 0.5
    assert distinct([np.zeros(10, np.int64)]) == pytest.approx(1 / 7)
    assert distinct([np.arange(3)]) == 0.0
