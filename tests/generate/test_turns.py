"""Ids of several codebooks take turns when they are drawn."""

from __future__ import annotations

import math

import pytest
import torch

from zoo.generate.logits import InTurn


@pytest.mark.parametrize(("last", "allowed"), [(0, {3, 4, 5}), (2, {3, 4, 5}), (4, {6, 7, 8}), (8, {0, 1, 2})])
def test_the_next_kind_follows(last: int, allowed: set[int]) -> None:
    logits = torch.randn(2, 9)
    kept = InTurn(kinds=3, size=3)(logits, torch.tensor([[1, last], [last, 1]]))
    assert {int(index) for index in (kept[0] > -math.inf).nonzero()} == allowed
    assert {int(index) for index in (kept[1] > -math.inf).nonzero()} == {3, 4, 5}
    assert torch.equal(kept[0][kept[0] > -math.inf], logits[0][kept[0] > -math.inf])
    assert logits.isfinite().all()


def test_ids_beyond_the_kinds_are_never_in_turn() -> None:
    kept = InTurn(kinds=2, size=3)(torch.zeros(1, 8), torch.tensor([[5]]))
    assert (kept[0] > -math.inf).tolist() == [True] * 3 + [False] * 5
