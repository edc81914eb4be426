"""Gaps filled against what the network says of them, one after the other and at once."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.generate.fill import fill_gaps
from zoo.generate.logits import Allow
from zoo.network import Conditioning
from zoo.transformer.config import TransformerConfig
from zoo.transformer.initial import NormalInitial
from zoo.transformer.model import Transformer
from zoo.transformer.patterns import Dense

MASK, VOCABULARY = 4, 30


@pytest.fixture
def network() -> Transformer:
    torch.manual_seed(0)
    config = TransformerConfig(
        vocabulary=VOCABULARY, context=12, width=16, depth=2, heads=2, segments=2, dropout=0.5,
        patterns=(Dense(causal=False),), initial=NormalInitial(deviation=0.5),
    )  # fmt: skip
    return Transformer(config)  # in training mode: filling switches dropout off and on again


def row(*gaps: int) -> Tensor:
    ids = torch.arange(5, 15)
    ids[list(gaps)] = MASK
    return ids


@torch.no_grad()
def said(network: Transformer, ids: Tensor, gap: int, conditioning: Conditioning | None = None) -> Tensor:
    network.eval()
    probabilities = network(ids[None], conditioning=conditioning)[0, gap].softmax(0)
    network.train()
    return probabilities


def test_at_once_every_gap_is_seen_with_the_others_open(network: Transformer) -> None:
    ids = row(2, 3, 7)
    filled, gaps = fill_gaps(network, ids, [2, 3, 7], count=4)
    assert network.training
    assert [gap.position for gap in gaps] == [2, 3, 7]
    assert torch.equal(ids, row(2, 3, 7))  # as it was
    for gap in gaps:
        values, best = said(network, ids, gap.position).topk(4)
        assert torch.equal(gap.ids, best)
        torch.testing.assert_close(gap.probabilities, values)
        assert filled[gap.position] == best[0]
    rest = [place for place in range(10) if place not in (2, 3, 7)]
    assert torch.equal(filled[rest], ids[rest])


def test_one_by_one_the_surest_gap_goes_first(network: Transformer) -> None:
    differ = 0
    for places in itertools.combinations(range(10), 3):
        ids, open_gaps, expected = row(*places), list(places), {}
        while open_gaps:
            seen = {gap: said(network, ids, gap) for gap in open_gaps}
            surest = max(seen, key=lambda gap: float(seen[gap].max()))
            expected[surest] = seen[surest]
            ids[surest] = seen[surest].argmax()
            open_gaps.remove(surest)
        filled, gaps = fill_gaps(network, row(*places), places, count=2, order="one_by_one")
        assert torch.equal(filled, ids)
        for gap in gaps:
            torch.testing.assert_close(gap.probabilities, expected[gap.position].topk(2).values)
        differ += not torch.equal(filled, fill_gaps(network, row(*places), places)[0])
    assert differ > 10


def test_conditions_reach_the_network_and_transforms_its_logits(network: Transformer) -> None:
    told = Conditioning(segments=(torch.arange(10) > 4).long()[None])
    _, (plain,) = fill_gaps(network, row(6), [6], count=VOCABULARY)
    _, (gap,) = fill_gaps(network, row(6), [6], count=99, conditioning=told)
    assert len(gap.ids) == len(set(gap.ids.tolist())) == VOCABULARY
    torch.testing.assert_close(gap.probabilities.sum(), torch.tensor(1.0))
    torch.testing.assert_close(gap.probabilities, said(network, row(6), 6, told)[gap.ids])
    assert not torch.equal(gap.probabilities, plain.probabilities)
    allowed = torch.arange(VOCABULARY) < 20
    _, (some,) = fill_gaps(network, row(6), [6], count=20, transforms=(Allow(allowed),))
    assert int(some.ids.max()) < 20
    torch.testing.assert_close(some.probabilities.sum(), torch.tensor(1.0))


def test_bad_rows(network: Transformer) -> None:
    with pytest.raises(ZooError, match=r"has 13 ids with .* more than the model's context of 12; shorten it"):
        fill_gaps(network, torch.full((13,), MASK), [0])
    torch.nn.init.constant_(network.embedding.tokens.weight, float("nan"))
    with pytest.raises(ZooError, match="logits are not finite"):
        fill_gaps(network, row(1), [1])
