"""The transformer as a whole: cached decoding equals the full forward, for every pattern and option."""

from __future__ import annotations

import dataclasses
import weakref

import pytest
import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.network import Conditioning
from zoo.transformer.block import PostNorm
from zoo.transformer.config import TransformerConfig
from zoo.transformer.feedforward import GatedMlp, Mlp
from zoo.transformer.initial import ImageGptInitial, JukeboxInitial, NormalInitial
from zoo.transformer.model import Transformer
from zoo.transformer.norm import RMSNorm
from zoo.transformer.patterns import Banded, Block, Column, Cross, Dense, Prefix, PreviousBlock
from zoo.transformer.position import NoPositions, Rotary

BASE = TransformerConfig(vocabulary=37, context=24, width=32, depth=3, heads=4)
VARIANTS = {
    "dense": BASE,
    "banded": dataclasses.replace(BASE, patterns=(Dense(), Banded(window=5))),
    "block": dataclasses.replace(BASE, patterns=(Block(size=4),)),
    "column": dataclasses.replace(BASE, patterns=(Column(size=4),)),
    "previous_block": dataclasses.replace(BASE, patterns=(PreviousBlock(size=4),)),
    "prefix": dataclasses.replace(BASE, patterns=(Prefix(length=7), Dense())),
    "jukebox": dataclasses.replace(
        BASE,
        patterns=(Block(size=4), Column(size=4), PreviousBlock(size=4)),
        attention_width_ratio=0.25,
        feedforward=Mlp(activation="quick_gelu", ratio=1.0),
        final_norm=False,
        initial=JukeboxInitial(),
    ),
    "gpt1": dataclasses.replace(BASE, block=PostNorm(), final_norm=False, initial=NormalInitial()),
    "modern": dataclasses.replace(
        BASE, norm=RMSNorm(), feedforward=GatedMlp(), positions=Rotary(), key_value_heads=2, bias=False
    ),
    "rotary_banded": dataclasses.replace(BASE, positions=Rotary(), patterns=(Banded(window=3),)),
    "recent": dataclasses.replace(BASE, recent=4),
    "unordered": dataclasses.replace(BASE, positions=NoPositions()),
    "untied": dataclasses.replace(BASE, tied=False, output_vocabulary=36, vocabulary=37),
    "tied_smaller_output": dataclasses.replace(BASE, output_vocabulary=36),
}


def build(config: TransformerConfig) -> Transformer:
    """Return the model with weights large enough that attention matters."""
    torch.manual_seed(1)
    model = Transformer(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.4 if parameter.dim() > 1 else 0.3))
    return model


