"""Steps in compiled C++ give the numbers of the modules; without a compiler, torch's operations take them."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from zoo.transformer import native
from zoo.transformer.compiled import CompiledPlan
from zoo.transformer.config import TransformerConfig
from zoo.transformer.drawing import Plan
from zoo.transformer.feedforward import ActivationName, GatedMlp, Mlp
from zoo.transformer.linear import pack_for_drawing
from zoo.transformer.model import Transformer
from zoo.transformer.norm import LayerNorm, RMSNorm
from zoo.transformer.patterns import Banded, Block, Column, Prefix, PreviousBlock
from zoo.transformer.position import Rotary

CONFIG = TransformerConfig(vocabulary=19, context=40, width=64, depth=2, heads=4)
needs_compiler = pytest.mark.skipif(native.load() is None, reason="no C++ compiler here")


@pytest.fixture
def anew() -> Iterator[None]:
    """Look for a compiler anew in this test, and after it."""
    native.load.cache_clear()
    yield
    native.load.cache_clear()


def built(config: TransformerConfig) -> Transformer:
    torch.manual_seed(3)
    model = Transformer(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


@torch.no_grad()
def stepped(model: Transformer, ids: Tensor) -> tuple[Tensor, object]:
    """Return logits (batch, time, vocabulary), one id at a time, and the plan that they came by."""
    cache = model.new_cache(len(ids))
    logits = [model(ids[:, time : time + 1], cache=cache) for time in range(ids.shape[1])]
    return torch.cat(logits, dim=1), cache.plan


CHANGES: dict[str, dict[str, Any]] = {
    "plain": {},
    "rms": {"norm": RMSNorm(eps=1e-3), "bias": False},
    "no offset": {"norm": LayerNorm(bias=False)},
    "rotary, gated, grouped": {"positions": Rotary(), "feedforward": GatedMlp(ratio=1.5), "key_value_heads": 2},
    "jukebox": {"patterns": (Block(size=8), Column(size=8), PreviousBlock(size=8)), "final_norm": False},
    "narrow heads": {"heads": 2, "attention_width_ratio": 0.5, "patterns": (Banded(window=7), Prefix(length=5))},
    "wide heads": {"heads": 1},
    **{f"{name}": {"feedforward": Mlp(activation=name, ratio=1.0)} for name in get_args(ActivationName)},
}


@needs_compiler
@pytest.mark.parametrize("rows", [1, 3, 7, 14, 16, 31])
@pytest.mark.parametrize("change", CHANGES)
def test_numbers_are_those_of_the_modules(change: str, rows: int) -> None:
    model = built(dataclasses.replace(CONFIG, **CHANGES[change]))
    ids = torch.randint(0, 19, (rows, CONFIG.context))
    with torch.no_grad():
        expected = model(ids)
    got, plan = stepped(model, ids)
    assert isinstance(plan, CompiledPlan)
    assert (got - expected).abs().max() < 2e-5 * expected.abs().max()


@needs_compiler
@pytest.mark.parametrize("rows", [1, 6])
@torch.no_grad()
def test_bfloat16_is_as_near_to_the_exact_numbers_as_the_modules(rows: int) -> None:
    model = built(CONFIG).bfloat16()
    ids = torch.randint(0, 19, (rows, CONFIG.context))
    got, plan = stepped(model, ids)
    assert isinstance(plan, CompiledPlan)
    by_modules = model(ids).float()
    exact = model.float()(ids)
    error = (got.float() - exact).square().mean()
    assert error < 1.1 * (by_modules - exact).square().mean()
    assert error.sqrt() < 1e-2 * exact.abs().max()


@needs_compiler
def test_one_thread_and_several_give_the_same_bits() -> None:
    model, ids = built(CONFIG), torch.randint(0, 19, (5, CONFIG.context))
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(stepped(model, ids)[0])
    finally:
        torch.set_num_threads(threads)
    assert (results[0] - results[1]).abs().max() < 1e-6  # torch's own products around the steps may differ
    assert (results[0] - results[2]).abs().max() < 1e-6


@needs_compiler
@torch.no_grad()
def test_weights_that_moved_are_found() -> None:
    model, ids = built(CONFIG), torch.randint(0, 19, (2, 3))
    cache = model.new_cache(2)
    for time in range(2):
        model(ids[:, time : time + 1], cache=cache)
    before = cache.plan
    for parameter in model.parameters():
        parameter.data = parameter.data * 0.5
    got = model(ids[:, 2:], cache=cache)
    assert cache.plan is not before
    fresh = cache.select(torch.arange(2))
    fresh.lengths -= 1
    torch.testing.assert_close(model(ids[:, 2:], cache=fresh), got)


@needs_compiler
def test_nothing_is_copied_for_compiled_steps() -> None:
    model = built(CONFIG)
    pack_for_drawing(model, rows=16, steps=100)
    assert all(block.feedforward.input.packed is None for block in model.layers())
    assert model.packed_output is not None
    hidden = torch.randn(16, 1, 64)
    with torch.no_grad():
        torch.testing.assert_close(model.head(hidden), hidden @ model.output_matrix.T)


@pytest.mark.usefixtures("anew")
@pytest.mark.parametrize("compiler", ["no-such-compiler", "false", "true"])
def test_without_a_compiler_torch_takes_the_steps(
    compiler: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CXX", compiler)  # missing, failing, and one that makes nothing
    monkeypatch.setenv("ZOO_HOME", str(tmp_path))
    model, ids = built(CONFIG), torch.randint(0, 19, (2, CONFIG.context))
    got, plan = stepped(model, ids)
    assert isinstance(plan, Plan)
    with torch.no_grad():
        torch.testing.assert_close(got, model(ids), atol=1e-4, rtol=1e-4)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@needs_compiler
@pytest.mark.usefixtures("anew")
def test_what_was_compiled_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOO_HOME", str(tmp_path))
    assert native.load() is not None
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1
    native.load.cache_clear()

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("compiled twice")

    monkeypatch.setattr(subprocess, "run", refuse)
    assert native.load() is not None


@pytest.mark.parametrize(
    "change", [{"heads": 16}, {"width": 40, "heads": 2}, {"patterns": (Banded(window=4),), "width": 24}]
)
def test_other_widths_are_for_torch(change: dict[str, Any]) -> None:
    model = built(dataclasses.replace(CONFIG, **change))
    assert isinstance(stepped(model, torch.randint(0, 19, (1, 4)))[1], Plan)
