"""Which weights learn."""

from __future__ import annotations

import pytest
from torch import nn

from zoo.architecture import AnyNetwork, build_network
from zoo.errors import ZooError
from zoo.finetune.method import Full, Last, Lora
from zoo.recurrent import RecurrentConfig
from zoo.transformer.config import TransformerConfig


def network(*, tied: bool = True) -> AnyNetwork:
    return build_network(TransformerConfig(vocabulary=11, context=8, width=8, depth=3, heads=2, tied=tied))


def learning(network: nn.Module) -> set[str]:
    return {name.split(".weight")[0] for name, weight in network.named_parameters() if weight.requires_grad}


def test_full_lets_everything_learn_again() -> None:
    some = network()
    Last(blocks=1).choose(some)
    Full().choose(some)
    assert all(weight.requires_grad for weight in some.parameters())


@pytest.mark.parametrize(("tied", "after"), [(True, {"final_norm"}), (False, {"final_norm", "output"})])
def test_last_lets_the_end_learn(tied: bool, after: set[str]) -> None:
    some = network(tied=tied)
    Last(blocks=2).choose(some)
    parts = {".".join(name.split(".")[: 2 if name.startswith("blocks") else 1]) for name in learning(some)}
    assert parts == {"blocks.1", "blocks.2"} | after


def test_what_last_cannot_do() -> None:
    with pytest.raises(ZooError, match="must be at most 3"):
        Last(blocks=4).choose(network())
    with pytest.raises(ZooError, match=r"method\.blocks is at least 1"):
        Last(blocks=0)
    lstm = build_network(RecurrentConfig(vocabulary=5, context=8, embedding_width=4, width=4, depth=2))
    with pytest.raises(ZooError, match="must be at most 2"):
        Last(blocks=3).choose(lstm)
    with pytest.raises(ZooError, match="method=lora changes linear layers"):
        Lora().choose(lstm)
    Last(blocks=1).choose(lstm)
    assert {name.split("_")[0].removesuffix(".weight").removesuffix(".bias") for name in learning(lstm)} == {
        "layers.1",
        "output",
    }
