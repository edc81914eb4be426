"""Hidden ids, drawn one after the other by a network that sees both sides, against the definition."""

from __future__ import annotations

import pytest
import torch

from zoo.errors import ZooError
from zoo.generate.draw import Race
from zoo.generate.inpaint import draw_hidden
from zoo.generate.logits import Allow
from zoo.generate.settings import SamplingSettings
from zoo.network import Conditioning
from zoo.transformer.config import TransformerConfig
from zoo.transformer.model import Transformer
from zoo.transformer.patterns import Dense

SETTINGS = SamplingSettings(max_new_tokens=0)


@pytest.fixture(scope="module")
def network() -> Transformer:
    torch.manual_seed(0)
    made = Transformer(
        TransformerConfig(
            vocabulary=7, context=12, width=16, depth=2, heads=2, tied=False, patterns=(Dense(causal=False),)
        )
    )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made.eval()


@pytest.mark.parametrize("hidden", [[0], [3, 4, 11], list(range(12)), []])
@torch.no_grad()
def test_each_place_is_drawn_from_all_that_is_seen(network: Transformer, hidden: list[int]) -> None:
    ids = torch.arange(12) % 7
    visible = torch.ones(12, dtype=torch.bool)
    visible[hidden] = False
    drawn = draw_hidden(network, ids, visible, SETTINGS, seeds=[4, 9])
    for row, seed in zip(drawn, [4, 9], strict=True):
        race = Race([seed], torch.device("cpu"))
        known, seen = ids.clone(), visible.clone()
        for place in hidden:
            logits = network(known[None], conditioning=Conditioning(visible=seen[None]))[:, place]
            known[place], seen[place] = int(race(logits)), True
        assert torch.equal(row, known)
    alone = draw_hidden(network, ids, visible, SETTINGS, seeds=[9])
    assert torch.equal(alone[0], drawn[1])


def test_what_is_hidden_is_not_looked_at(network: Transformer) -> None:
    visible = torch.arange(12) < 6
    first, second = torch.zeros(12, dtype=torch.int64), torch.arange(12).clamp(min=5) % 7
    second[:6] = 0
    found = [draw_hidden(network, ids, visible, SETTINGS, seeds=range(3)).tolist() for ids in (first, second)]
    assert found[0] == found[1]


def test_settings_and_limits_of_ids(network: Transformer) -> None:
    ids, visible = torch.zeros(12, dtype=torch.int64), torch.arange(12) < 6
    greedy = SamplingSettings(max_new_tokens=0, temperature=0)
    likeliest = draw_hidden(network, ids, visible, greedy, seeds=[1, 2])
    assert torch.equal(likeliest[0], likeliest[1])
    few = draw_hidden(network, ids, visible, SETTINGS, seeds=range(8), transforms=[Allow(torch.arange(7) < 2)])
    assert set(few.flatten().tolist()) == {0, 1}
    with pytest.raises(ZooError, match="position 6: the model gives no probability to any id"):
        draw_hidden(network, ids, visible, SETTINGS, seeds=[0], transforms=[Allow(torch.arange(7) < 0)])
