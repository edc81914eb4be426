"""Steps on a CPU go by functions made once a cache: the same numbers, whatever becomes of the weights in between."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.transformer.config import TransformerConfig
from zoo.transformer.feedforward import GatedMlp
from zoo.transformer.model import Transformer
from zoo.transformer.norm import LayerNorm, RMSNorm
from zoo.transformer.one_query import Seen, Tiles, attend
from zoo.transformer.patterns import Banded, Column, Dense, Pattern, Prefix, PreviousBlock
from zoo.transformer.position import Rotary

CONFIG = TransformerConfig(vocabulary=19, context=12, width=32, depth=2, heads=4, norm=RMSNorm(), bias=False)


def built(config: TransformerConfig = CONFIG) -> Transformer:
    torch.manual_seed(3)
    model = Transformer(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model


def stepped(model: Transformer, ids: Tensor) -> Tensor:
    """Return logits (batch, time, vocabulary), one id at a time."""
    cache = model.new_cache(len(ids))
    return torch.cat([model(ids[:, time : time + 1], cache=cache) for time in range(ids.shape[1])], dim=1)


@pytest.mark.parametrize("rows", [1, 2, 3, 33])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_any_number_of_rows(rows: int, dtype: torch.dtype) -> None:
    model = built(dataclasses.replace(CONFIG, positions=Rotary(), feedforward=GatedMlp()))
    ids = torch.randint(0, 19, (rows, 12))
    expected = model(ids)
    got = stepped(model.to(dtype), ids).float()
    assert (got - expected).abs().max() < (1e-4 if dtype is torch.float32 else 6e-2) * expected.abs().max()


@torch.no_grad()
def test_changed_weights_are_seen_at_once() -> None:
    model, ids = built(), torch.randint(0, 19, (2, 3))
    cache = model.new_cache(2)
    for time in range(2):
        model(ids[:, time : time + 1], cache=cache)
    plan = cache.plan
    for parameter in model.blocks.parameters():
        parameter.mul_(0.0)
    changed = model(ids[:, 2:], cache=cache)
    assert cache.plan is not plan
    embedded = model.embedding(ids[:, 2:], torch.tensor([2]), None)  # nothing but the embedding is left
    torch.testing.assert_close(changed, model.head(model.final_norm(embedded)))


def test_dropout_and_gradients_go_by_the_modules() -> None:
    model, ids = built(), torch.randint(0, 19, (1, 2))
    cache = model.new_cache(1)
    with torch.no_grad():
        model(ids[:, :1], cache=cache)
    model(ids[:, 1:], cache=cache).sum().backward()
    assert next(model.layers()).attention.output.weight.grad is not None
    model.train()
    with torch.no_grad():
        cache = model.new_cache(1)
        model(ids[:, :1], cache=cache)
        model(ids[:, 1:], cache=cache)
    assert cache.plan is None


@pytest.mark.parametrize("norm", [RMSNorm(eps=1e-3), LayerNorm(bias=False), LayerNorm()])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@torch.no_grad()
def test_norms_as_functions(norm: RMSNorm | LayerNorm, scale: float) -> None:
    module, x = norm.build(48), torch.randn(5, 48) * scale + scale
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    torch.testing.assert_close(module.planned()(x), module(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("query_heads", [2, 4])
@pytest.mark.parametrize(
    "pattern", [Dense(), Banded(window=70), Column(size=3), PreviousBlock(size=30), Prefix(length=9)]
)
def test_one_query_sees_what_its_pattern_lets_it(pattern: Pattern, query_heads: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    keys, values = torch.randn(2, 3, 2, 150, 8).to(dtype)
    store = torch.zeros(3, 2, pattern.slots(150), 8).to(dtype)
    kept, tiles = torch.zeros_like(store), Tiles.of(pattern, store, query_heads)
    assert (tiles is None) == (dtype is torch.float32 or query_heads == 4 or isinstance(pattern, Column))
    for position in range(150):
        seen = Seen.of(pattern, position, store.shape)
        if seen.slot is not None:
            kept[:, :, seen.slot] = values[:, :, position]
            if tiles is None:
                store[:, :, seen.slot] = keys[:, :, position]
            else:
                tiles.write(store, keys[:, :, position], seen.slot)
        if position not in (0, 1, 5, 63, 64, 65, 99, 149):
            continue
        query = torch.randn(3, query_heads, 8).to(dtype)
        visible = pattern.sees(torch.tensor(position), torch.arange(150))
        got = attend(query, store, kept, seen, tiles)
        assert got.dtype is dtype
        if not visible.any():
            assert not got.any()
            continue
        inputs = (query[:, :, None], keys[:, :, visible], values[:, :, visible])
        expected = functional.scaled_dot_product_attention(*(x.float() for x in inputs), enable_gqa=True)
        tolerance = 1e-5 if dtype is torch.float32 else 4e-2
        torch.testing.assert_close(got.float(), expected[:, :, 0].flatten(1), atol=tolerance, rtol=tolerance)


def test_tiles_notice_what_others_write() -> None:
    torch.manual_seed(0)
    store = torch.randn(2, 2, 70, 8).bfloat16()
    tiles = Tiles(store)
    store[:, :, 3] = 7.0
    tiles.write(store, torch.ones(2, 2, 8).bfloat16(), 66)
    seen, query = Seen.of(Dense(), 66, store.shape), torch.ones(4, 8).bfloat16()
    expected = store.view(4, 70, 8)[:, :67].float().sum(dim=2)
    torch.testing.assert_close(tiles.scores(query, seen).float(), expected, atol=0.1, rtol=0.02)


def test_steps_in_inference_mode() -> None:
    model, ids = built().bfloat16(), torch.randint(0, 19, (2, 4))
    with torch.no_grad():
        expected = stepped(model, ids)
    with torch.inference_mode():
        assert torch.equal(stepped(model, ids), expected)
