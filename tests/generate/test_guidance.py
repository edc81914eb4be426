"""Classifier-free guidance against two separate passes, cached and not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.generate.beam import beam_search
from zoo.generate.draw import Race
from zoo.generate.guidance import Guided, guided
from zoo.generate.sampler import generate_ids, next_probabilities
from zoo.generate.settings import SamplingSettings
from zoo.network import NO_CLASS, Conditioning
from zoo.transformer.config import TransformerConfig
from zoo.transformer.model import Transformer

CLASSES = ("a", "b", "c")
START = 12


@pytest.fixture(scope="module")
def network() -> Transformer:
    torch.manual_seed(0)
    config = TransformerConfig(
        vocabulary=13, output_vocabulary=12, context=10, width=16, depth=2, heads=2, tied=False, classes=CLASSES
    )
    made = Transformer(config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made


@torch.no_grad()
def in_two_passes(network: Transformer, ids: Tensor, number: int, scale: float) -> Tensor:
    """Logits of the definition, one row (time,) at a time and one class a pass."""
    told, untold = (
        network(ids[None], conditioning=Conditioning(classes=torch.tensor([own])))[0, -1] for own in (number, NO_CLASS)
    )
    return untold + scale * (told - untold)


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0, 7.5])
@pytest.mark.parametrize("cache", [True, False])
def test_samples_are_those_of_two_passes(network: Transformer, scale: float, cache: bool) -> None:
    rows = [torch.tensor([START]), torch.tensor([START, 3, 4]), torch.tensor([START, 3]), torch.tensor([START])]
    numbers = [0, 2, 1, NO_CLASS]
    drawn = generate_ids(
        guided(network, scale),
        rows,
        SamplingSettings(max_new_tokens=7, seed=5),
        conditioning=Conditioning(classes=torch.tensor(numbers)),
        cache=cache,
    )
    seeds = [5, 5, 5, 6]  # the last prompt is the first one's again
    for ids, number, seed, found in zip(rows, numbers, seeds, drawn, strict=True):
        race = Race([seed], torch.device("cpu"))
        for index in found.tolist():
            assert int(race(in_two_passes(network, ids, number, scale)[None])) == index
            ids = torch.cat([ids, torch.tensor([index])])


def test_rows_that_end_early_and_windows_that_slide(network: Transformer) -> None:
    """Rows leave, and windows beyond the context are read afresh: the cache holds both readings of what is left."""
    rows = [torch.tensor([START, first]) for first in range(6)]
    told = Conditioning(classes=torch.tensor([0, 1, 2, 0, 1, 2]))
    settings = SamplingSettings(max_new_tokens=25, seed=1)
    cached, plain = (
        generate_ids(guided(network, 3.0), rows, settings, conditioning=told, end_ids=(7,), cache=cache)
        for cache in (True, False)
    )
    assert [row.tolist() for row in cached] == [row.tolist() for row in plain]
    assert len({len(row) for row in cached}) > 1


def test_one_is_the_network_itself_and_none_forgets_the_class(network: Transformer) -> None:
    assert guided(network, 1.0) is network
    ids, told = torch.tensor([START, 1]), Conditioning(classes=torch.tensor([1]))
    settings = SamplingSettings(max_new_tokens=1)
    forgotten = next_probabilities(guided(network, 0.0), ids, settings, conditioning=told)
    torch.testing.assert_close(forgotten, next_probabilities(network, ids, settings))
    assert not torch.allclose(forgotten, next_probabilities(network, ids, settings, conditioning=told))
    unlabelled = Conditioning(classes=torch.tensor([NO_CLASS]))
    same = next_probabilities(guided(network, 4.0), ids, settings, conditioning=unlabelled)
    torch.testing.assert_close(same, forgotten)


def test_beam_search_is_guided_too(network: Transformer) -> None:
    told = Conditioning(classes=torch.tensor([2]))
    (best, *_) = beam_search(
        guided(network, 2.0), torch.tensor([START]), SamplingSettings(max_new_tokens=1, beams=3), conditioning=told
    )
    assert int(best.ids) == int(in_two_passes(network, torch.tensor([START]), 2, 2.0).argmax())


def test_drawing_leaves_the_network_in_its_mode(network: Transformer) -> None:
    for training in (True, False):
        network.train(training)
        assert Guided(network, 2.0).training == training
        generate_ids(guided(network, 2.0), [torch.tensor([START])], SamplingSettings(max_new_tokens=2))
        assert network.training == training


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), "2", True])
def test_scales_out_of_range(value: float) -> None:
    with pytest.raises(ZooError, match="guidance: must be"):
        SamplingSettings(max_new_tokens=1, guidance=value)


def test_what_stays_is_put_together_once(network: Transformer) -> None:
    guide = Guided(network, 2.0)
    told = guide.prepare(Conditioning(classes=torch.tensor([0, 1])))
    first, second = (guide._both(told) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.classes is not None
    assert first.classes is second.classes
    third = guide._both(guide.prepare(Conditioning(classes=torch.tensor([1, 0]))))
    assert third is not None
    assert third.classes is not None
    assert third.classes.tolist() == [1, 0, NO_CLASS, NO_CLASS]
    assert first.classes.tolist() == [0, 1, NO_CLASS, NO_CLASS]
