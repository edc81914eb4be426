"""The encoder-decoder against one written out by hand: one row, one head, one query at a time, nothing padded."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from zoo.network import Conditioning
from zoo.transformer.config import TransformerConfig
from zoo.transformer.model import Transformer
from zoo.transformer.patterns import Cross, Dense

WIDTH, MEMORY, HEADS = 12, 8, 2
ENCODER = TransformerConfig(
    vocabulary=9, context=10, width=MEMORY, depth=2, heads=HEADS, patterns=(Dense(causal=False),)
)
CONFIG = TransformerConfig(
    vocabulary=11,
    output_vocabulary=10,
    context=8,
    width=WIDTH,
    depth=4,
    heads=HEADS,
    memory_width=MEMORY,
    patterns=(Dense(), Cross()),
    encoder=ENCODER,
)
Weights = Mapping[str, Tensor]


@pytest.fixture(scope="module")
def model() -> Transformer:
    torch.manual_seed(0)
    made = Transformer(CONFIG).eval().double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)
    return made


def normal(x: Tensor, weights: Weights, name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return (
        centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * weights[f"{name}.weight"]
        + weights[f"{name}.bias"]
    )


def linear(x: Tensor, weights: Weights, name: str) -> Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def attend(queries: Tensor, keys: Tensor, values: Tensor, *, causal: bool) -> Tensor:
    """Queries (time, width), keys and values (other time, width): head by head, query by query."""
    size = queries.shape[1] // HEADS
    rows = []
    for at, query in enumerate(queries):
        seen = at + 1 if causal else len(keys)
        parts = []
        for head in range(HEADS):
            cut = slice(head * size, (head + 1) * size)
            scores = keys[:seen, cut] @ query[cut] / math.sqrt(size)
            parts.append(torch.softmax(scores, 0) @ values[:seen, cut])
        rows.append(torch.cat(parts))
    return torch.stack(rows)


def block(x: Tensor, memory: Tensor | None, weights: Weights, name: str, *, causal: bool) -> Tensor:
    inside = normal(x, weights, f"{name}.attention_norm")
    if memory is None:
        query, key, value = linear(inside, weights, f"{name}.attention.input").chunk(3, dim=1)
    else:
        query = linear(inside, weights, f"{name}.attention.input")
        key, value = linear(memory, weights, f"{name}.attention.memory_input").chunk(2, dim=1)
    mixed = attend(query, key, value, causal=causal and memory is None)
    x = x + linear(mixed, weights, f"{name}.attention.output")
    inside = linear(normal(x, weights, f"{name}.feedforward_norm"), weights, f"{name}.feedforward.input")
    inside = 0.5 * inside * (1 + torch.tanh(math.sqrt(2 / math.pi) * (inside + 0.044715 * inside**3)))
    return x + linear(inside, weights, f"{name}.feedforward.output")


def reference(weights: Weights, source: Tensor, ids: Tensor) -> Tensor:
    """Return logits (time, 10) of one row."""
    memory = weights["encoder.embedding.tokens.weight"][source]
    memory = memory + weights["encoder.embedding.positions.weight"][: len(source)]
    for layer in range(2):
        memory = block(memory, None, weights, f"encoder.blocks.{layer}", causal=False)
    memory = normal(memory, weights, "encoder.final_norm")
    x = weights["embedding.tokens.weight"][ids] + weights["embedding.positions.weight"][: len(ids)]
    for layer in range(4):
        x = block(x, memory if layer % 2 else None, weights, f"blocks.{layer}", causal=True)
    return normal(x, weights, "final_norm") @ weights["embedding.tokens.weight"][:10].T


def rows() -> tuple[list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(5)
    sources = [torch.randint(0, 9, (length,), generator=generator) for length in (10, 3, 1, 6)]
    targets = [torch.randint(0, 11, (length,), generator=generator) for length in (2, 8, 5, 1)]
    return sources, targets


@torch.no_grad()
def test_logits_are_those_written_out_by_hand(model: Transformer) -> None:
    weights = dict(model.state_dict())
    for source, ids in zip(*rows(), strict=True):
        logits = model(ids[None], conditioning=Conditioning(source=source[None]))
        torch.testing.assert_close(logits[0], reference(weights, source, ids), atol=1e-10, rtol=1e-10)


@torch.no_grad()
def test_padding_of_source_and_target_changes_nothing(model: Transformer) -> None:
    weights = dict(model.state_dict())
    sources, targets = rows()
    lengths = torch.tensor([len(ids) for ids in targets])
    padded = torch.full((4, 8), 7)
    for row, ids in enumerate(targets):
        padded[row, : len(ids)] = ids
    told = Conditioning.of_sources(sources)
    assert told.source is not None
    assert told.source_lengths is not None
    assert told.source_lengths.tolist() == [10, 3, 1, 6]
    real = torch.arange(10) < told.source_lengths[:, None]
    for filler in (0, 8):
        filled = Conditioning(source=told.source.where(real, filler), source_lengths=told.source_lengths)
        logits = model(padded, lengths=lengths, conditioning=filled)
        for row, (source, ids) in enumerate(zip(sources, targets, strict=True)):
            expected = reference(weights, source, ids)
            torch.testing.assert_close(logits[row, : len(ids)], expected, atol=1e-10, rtol=1e-10)


@torch.no_grad()
def test_steps_through_the_cache_are_the_whole(model: Transformer) -> None:
    weights = dict(model.state_dict())
    sources, _ = rows()
    ids = torch.randint(0, 11, (4, 8), generator=torch.Generator().manual_seed(6))
    told = model.prepare(Conditioning.of_sources(sources))
    cache = model.new_cache(4)
    steps = [model(ids[:, at : at + 1], conditioning=told, cache=cache) for at in range(8)]
    for row, source in enumerate(sources):
        expected = reference(weights, source, ids[row])
        torch.testing.assert_close(torch.cat(steps, dim=1)[row], expected, atol=1e-10, rtol=1e-10)


def test_gradients_reach_every_part_and_equal_those_of_the_reference(model: Transformer) -> None:
    (source, *_), (_, ids, *_) = rows()
    weights = {name: tensor.clone().requires_grad_() for name, tensor in model.state_dict().items()}
    reference(weights, source, ids).pow(2).sum().backward()
    model.zero_grad()
    model(ids[None], conditioning=Conditioning(source=source[None])).pow(2).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        expected = weights[name].grad
        torch.testing.assert_close(parameter.grad, expected, atol=1e-8, rtol=1e-8)
        assert bool((parameter.grad != 0).any()) or name.endswith("attention.input.bias"), name
    model.zero_grad()


def test_one_source_is_not_padded() -> None:
    told = Conditioning.of_sources([torch.tensor([1, 2]), torch.tensor([3, 4])])
    assert told.source_lengths is None
    assert told.source is not None
    assert told.source.tolist() == [[1, 2], [3, 4]]
