"""The sampling loop against its definition, one row and one step at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor

from tests.generate.networks import FunctionNetwork, constant, hashing
from zoo.architecture import AnyNetwork, NetworkConfig, build_network
from zoo.errors import ZooError
from zoo.generate.draw import Greedy, InverseCumulative, Race
from zoo.generate.logits import Allow
from zoo.generate.sampler import Sampler, generate_ids, next_probabilities, sample_seeds
from zoo.generate.settings import SamplingSettings
from zoo.network import Cache, Conditioning, Network
from zoo.recurrent import RecurrentConfig
from zoo.transformer.config import TransformerConfig
from zoo.transformer.patterns import AnyPattern, Banded, Block, Column, Dense, Prefix, PreviousBlock
from zoo.transformer.position import Rotary

CPU = torch.device("cpu")


def prompts(*rows: Sequence[int]) -> list[Tensor]:
    return [torch.tensor(row, dtype=torch.int64) for row in rows]


def lists(rows: list[Tensor]) -> list[list[int]]:
    return [row.tolist() for row in rows]


@torch.no_grad()
def by_definition(
    network: Network, prompt: Tensor, seed: int | None, count: int, ends: Sequence[int] = ()
) -> list[int]:
    """One row, no cache, the contract's rule word by word: a full context drops its older half."""
    draw = Greedy() if seed is None else Race([seed], CPU)
    window, new = prompt.tolist(), []
    for _ in range(count):
        if len(window) > network.context:
            window = window[max(network.context // 2, 1) :]
        new.append(int(draw(network(torch.tensor([window]))[:, -1])))
        window.append(new[-1])
        if new[-1] in ends:
            break
    return new


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=5), min_size=1, max_size=4),
    context=st.integers(5, 7),
    count=st.integers(0, 25),
    greedy=st.booleans(),
    cache=st.booleans(),
    ends=st.sampled_from([(), (3,), (0, 4)]),
    chunk=st.sampled_from([None, 1, 2]),
)
def test_any_batch_equals_its_rows_by_definition(
    rows: list[list[int]], context: int, count: int, greedy: bool, cache: bool, ends: tuple[int, ...], chunk: int | None
) -> None:
    network = FunctionNetwork(hashing(5), 5, context)
    given_prompts = prompts(*rows)
    settings = SamplingSettings(max_new_tokens=count, temperature=0 if greedy else 1, seed=7)
    sampler = Sampler(network, given_prompts, settings, end_ids=ends, cache=cache, chunk=chunk)
    drawn: list[list[int]] = [[] for _ in rows]
    for step in sampler:
        for row, index in zip(step.rows.tolist(), step.ids.tolist(), strict=True):
            drawn[row].append(index)
    seeds = sample_seeds(given_prompts, 7)
    for prompt, seed, new in zip(given_prompts, seeds, drawn, strict=True):
        assert new == by_definition(network, prompt, None if greedy else seed, count, ends)


