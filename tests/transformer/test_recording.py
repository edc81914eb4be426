"""The step that a GPU records, taken without being recorded: the numbers of the other ways, and none read back."""

from __future__ import annotations

import dataclasses
from typing import cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from zoo.architecture import outline
from zoo.music.prior import Prior
from zoo.network import Conditioning
from zoo.transformer.config import TransformerConfig
from zoo.transformer.model import Transformer
from zoo.transformer.norm import RMSNorm
from zoo.transformer.patterns import AnyPattern, Banded, Block, Column, Cross, Dense, Pattern, Prefix, PreviousBlock
from zoo.transformer.position import Rotary
from zoo.transformer.recording import Reach, Recording
from zoo.transformer.route import Call, Step
from zoo.weights.jukebox_prior import RELEASED, released

CONFIG = TransformerConfig(vocabulary=19, context=24, width=32, depth=3, heads=4)
EACH: tuple[Pattern, ...] = (
    Dense(), Banded(window=5), Block(size=6), Column(size=6), PreviousBlock(size=6), Prefix(length=7),
)  # fmt: skip


def built(config: TransformerConfig) -> Transformer:
    torch.manual_seed(3)
    model = Transformer(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model


def stepped(model: Transformer, ids: Tensor, prompt: int, told: Conditioning | None, recording: bool) -> Tensor:
    """Return logits (batch, time, vocabulary): of a prompt in one piece, then one id at a time."""
    cache = model.new_cache(len(ids), ids.shape[1])
    parts = [model(ids[:, :prompt], cache=cache, conditioning=told)]
    if recording:
        x = torch.empty(len(ids), model.config.width, dtype=parts[0].dtype)
        cache.plan = Recording(model.layers(), cache.layers, model.rotation, x)
    parts += [model(ids[:, at : at + 1], cache=cache, conditioning=told) for at in range(prompt, ids.shape[1])]
    assert isinstance(cache.plan, Recording) == recording
    return torch.cat(parts, dim=1)


@pytest.mark.parametrize("patterns", [*((pattern,) for pattern in EACH), EACH, (Dense(), Cross())])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_the_same_numbers_as_the_plan(patterns: tuple[AnyPattern, ...], dtype: torch.dtype) -> None:
    crossed = Cross() in patterns
    config = dataclasses.replace(CONFIG, patterns=patterns, memory_width=8 if crossed else None)
    model = built(config).to(dtype)
    told = Conditioning(memory=torch.randn(2, 5, 8).to(dtype), memory_lengths=torch.tensor([5, 2])) if crossed else None
    for time, prompt in ((24, 1), (24, 8), (20, 13), (4, 1)):
        ids = torch.randint(0, 19, (2, time))
        expected = stepped(model, ids, prompt, told, recording=False).float()
        got = stepped(model, ids, prompt, told, recording=True).float()
        limit = 1e-5 if dtype is torch.float32 else 4e-2
        assert (got - expected).abs().max() <= limit * expected.abs().max()


@torch.no_grad()
def test_rotary_positions_and_shared_keys() -> None:
    config = dataclasses.replace(CONFIG, positions=Rotary(), key_value_heads=2, norm=RMSNorm(), patterns=EACH)
    model, ids = built(config), torch.randint(0, 19, (3, 24))
    torch.testing.assert_close(stepped(model, ids, 2, None, True), model(ids), atol=1e-4, rtol=1e-4)


@given(st.sampled_from(EACH), st.integers(1, 24), st.data())
def test_what_is_read_is_what_is_seen(pattern: Pattern, capacity: int, data: st.DataObject) -> None:
    """Slots and mask name every position that ``sees`` names, once, and no other; so does ``some``."""
    position = data.draw(st.integers(0, capacity - 1))
    size = pattern.slots(capacity)
    reach = Reach.of(pattern, torch.tensor([position]), torch.zeros(1, 1, size, 2))
    slots = torch.arange(size) if reach.slots is None else reach.slots
    seen = slots[reach.mask[0, 0] == 0]
    held = pattern.held(torch.tensor(position), seen)
    past = torch.arange(position + 1)
    assert sorted(held.tolist()) == past[pattern.sees(torch.tensor(position), past)].tolist()
    assert (1.0 if reach.some is None else float(reach.some)) == float(len(seen) > 0)
    assert (reach.kept is None or bool(reach.kept)) == (int(pattern.slot(torch.tensor(position))) < size)


@torch.no_grad()
def test_changed_weights_are_seen_and_moved_ones_too() -> None:
    model, ids = built(CONFIG), torch.randint(0, 19, (1, 4))
    cache = model.new_cache(1)
    model(ids[:, :1], cache=cache)
    cache.plan = first = Recording(model.layers(), cache.layers, None, torch.empty(1, 32))
    for parameter in model.blocks.parameters():
        parameter.mul_(0.0)
    changed = model(ids[:, 1:2], cache=cache)
    assert cache.plan is first
    embedded = model.embedding(ids[:, 1:2], torch.tensor([1]), None)  # nothing but the embedding is left
    torch.testing.assert_close(changed, model.head(model.final_norm(embedded)))
    for parameter in model.blocks.parameters():
        parameter.data = parameter.data.clone()
    assert not first.holds()


@pytest.mark.parametrize("name", RELEASED)
@torch.no_grad()
def test_no_number_is_read_back(name: str) -> None:
    """On the meta device there are none: whatever the program wanted to know would raise, as in a GPU's recording."""
    prior = outline(released(name))
    assert isinstance(prior, Prior)
    model = cast(Transformer, prior.transformer.to(torch.bfloat16).eval())
    cache, like = model.new_cache(2), next(model.parameters())
    memory, x = like.new_empty(2, 512, model.config.width), like.new_empty(2, model.config.width)
    recording = Recording(model.layers(), cache.layers, model.rotation, x)
    call = Call(
        route=Step(torch.zeros(2, 1, dtype=torch.int64), cache),
        angles=None,
        conditioning=Conditioning(memory=memory),
    )
    assert recording.step(x, call).shape == (2, model.config.width)
