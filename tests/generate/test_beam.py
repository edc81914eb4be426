"""Beam search against every continuation there is."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from tests.generate.networks import FunctionNetwork, constant, hashing
from zoo.errors import ZooError
from zoo.generate.beam import beam_search
from zoo.generate.sampler import generate_ids
from zoo.generate.settings import SamplingSettings
from zoo.network import Network
from zoo.recurrent import RecurrentConfig, RecurrentNetwork

PROMPT = torch.tensor([0, 1])
LENGTHS = [0.0, 0.6, 1.0, 2.0, -0.5]


def log_probability(network: Network, prompt: list[int], ids: tuple[int, ...]) -> float:
    total = 0.0
    for place, index in enumerate(ids):
        with torch.no_grad():
            logits = network(torch.tensor([[*prompt, *ids[:place]]]))[0, -1]
        total += float(logits.double().log_softmax(0)[index])
    return total


def exhaustive(
    network: Network, vocabulary: int, count: int, end: int, penalty: float
) -> list[tuple[tuple[int, ...], float]]:
    """Every complete continuation with its score, the best first."""
    found = set()
    for ids in itertools.product(range(vocabulary), repeat=count):
        found.add(ids[: ids.index(end) + 1] if end in ids else ids)
    scored = [(ids, log_probability(network, PROMPT.tolist(), ids) / len(ids) ** penalty) for ids in found]
    return sorted(scored, key=lambda entry: -entry[1])


@pytest.mark.parametrize("penalty", LENGTHS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_enough_beams_find_the_best_of_all(penalty: float, seed: int) -> None:
    def logits(window: list[int]) -> Tensor:
        return hashing(3)([seed, *window])

    network = FunctionNetwork(logits, 3, 10)
    settings = SamplingSettings(max_new_tokens=4, beams=81, length_penalty=penalty)
    found = beam_search(network, PROMPT, settings, end_ids=[2])
    expected = exhaustive(network, 3, 4, 2, penalty)
    assert [tuple(entry.ids.tolist()) for entry in found[:10]] == [ids for ids, _ in expected[:10]]
    assert [entry.score for entry in found[:10]] == pytest.approx([score for _, score in expected[:10]], abs=1e-5)
    assert found[0].log_probability == pytest.approx(log_probability(network, [0, 1], tuple(found[0].ids.tolist())))


def test_more_beams_never_score_worse() -> None:
    network = FunctionNetwork(hashing(6), 6, 20)
    best = [
        beam_search(network, PROMPT, SamplingSettings(max_new_tokens=6, beams=b, length_penalty=0))[0].score
        for b in (1, 2, 4, 8, 64)
    ]
    assert best[0] <= best[-1]
    assert max(best) == best[-1]


def test_one_beam_is_greedy() -> None:
    network = FunctionNetwork(hashing(6), 6, 8)  # the context fills up and slides
    greedy = generate_ids(network, [PROMPT], SamplingSettings(max_new_tokens=20, temperature=0))[0]
    assert beam_search(network, PROMPT, SamplingSettings(max_new_tokens=20))[0].ids.tolist() == greedy.tolist()


@pytest.mark.parametrize("beams", [2, 5])
def test_the_cache_changes_nothing(beams: int) -> None:
    torch.manual_seed(0)
    network = RecurrentNetwork(RecurrentConfig(vocabulary=7, context=6, embedding_width=8, width=16))
    for parameter in network.parameters():
        parameter.data.mul_(3)
    settings = SamplingSettings(max_new_tokens=15, beams=beams, length_penalty=0.6)
    cached = beam_search(network, PROMPT, settings, end_ids=[3])
    plain = beam_search(network, PROMPT, settings, end_ids=[3], cache=False)
    assert [entry.ids.tolist() for entry in cached] == [entry.ids.tolist() for entry in plain]
    assert len(cached) == beams


def test_equal_scores_are_ordered_by_id() -> None:
    network = FunctionNetwork(constant([0.0, 0.0, 0.0]), 3, 8)
    settings = SamplingSettings(max_new_tokens=2, beams=4)
    found = [entry.ids.tolist() for entry in beam_search(network, PROMPT, settings)]
    assert found == [[0, 0], [0, 1], [0, 2], [1, 0]]


def test_a_higher_length_penalty_prefers_longer() -> None:
    network = FunctionNetwork(constant([math.log(0.75), math.log(0.25)]), 2, 16)
    short = beam_search(network, PROMPT, SamplingSettings(max_new_tokens=6, beams=4, length_penalty=0), end_ids=[1])
    long = beam_search(network, PROMPT, SamplingSettings(max_new_tokens=6, beams=4, length_penalty=2), end_ids=[1])
    assert short[0].ids.tolist() == [1]
    assert long[0].ids.tolist() == [0] * 6


def test_it_ends_once_nothing_can_improve() -> None:
    network = FunctionNetwork(constant([0.0, 9.0, -9.0]), 3, 2000)
    beam_search(network, PROMPT, SamplingSettings(max_new_tokens=1000, beams=2, length_penalty=0), end_ids=[1])
    assert network.calls < 10


def test_refuses_what_has_no_probability() -> None:
    network = FunctionNetwork(constant([math.nan, 0.0]), 2, 8)
    with pytest.raises(ZooError, match="beam search: the model gives no probability to any id"):
        beam_search(network, PROMPT, SamplingSettings(max_new_tokens=2, beams=2))


def test_nothing_to_draw_is_an_empty_continuation() -> None:
    network = FunctionNetwork(hashing(3), 3, 8)
    assert beam_search(network, PROMPT, SamplingSettings(max_new_tokens=0, beams=2))[0].ids.tolist() == []
