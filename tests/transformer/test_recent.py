"""The convolution over the last ids, against one written out; how caches carry it is in test_model."""

from __future__ import annotations

import pytest
import torch

from zoo.errors import ZooError
from zoo.transformer.config import TransformerConfig
from zoo.transformer.recent import Recent


@torch.no_grad()
def test_each_vector_gets_a_linear_map_of_the_last_ones() -> None:
    torch.manual_seed(0)
    recent = Recent(3, 5)
    x = torch.randn(2, 7, 5)
    maps = recent.mix.weight.view(5, 3, 5)  # (to, place, from); the last place is the position's own
    for time in range(7):
        expected = x[:, time].clone()
        for place in range(3):
            if (source := time - 2 + place) >= 0:
                expected += x[:, source] @ maps[:, place].T
        torch.testing.assert_close(recent(x, None)[:, time], expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_sequence_in_pieces_is_the_same_sequence() -> None:
    torch.manual_seed(1)
    recent = Recent(4, 3)
    x = torch.randn(2, 9, 3)
    before, parts = torch.zeros(2, 3, 3), []
    for piece in x.split([1, 2, 5, 1], dim=1):
        parts.append(recent(piece, before))
        before = recent.kept(piece, before, None)
    torch.testing.assert_close(torch.cat(parts, dim=1), recent(x, None))


@torch.no_grad()
def test_padding_is_not_remembered() -> None:
    recent = Recent(3, 2)
    x = torch.arange(16.0).view(2, 4, 2)
    kept = recent.kept(x, torch.zeros(2, 2, 2), torch.tensor([4, 1]))
    assert torch.equal(kept[0], x[0, 2:])
    assert torch.equal(kept[1], torch.stack((torch.zeros(2), x[1, 0])))


@pytest.mark.parametrize("recent", [1, -2, 257])
def test_bad_counts(recent: int) -> None:
    with pytest.raises(ZooError, match="recent must be 0 for none or 2 to 256"):
        TransformerConfig(vocabulary=5, context=4, width=4, depth=1, heads=1, recent=recent)
