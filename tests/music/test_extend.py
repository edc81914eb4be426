"""New artists and genres of a trained prior: numbers, rows, and what does not change."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from zoo.errors import ZooError
from zoo.music.config import Labels, PriorConfig
from zoo.music.extend import extend
from zoo.music.names import Names, Words
from zoo.music.prior import Prior
from zoo.network import Conditioning
from zoo.transformer.config import TransformerConfig

KNOWN = Names(artists={"nina": 1, "otis": 2}, genres={"soul": 1})


def prior(labels: Labels | None) -> Prior:
    torch.manual_seed(0)
    begun = labels is None
    inner = TransformerConfig(
        vocabulary=7 + begun, output_vocabulary=7 if begun else None, context=8, width=16, depth=1, heads=2
    )
    return Prior(PriorConfig(transformer=inner, labels=labels)).eval()


def logits(network: Prior, artist: int, genre: int) -> torch.Tensor:
    row = torch.tensor([[800, 0, 8, artist, genre]])
    ids = torch.tensor([[network.start_id, 3, 1, 2]])
    with torch.no_grad():
        return network(ids, conditioning=Conditioning(labels=row))


def test_new_names_follow_the_known_ones_and_begin_as_unknown_ones() -> None:
    network = prior(Labels(artists=3, genres=2, names=KNOWN))
    before = {pair: logits(network, *pair) for pair in ((0, 0), (0, 1), (1, 1), (2, -1))}
    added = extend(network, Names.learned(["Sam", "nina", "Aretha"], ["soul", "funk"]))
    assert added == 3
    labels = network.config.labels
    assert labels is not None
    assert labels.names == Names(artists={"nina": 1, "otis": 2, "aretha": 3, "sam": 4}, genres={"soul": 1, "funk": 2})
    assert (labels.artists, labels.genres) == (5, 3)
    for pair, expected in before.items():
        assert torch.equal(logits(network, *pair), expected)
    assert torch.equal(logits(network, 4, 1), before[0, 1])
    again = Prior(network.config)
    again.load_state_dict(network.state_dict())


def test_a_released_prior_whose_names_nobody_gave_learns_new_ones_after_all_its_numbers() -> None:
    network = prior(Labels(artists=40, genres=6))
    assert extend(network, Names.learned(["Ann"], ["folk"])) == 2
    assert network.config.labels is not None
    assert network.config.labels.names == Names(artists={"ann": 40}, genres={"folk": 6})
    weight = network.label_embedding.artists.weight if network.label_embedding else torch.empty(0)
    assert weight.shape == (41, 16)
    assert weight.requires_grad


def test_nothing_changes_where_nothing_is_new_or_told() -> None:
    network = prior(Labels(artists=3, genres=2, names=KNOWN))
    assert network.label_embedding is not None
    table = network.label_embedding.artists
    assert extend(network, KNOWN) == 0
    assert network.label_embedding.artists is table
    assert extend(prior(None), KNOWN) == 0


def test_names_written_in_another_way_are_refused() -> None:
    network = prior(Labels(artists=3, genres=2, names=dataclasses.replace(KNOWN, style=Words())))
    with pytest.raises(ZooError, match=r"data\.style=words"):
        extend(network, KNOWN)