@pytest.mark.parametrize("context", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("cache", [True, False])
def test_a_full_context_drops_its_older_half(context: int, cache: bool) -> None:
    seen: list[list[int]] = []

    def logits(window: list[int]) -> Tensor:
        if not seen or len(window) > len(seen[-1]) or window[0] != seen[-1][0]:
            seen.append(list(window))
        else:
            seen[-1] = list(window)
        return torch.nn.functional.one_hot(torch.tensor((window[-1] + 1) % 50), 50) * 9.0

    network = FunctionNetwork(logits, 50, context)
    generate_ids(network, prompts([0]), SamplingSettings(max_new_tokens=20, temperature=0), cache=cache)
    complete = [window for window in seen if len(window) == context]
    begins = [window[0] for window in complete]
    assert begins == list(range(0, begins[-1] + 1, max(context // 2, 1)))


def test_the_cache_reads_every_id_once_until_the_context_is_full() -> None:
    network = FunctionNetwork(hashing(5), 5, 100)
    generate_ids(network, prompts([1, 2, 3], [4]), SamplingSettings(max_new_tokens=50))
    assert network.ids_read == 4 + 2 * 49  # the last id of each row is never read
    assert network.calls == 50


def test_many_samples_of_a_prompt_read_it_once() -> None:
    network = FunctionNetwork(hashing(5), 5, 100)
    generate_ids(network, prompts(*[[1, 2, 3]] * 6), SamplingSettings(max_new_tokens=1))
    assert network.ids_read == 3


def test_rows_that_ended_cost_nothing() -> None:
    network = FunctionNetwork(lambda window: torch.eye(5)[(window[-1] + 1) % 5] * 9, 5, 100)
    drawn = generate_ids(network, prompts([3], [0]), SamplingSettings(max_new_tokens=9, temperature=0), end_ids=[4])
    assert lists(drawn) == [[4], [1, 2, 3, 4]]
    assert network.ids_read == 2 + 3


def test_finish_ends_one_row() -> None:
    network = FunctionNetwork(hashing(5), 5, 100)
    sampler = Sampler(network, prompts([1], [2], [3]), SamplingSettings(max_new_tokens=4, seed=1))
    rows = []
    for step in sampler:
        rows.append(step.rows.tolist())
        if len(rows) == 2:
            sampler.finish(1)
    assert rows == [[0, 1, 2], [0, 1, 2], [0, 2], [0, 2]]


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_samples_do_not_depend_on_their_batch(temperature: float) -> None:
    network = build_network(TransformerConfig(vocabulary=300, context=32, width=32, depth=2, heads=4)).eval()
    settings = SamplingSettings(max_new_tokens=45, temperature=temperature, seed=11)
    start = [5, 6, 7]
    eight = lists(generate_ids(network, prompts(*[start] * 8), settings))
    assert lists(generate_ids(network, prompts(*[start] * 2), settings)) == eight[:2]
    mixed = lists(generate_ids(network, prompts([9] * 20, start, [1], start), settings))
    assert mixed[1::2] == eight[:2]
    for index in range(8):
        alone = SamplingSettings(max_new_tokens=45, temperature=temperature, seed=11 + index)
        assert lists(generate_ids(network, prompts(start), alone)) == [eight[index]]
    if temperature:
        assert len(set(map(tuple, eight))) == 8


def test_longer_samples_begin_as_shorter_ones() -> None:
    network = FunctionNetwork(hashing(50), 50, 16)
    short = lists(generate_ids(network, prompts([1, 2]), SamplingSettings(max_new_tokens=30)))[0]
    long = lists(generate_ids(network, prompts([1, 2]), SamplingSettings(max_new_tokens=200)))[0]
    assert long[:30] == short


def test_seeds_count_equal_prompts() -> None:
    assert sample_seeds(prompts([1], [2], [1], [1, 2], [1]), 5) == [5, 5, 6, 5, 7]


def test_frequencies_follow_temperature_and_filters() -> None:
    network = FunctionNetwork(constant([math.log(p) for p in (0.4, 0.3, 0.2, 0.1)]), 4, 8)
    settings = SamplingSettings(max_new_tokens=1, temperature=0.5, top_k=3)
    drawn = torch.cat(generate_ids(network, prompts(*[[0]] * 2000), settings))
    expected = torch.tensor([0.16, 0.09, 0.04, 0.0]) / 0.29
    assert ((torch.bincount(drawn, minlength=4) / 2000 - expected).abs() < 0.03).all()
    torch.testing.assert_close(next_probabilities(network, torch.tensor([0]), settings), expected)


CONTEXT = 16
PATTERNS: list[tuple[AnyPattern, ...]] = [
    (Dense(),),
    (Banded(window=3),),
    (Block(size=4),),
    (Column(size=4),),
    (PreviousBlock(size=4),),
    (Prefix(length=5),),
    (Block(size=4), Column(size=4), PreviousBlock(size=4)),
    (Dense(), Banded(window=4)),
]
CONFIGS: list[NetworkConfig] = [
    *(
        TransformerConfig(vocabulary=23, context=CONTEXT, width=16, depth=len(p) + 1, heads=2, patterns=p)
        for p in PATTERNS
    ),
    TransformerConfig(
        vocabulary=23, context=CONTEXT, width=16, depth=2, heads=4, key_value_heads=2, positions=Rotary()
    ),
    *(
        RecurrentConfig(vocabulary=23, context=CONTEXT, embedding_width=8, width=16, depth=2, cell=c)
        for c in ("lstm", "gru", "rnn")
    ),
]


def real(config: NetworkConfig) -> AnyNetwork:
    torch.manual_seed(1)
    network = build_network(config).eval()
    for parameter in network.parameters():
        parameter.data.mul_(4)  # far from uniform, so that a wrong key or position changes ids
    return network


@pytest.mark.parametrize(
    "config", CONFIGS, ids=lambda c: "-".join(type(p).__name__ for p in getattr(c, "patterns", ()))
)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_real_networks_cached_ragged_and_sliding(config: NetworkConfig, temperature: float) -> None:
    network = real(config)
    rows = prompts([1, 2, 3], list(range(16)), [7], [1, 2, 3], [4, 4, 4, 4, 4, 4])
    settings = SamplingSettings(max_new_tokens=26, temperature=temperature, seed=3)
    cached = lists(generate_ids(network, rows, settings))
    assert lists(generate_ids(network, rows, settings, cache=False)) == cached
    for prompt, seed, new in zip(rows, sample_seeds(rows, 3), cached, strict=True):
        assert by_definition(network, prompt, seed if temperature else None, 26) == new
    chunked = Sampler(network, rows, settings, chunk=3)
    assert [step.ids.tolist() for step in chunked] == [list(column) for column in zip(*cached, strict=True)]


@pytest.mark.parametrize(
    "config",
    [
        TransformerConfig(vocabulary=23, context=64, width=16, depth=2, heads=2),
        RecurrentConfig(vocabulary=23, context=64, embedding_width=16, width=16),
    ],
)
def test_conditioning_of_every_position_reaches_every_step(config: NetworkConfig) -> None:
    network = real(config)
    told = Conditioning(start=torch.randn(2, 16), added=torch.randn(2, 12, 16))
    rows = prompts([1, 2, 3, 4], [5])
    settings = SamplingSettings(max_new_tokens=8, seed=3)
    cached = lists(generate_ids(network, rows, settings, conditioning=told))
    assert lists(generate_ids(network, rows, settings, conditioning=told, cache=False)) == cached
    assert lists(generate_ids(network, rows, settings)) != cached
    for row in range(2):
        ids = rows[row].tolist()
        draw = Race([3], CPU)
        for _ in range(8):
            assert told.start is not None
            assert told.added is not None
            now = Conditioning(start=told.start[row : row + 1], added=told.added[row : row + 1, : len(ids)])
            with torch.no_grad():
                ids.append(int(draw(network(torch.tensor([ids]), conditioning=now)[:, -1])))
        assert ids[len(rows[row]) :] == cached[row]


def test_conditioning_follows_rows_that_stay() -> None:
    network = real(TransformerConfig(vocabulary=23, context=64, width=16, depth=1, heads=2))
    told = Conditioning(added=torch.randn(3, 20, 16))
    rows = prompts([1], [2, 3], [4])
    settings = SamplingSettings(max_new_tokens=10, temperature=0)
    whole = lists(generate_ids(network, rows, settings, conditioning=told))
    sampler = Sampler(network, rows, settings, conditioning=told)
    drawn: list[list[int]] = [[], [], []]
    for count, step in enumerate(sampler):
        for row, index in zip(step.rows.tolist(), step.ids.tolist(), strict=True):
            drawn[row].append(index)
        if count == 3:
            sampler.finish(0)
    assert drawn == [whole[0][:4], whole[1], whole[2]]


def test_given_numbers_replay_a_record() -> None:
    network = FunctionNetwork(constant([math.log(p) for p in (0.1, 0.2, 0.7)]), 3, 8)
    numbers = torch.tensor([[0.05, 0.95], [0.25, 0.15], [0.5, 0.31]])
    draw = InverseCumulative(numbers)
    drawn = Sampler(network, prompts([0], [0]), SamplingSettings(max_new_tokens=3), draw=draw)
    assert [step.ids.tolist() for step in drawn] == [[0, 2], [1, 1], [2, 2]]


def test_transforms_limit_what_is_drawn() -> None:
    network = FunctionNetwork(hashing(6), 6, 8)
    allow = Allow(torch.tensor([False, True, False, True, False, False]))
    drawn = generate_ids(network, prompts([0], [5]), SamplingSettings(max_new_tokens=40), transforms=[allow])
    assert set(itertools.chain.from_iterable(lists(drawn))) == {1, 3}


def test_dropout_is_off_while_drawing_and_on_again_after() -> None:
    network = build_network(TransformerConfig(vocabulary=23, context=16, width=16, depth=2, heads=2, dropout=0.5))
    network.train()
    settings = SamplingSettings(max_new_tokens=12, temperature=0)
    assert lists(generate_ids(network, prompts([1]), settings)) == lists(generate_ids(network, prompts([1]), settings))
    assert network.training
    assert all(module.training for module in network.modules())


def test_drawn_ids_can_be_trained_on() -> None:
    network = build_network(RecurrentConfig(vocabulary=5, context=8, embedding_width=4, width=4))
    ids = torch.stack(generate_ids(network, prompts([1]), SamplingSettings(max_new_tokens=6)))
    network(ids).sum().backward()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[]], "prompt 0 is empty"),
        ([[1], [2, 9]], r"prompt 1: id 9 is outside the model's vocabulary \[0, 5\)"),
        ([[-1]], "prompt 0: id -1 is outside"),
        ([[1] * 9], "prompt 0 has 9 ids, more than the model's context of 8; shorten it, or set truncate=left"),
    ],
)
def test_refuses_prompts(rows: list[list[int]], message: str) -> None:
    with pytest.raises(ZooError, match=message):
        generate_ids(FunctionNetwork(hashing(5), 5, 8), prompts(*rows), SamplingSettings(max_new_tokens=1))


def test_no_prompts_draw_nothing() -> None:
    assert generate_ids(FunctionNetwork(hashing(5), 5, 8), [], SamplingSettings(max_new_tokens=3)) == []


class Guided(FunctionNetwork):
    """Classifier-free guidance as a network of its own: two sets of logits go side by side until the head."""

    def hidden(
        self,
        ids: Tensor,
        *,
        lengths: Tensor | None = None,
        conditioning: Conditioning | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        told = super().hidden(ids, lengths=lengths, conditioning=conditioning, cache=cache)
        return torch.cat([told, told.flip(-1)], dim=-1)

    def head(self, hidden: Tensor) -> Tensor:
        told, untold = hidden.chunk(2, dim=-1)
        return untold + 3 * (told - untold)


def test_guidance_needs_no_change_of_the_loop() -> None:
    network = Guided(hashing(5), 5, 6)
    settings = SamplingSettings(max_new_tokens=30, temperature=0)
    plain = FunctionNetwork(lambda window: 3 * hashing(5)(window) - 2 * hashing(5)(window).flip(-1), 5, 6)
    assert lists(generate_ids(network, prompts([1, 2]), settings)) == lists(
        generate_ids(plain, prompts([1, 2]), settings)
    )
