"""Which lyric is sung when, where positions are rotary and heads share keys: the weights that attention itself uses."""

from __future__ import annotations

import pytest
import torch

from zoo.errors import ZooError
from zoo.music.alignment import alignment
from zoo.music.config import Alignment, Labels, PrefixedLyrics, PriorConfig
from zoo.music.prior import Prior
from zoo.network import Conditioning
from zoo.transformer.config import TransformerConfig
from zoo.transformer.position import NoPositions, Rotary

LYRICS = 5


def config(positions: Rotary | NoPositions, place: Alignment) -> PriorConfig:
    return PriorConfig(
        transformer=TransformerConfig(
            vocabulary=17, context=8 + LYRICS, width=16, depth=2, heads=4, key_value_heads=2, positions=positions
        ),
        labels=Labels(artists=2, genres=2),
        lyrics=PrefixedLyrics(ids=6, length=LYRICS, characters="abcde", alignment=place),
    )


@pytest.mark.parametrize("head", [0, 3])
def test_turned_queries_and_shared_keys(head: int) -> None:
    torch.manual_seed(0)
    made = Prior(config(Rotary(), Alignment(layer=0, head=head))).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.5)
    told = Conditioning(labels=torch.tensor([[0, 0, 0, 1, 1]]), source=torch.tensor([[1, 2, 3, 4, 5]]))
    ids = torch.randint(6, 17, (1, 8))
    weights = alignment(made, ids, told)
    assert weights.shape == (1, 8, LYRICS)

    attention = made.transformer.block(0).attention
    seen: dict[str, torch.Tensor] = {}
    attention.input.register_forward_hook(lambda module, inputs, output: seen.__setitem__("packed", output))
    made(ids, conditioning=told)
    packed = seen["packed"][0].reshape(LYRICS + 8, 8, 4)  # four queries, two keys, two values
    query, key = packed[:, head], packed[:, 4 + head // 2]
    half = torch.tensor([1.0, 10_000.0**-0.5])
    angle = torch.arange(LYRICS + 8)[:, None] * half
    turn = torch.polar(torch.ones_like(angle), angle)
    turned = [torch.complex(one[:, :2].contiguous(), one[:, 2:].contiguous()) * turn for one in (query, key)]
    scores = torch.einsum("qd,kd->qk", turned[0], turned[1].conj()).real / 2
    wanted = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf).softmax(-1)
    torch.testing.assert_close(weights[0], wanted[LYRICS:, :LYRICS], atol=1e-5, rtol=1e-4)


def test_a_layer_that_is_not_there() -> None:
    with pytest.raises(ZooError, match="head 9 of layer 0 does not attend to lyrics"):
        config(NoPositions(), Alignment(layer=0, head=9))
    assert config(NoPositions(), Alignment(layer=1, head=0)).depth == 2