def close(actual: Tensor, expected: Tensor) -> None:
    """Float32 within 1e-4 of the logits' scale."""
    assert (actual - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("name", VARIANTS)
@torch.no_grad()
def test_cached_steps_equal_full_forward(name: str) -> None:
    model = build(VARIANTS[name])
    ids = torch.randint(0, 36, (3, 24))
    full = model(ids)
    for prompt in (1, 4, 11):
        cache = model.new_cache(3)
        parts = [model(ids[:, :prompt], cache=cache)]
        parts += [model(ids[:, t : t + 1], cache=cache) for t in range(prompt, 24)]
        close(torch.cat(parts, dim=1), full)
        assert cache.lengths.tolist() == [24] * 3


@pytest.mark.parametrize("name", VARIANTS)
@torch.no_grad()
def test_chunks_equal_full_forward(name: str) -> None:
    model = build(VARIANTS[name])
    ids = torch.randint(0, 36, (2, 24))
    cache = model.new_cache(2)
    parts = [model(chunk, cache=cache) for chunk in ids.split([3, 6, 1, 9, 5], dim=1)]
    close(torch.cat(parts, dim=1), model(ids))


@pytest.mark.parametrize("name", VARIANTS)
@torch.no_grad()
def test_rows_at_the_same_place_share_a_mask(name: str) -> None:
    """To the last bit: stated lengths give every row a mask of its own."""
    model = build(VARIANTS[name])
    ids = torch.randint(0, 36, (3, 24))
    shared, own = (model.new_cache(3) for _ in range(2))
    for part in ids.split([3, 6, 15], dim=1):
        lengths = torch.full((3,), part.shape[1])
        assert torch.equal(model(part, cache=shared), model(part, lengths=lengths, cache=own))


@pytest.mark.parametrize("name", VARIANTS)
@torch.no_grad()
def test_ragged_rows_equal_single_rows(name: str) -> None:
    """Rows of unequal length in one cache, prompted with padding and stepped together, then extended raggedly."""
    model = build(VARIANTS[name])
    ids = torch.randint(0, 36, (3, 24))
    lengths = torch.tensor([5, 13, 1])
    cache = model.new_cache(3)
    prompt = ids[:, :13].clone()
    for row, length in enumerate(lengths.tolist()):
        prompt[row, length:] = 0
    got: list[list[Tensor]] = [[], [], []]
    first = model(prompt, lengths=lengths, cache=cache)
    for row, length in enumerate(lengths.tolist()):
        got[row].append(first[row, :length])
    at = lengths.clone()
    for _ in range(6):
        step = model(ids.gather(1, at[:, None]), cache=cache)
        for row in range(3):
            got[row].append(step[row])
        at += 1
    more = torch.tensor([2, 4, 1])
    index = at[:, None] + torch.arange(4)
    extended = model(ids.gather(1, index.clamp(max=23)), lengths=more, cache=cache)
    for row in range(3):
        got[row].append(extended[row, : more[row]])
        total = int(at[row] + more[row])
        close(torch.cat(got[row]), model(ids[row : row + 1, :total])[0])
    assert cache.lengths.tolist() == (at + more).tolist()


@torch.no_grad()
def test_cache_rows_can_be_selected_and_assigned() -> None:
    model = build(VARIANTS["jukebox"])
    ids = torch.randint(0, 36, (3, 12))
    cache = model.new_cache(3)
    model(ids[:, :9], cache=cache)
    chosen = cache.select(torch.tensor([2, 0, 2]))
    close(model(ids[[2, 0, 2], 9:10], cache=chosen), model(ids[[2, 0, 2], :10])[:, 9:])
    fresh = model.new_cache(1)
    model(ids[1:2, :4], cache=fresh)
    cache.assign(torch.tensor([2]), fresh)
    assert cache.lengths.tolist() == [9, 9, 4]
    step = model(torch.stack((ids[0, 9:10], ids[1, 9:10], ids[1, 4:5])), cache=cache)
    close(step[2], model(ids[1:2, :5])[0, 4:])
    close(step[0], model(ids[:1, :10])[0, 9:])


@torch.no_grad()
def test_conditioning_reaches_the_output_and_survives_the_cache() -> None:
    config = dataclasses.replace(
        BASE, patterns=(Dense(), Cross(), Block(size=4)), memory_width=16, condition_at_output=True
    )
    model = build(config)
    ids = torch.randint(0, 37, (2, 24))
    start, added, memory = torch.randn(2, 32), torch.randn(2, 24, 32), torch.randn(2, 6, 16)
    lengths = torch.tensor([6, 2])
    condition = Conditioning(start=start, added=added, memory=memory, memory_lengths=lengths)
    full = model(ids, conditioning=condition)
    assert not torch.allclose(full, model(ids, conditioning=dataclasses.replace(condition, start=None)))
    assert not torch.allclose(full, model(ids, conditioning=dataclasses.replace(condition, added=added * 0)))
    changed = memory.clone()
    changed[1, 2:] = 99.0  # padding of the memory
    close(model(ids, conditioning=dataclasses.replace(condition, memory=changed)), full)
    cache = model.new_cache(2)
    parts = []
    for t in range(24):
        part = dataclasses.replace(condition, added=added[:, t : t + 1])
        parts.append(model(ids[:, t : t + 1], conditioning=part, cache=cache))
    close(torch.cat(parts, dim=1), full)
    with pytest.raises(ZooError, match="memory"):
        model(ids)


@torch.no_grad()
def test_full_attention_ignores_padding_and_has_no_cache() -> None:
    config = dataclasses.replace(
        BASE, patterns=(Dense(causal=False), Banded(window=4, causal=False)), block=PostNorm(), segments=2
    )
    model = build(config)
    ids = torch.randint(0, 37, (2, 10))
    padded = torch.cat((ids, torch.zeros(2, 3, dtype=torch.long)), dim=1)
    close(model(padded, lengths=torch.tensor([10, 10]))[:, :10], model(ids))
    second = Conditioning(segments=torch.ones_like(ids))
    assert not torch.allclose(model(ids), model(ids, conditioning=second))
    with pytest.raises(ZooError, match="no cache"):
        model.new_cache(1)


@torch.no_grad()
def test_hidden_states_end_in_what_the_head_reads() -> None:
    model = build(BASE)
    ids = torch.randint(0, 37, (2, 7))
    states = model.hidden_states(ids)
    assert len(states) == BASE.depth + 1
    assert torch.equal(model.head(states[-1]), model(ids))


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (
            TransformerConfig(
                vocabulary=513,
                output_vocabulary=512,
                context=1024,
                width=512,
                depth=24,
                heads=8,
                tied=False,
                bias=False,
                norm=RMSNorm(),
                feedforward=Mlp(activation="quick_gelu"),
                initial=ImageGptInitial(),
            ),
            76_571_648,
        ),
    ],
    ids=["image_gpt_s"],
)
def test_published_sizes(config: TransformerConfig, count: int) -> None:
    with torch.device("meta"):
        model = Transformer(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@torch.no_grad()
def test_initial_loss_is_uniform() -> None:
    torch.manual_seed(0)
    model = Transformer(dataclasses.replace(BASE, vocabulary=1000, context=64))
    ids = torch.randint(0, 1000, (8, 64))
    loss = torch.nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    assert abs(float(loss) - 6.9078) < 0.05


def test_image_gpt_starts_with_zero_output_and_scaled_attention() -> None:
    torch.manual_seed(0)
    model = Transformer(dataclasses.replace(BASE, width=128, tied=False, initial=ImageGptInitial()))
    assert model.output is not None
    assert not model.output.weight.any()
    assert abs(model.blocks[0].attention.input.weight.std().item() - 128**-0.5) < 0.004


def test_too_many_ids_are_refused() -> None:
    model = build(BASE)
    with pytest.raises(ZooError, match="25 ids do not fit the context of 24"):
        model(torch.zeros(1, 25, dtype=torch.long))
    cache = model.new_cache(1, capacity=4)
    model(torch.zeros(1, 4, dtype=torch.long), cache=cache)
    with pytest.raises(ZooError, match="5 ids do not fit the cache of 4"):
        model(torch.zeros(1, 1, dtype=torch.long), cache=cache)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 30}, "not a multiple of heads"),
        ({"heads": 0}, "heads must be at least 1"),
        ({"key_value_heads": 3}, "not a multiple of key_value_heads"),
        ({"dropout": 1.0}, "dropout"),
        ({"patterns": ()}, "at least one"),
        ({"patterns": (Block(size=5),)}, "does not divide"),
        ({"patterns": (Cross(),)}, "memory_width"),
        ({"output_vocabulary": 99}, "exceeds"),
        ({"positions": Rotary(), "width": 36, "heads": 4}, "even width per head"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ZooError, match=message):
        dataclasses.replace(BASE, **changes)  # type: ignore[arg-type]  # any field


