"""What every layer reads, pooled: before the norm of a block, after it, and in a network without norms."""

from __future__ import annotations

import pytest
import torch

from zoo.architecture import NetworkConfig, build_network
from zoo.model import Model
from zoo.recurrent import RecurrentConfig
from zoo.transformer.block import PostNorm
from zoo.transformer.config import TransformerConfig
from zoo.transformer.model import Transformer

PRE = TransformerConfig(vocabulary=11, context=9, width=8, depth=2, heads=2)
POST = TransformerConfig(vocabulary=11, context=9, width=8, depth=2, heads=2, block=PostNorm(), final_norm=False)
CELL = RecurrentConfig(vocabulary=11, context=9, embedding_width=8, width=8, depth=2)


@pytest.mark.parametrize("config", [PRE, POST, CELL])
@torch.no_grad()
def test_each_layer_s_input_behind_its_norm(config: NetworkConfig) -> None:
    torch.manual_seed(0)
    model = Model(build_network(config), None)
    ids = torch.randint(0, 11, (3, 9))
    states = list(model.hidden_states(ids))
    if config is PRE:
        assert isinstance(model.network, Transformer)
        norms = [block.attention_norm for block in model.network.layers()]
        for norm in norms:
            norm.weight.normal_()
        states = list(model.hidden_states(ids))
        states[:2] = [norm(state) for norm, state in zip(norms, states, strict=False)]
    found = model.features(ids)
    assert len(found) == len(states) == 3
    for features, state in zip(found, states, strict=True):
        assert not features.requires_grad
        torch.testing.assert_close(features, state.mean(dim=1))
