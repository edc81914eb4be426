"""What a prior is told, and where: labels in the place of the first id, or at every id."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from zoo.music.config import Above, Labels, PriorConfig, Timing
from zoo.music.prior import Prior
from zoo.network import Conditioning
from zoo.transformer.config import TransformerConfig

TOLD = torch.tensor([[800, 0, 8, 1, 1]])


def prior(*, everywhere: bool, timing: Timing | None, above: bool) -> Prior:
    torch.manual_seed(0)
    config = PriorConfig(
        transformer=TransformerConfig(vocabulary=7, context=8, width=16, depth=2, heads=2, condition_at_output=True),
        labels=Labels(artists=3, genres=2, timing=timing, everywhere=everywhere),
        above=Above(codes=5, width=4, depth=1, ups=1) if above else None,
    )
    network = Prior(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return network


def told(network: Prior) -> Conditioning:
    return Conditioning(labels=TOLD, above=torch.tensor([[4, 0, 2, 1]]) if network.above else None)


@pytest.mark.parametrize("timing", [None, Timing(bins=4, rate=100, shortest=1, longest=20)])
@pytest.mark.parametrize("above", [False, True])
def test_labels_everywhere_are_added_to_all_that_an_id_is_told(timing: Timing | None, above: bool) -> None:
    everywhere, once = (prior(everywhere=value, timing=timing, above=above) for value in (True, False))
    assert everywhere.state_dict().keys() == once.state_dict().keys()
    embedded, before = (network.prepare(told(network)) for network in (everywhere, once))
    assert embedded.start is not None
    assert before.start is not None
    torch.testing.assert_close(embedded.start, before.start)
    rest = torch.zeros(1, 8, 16) if before.added is None else before.added
    torch.testing.assert_close(embedded.added, rest + before.start[:, None])
    ids = torch.tensor([[everywhere.start_id, 3, 1, 2, 0, 4, 5, 6]])
    by_hand = once(ids, conditioning=dataclasses.replace(before, added=rest + before.start[:, None]))
    torch.testing.assert_close(everywhere(ids, conditioning=told(everywhere)), by_hand)


@pytest.mark.parametrize("above", [False, True])
def test_step_by_step_they_are_told_the_same(above: bool) -> None:
    network = prior(everywhere=True, timing=None, above=above)
    ids = torch.tensor([[network.start_id, 3, 1, 2, 0, 4, 5, 6]])
    with torch.no_grad():
        whole, embedded = network(ids, conditioning=told(network)), network.prepare(told(network))
        cache = network.new_cache(1)
        steps = [network(ids[:, [place]], conditioning=embedded, cache=cache) for place in range(8)]
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, atol=1e-5, rtol=1e-5)
