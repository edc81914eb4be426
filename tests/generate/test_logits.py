from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from zoo.generate.logits import (
    Allow,
    LogitsTransform,
    MinP,
    RepetitionPenalty,
    Temperature,
    TopK,
    TopP,
    transform,
    transforms_of,
)
from zoo.generate.settings import SamplingSettings

NONE = torch.zeros(1, 1, dtype=torch.int64)


def kept(change: LogitsTransform, probabilities: list[float]) -> list[int]:
    logits = torch.tensor([probabilities]).log()
    changed = change(logits, NONE)
    left = changed[0] > -math.inf
    assert torch.equal(changed[0][left], logits[0][left])
    return left.nonzero()[:, 0].tolist()


def test_top_k_keeps_ties() -> None:
    assert kept(TopK(2), [0.1, 0.4, 0.2, 0.2, 0.1]) == [1, 2, 3]
    assert kept(TopK(1), [0.1, 0.4, 0.2, 0.2, 0.1]) == [1]
    assert kept(TopK(9), [0.5, 0.25, 0.25]) == [0, 1, 2]


def test_top_p_keeps_the_smallest_set_with_the_share() -> None:
    assert kept(TopP(0.5), [0.125, 0.5, 0.25, 0.125]) == [1]
    assert kept(TopP(0.51), [0.125, 0.5, 0.25, 0.125]) == [1, 2]
    assert kept(TopP(0.8), [0.125, 0.5, 0.25, 0.125]) == [0, 1, 2]  # the first of equals
    assert kept(TopP(1e-9), [0.125, 0.5, 0.25, 0.125]) == [1]


def test_min_p_is_relative_to_the_most_likely() -> None:
    assert kept(MinP(0.26), [0.125, 0.5, 0.25, 0.125]) == [1, 2]
    assert kept(MinP(1.0), [0.125, 0.5, 0.25, 0.125]) == [1]


def test_temperature_divides() -> None:
    logits = torch.tensor([[1.0, 2.0, 4.0]])
    torch.testing.assert_close(Temperature(0.5)(logits, NONE).softmax(1), (logits * 2).softmax(1))


@pytest.mark.parametrize("temperature", [1e-300, 1e-40, 1e-8, 1e8, 1e300])
def test_extreme_temperatures_make_no_nan(temperature: float) -> None:
    logits = torch.tensor([[3.0, -100.0, 3.0001, -math.inf]])
    probabilities = Temperature(temperature)(logits, NONE).softmax(1)
    assert torch.isfinite(probabilities).all()
    assert probabilities[0, 3] == 0
    assert probabilities[0, 2] >= probabilities[0, 0]


def test_repetition_penalty_acts_on_seen_ids_only() -> None:
    logits = torch.tensor([[2.0, -2.0, 1.0, -1.0], [2.0, -2.0, 1.0, -1.0]])
    ids = torch.tensor([[0, 1, 0], [3, 3, 3]])
    expected = torch.tensor([[1.0, -4.0, 1.0, -1.0], [2.0, -2.0, 1.0, -2.0]])
    torch.testing.assert_close(RepetitionPenalty(2.0)(logits, ids), expected)


def test_repetition_penalty_ignores_ids_that_cannot_be_predicted() -> None:
    logits = torch.tensor([[2.0, -2.0]])
    assert RepetitionPenalty(2.0)(logits, torch.tensor([[2, 2]])).tolist() == [[2.0, -2.0]]


def test_allow_rules_out_the_rest() -> None:
    assert kept(Allow(torch.tensor([True, False, True])), [0.2, 0.5, 0.3]) == [0, 2]


def test_settings_switch_on_only_what_they_change() -> None:
    assert transforms_of(SamplingSettings(max_new_tokens=1)) == ()
    assert transforms_of(SamplingSettings(max_new_tokens=1, temperature=0, top_k=3, top_p=0.5)) == ()
    chosen = SamplingSettings(max_new_tokens=1, temperature=0.5, top_k=3, top_p=0.9, min_p=0.1, repetition_penalty=1.5)
    assert transforms_of(chosen) == (RepetitionPenalty(1.5), Temperature(0.5), TopK(3), TopP(0.9), MinP(0.1))


def reference(row: list[float], top_k: int, top_p: float, min_p: float) -> list[int]:
    """The ids that stay, by definition, with exact sums."""
    order = sorted(range(len(row)), key=lambda index: (-row[index], index))
    if top_k:
        order = [index for index in order if row[index] >= row[order[min(top_k, len(row)) - 1]]]
    weights = {index: math.exp(row[index] - row[order[0]]) for index in order}
    nucleus, mass = [], 0.0
    for index in order:
        if nucleus and mass >= top_p * sum(weights.values()):
            break
        nucleus.append(index)
        mass += weights[index]
    return sorted(index for index in nucleus if weights[index] >= min_p)


@given(
    row=st.lists(st.integers(-6, 6), min_size=1, max_size=12),
    top_k=st.integers(0, 14),
    top_p=st.sampled_from([0.05, 0.31, 0.5, 0.77, 0.93, 1.0]),
    min_p=st.sampled_from([0.0, 0.011, 0.2, 0.9]),
)
def test_filters_together_equal_their_definition(row: list[int], top_k: int, top_p: float, min_p: float) -> None:
    logits = torch.tensor([row], dtype=torch.float32)
    chosen = SamplingSettings(max_new_tokens=1, top_k=top_k, top_p=top_p, min_p=min_p)
    changed: Tensor = transform(logits, NONE, transforms_of(chosen))
    left = (changed[0] > -math.inf).nonzero()[:, 0].tolist()
    assert left == reference([float(value) for value in row], top_k, top_p, min_p)
