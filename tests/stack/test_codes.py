"""Codes as people give them: which pieces, which levels, whose ids."""

from __future__ import annotations

import pytest
import torch

from tests.stack.parts import HOPS, prior
from zoo.errors import ZooError
from zoo.stack.codes import checked_codes
from zoo.stack.plan import Tier


def tier(level: int) -> Tier:
    network = prior(top=level == 2)
    return Tier(level=level, hop=HOPS[level], config=network.config, load=lambda: network)


TIERS = (tier(2), tier(1))


def test_pieces_are_chosen_before_all_are_cut_to_the_shortest() -> None:
    rows = torch.arange(12).reshape(3, 4)
    rows[1, 1:] = -1
    assert torch.equal(checked_codes({2: rows}, TIERS)[2], rows[:, :1])
    assert torch.equal(checked_codes({2: rows}, TIERS, (2, 0))[2], rows[[2, 0]])
    assert checked_codes({2: rows}, TIERS, (1,))[2].shape == (1, 1)
    with pytest.raises(ZooError, match=r"^pieces: 3 is not one of the 3 of level_2, counted from 0$"):
        checked_codes({"level_2": rows}, TIERS, (0, 3))


def test_codes_of_other_levels_are_left_out() -> None:
    rows = torch.arange(8).reshape(2, 4)
    assert set(checked_codes({0: rows, 1: rows, 2: rows}, TIERS)) == {2, 1}
    with pytest.raises(ZooError, match=r"^codes: there are none of level_2, level_1$"):
        checked_codes({"level_0": rows}, TIERS)
    with pytest.raises(ZooError, match="codes: 'level_top' is no level with a prior; there are level_2, level_1"):
        checked_codes({"level_top": rows}, TIERS)
    with pytest.raises(
        ZooError, match="these are ids of several files, one after another; take one: zoo tokenize FILE"
    ):
        checked_codes({"level_1": rows[0], "level_1_offsets": torch.tensor([0, 2, 4])}, TIERS)