@torch.no_grad()
def test_classes_take_the_place_of_the_start() -> None:
    model = build(dataclasses.replace(BASE, classes=("a", "b", "c")))
    table = model.embedding.classes
    assert table is not None
    ids = torch.randint(0, 37, (3, 6), generator=torch.Generator().manual_seed(1))
    classes = torch.tensor([2, -1, 0])
    told = model(ids, conditioning=Conditioning(classes=classes))
    start = torch.stack([table.weight[2], model.embedding.tokens.weight[ids[1, 0]], table.weight[0]])
    close(told, model(ids, conditioning=Conditioning(start=start)))
    close(told[1:2], model(ids[1:2]))
    with pytest.raises(ZooError, match="trained without classes"):
        build(BASE)(ids, conditioning=Conditioning(classes=classes))


@torch.no_grad()
def test_hidden_tokens_leave_their_position_alone() -> None:
    model = build(BASE)
    ids = torch.randint(0, 37, (2, 6), generator=torch.Generator().manual_seed(1))
    visible = torch.tensor([[True, False, True, True, False, True]] * 2)
    states = model.hidden_states(ids, conditioning=Conditioning(visible=visible))
    assert model.embedding.positions is not None
    positions = model.embedding.positions(torch.arange(6))
    close(states[0][:, ~visible[0]], positions[~visible[0]].expand(2, 2, -1))
    close(states[0][:, visible[0]], (model.embedding.tokens(ids) + positions)[:, visible[0]])


def test_a_pass_keeps_one_state_at_a_time() -> None:
    network = Transformer(TransformerConfig(vocabulary=8, context=8, width=8, depth=6, heads=1)).eval()
    states: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []

    def look(block: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        alive.append(sum(state() is not None for state in states))
        states.append(weakref.ref(inputs[0]))

    for block in network.blocks:
        block.register_forward_pre_hook(look)
    with torch.no_grad():
        network.hidden(torch.zeros(1, 8, dtype=torch.int64))
    assert len(alive) == 6
    assert max(alive) <= 1  # the one before, at most
