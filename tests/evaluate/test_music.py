"""The nats of priors of music on sounds, against a pass by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import zoo
from tests.stack.parts import CHARACTERS, CONTEXT, HOPS, RATE, loaded
from zoo.errors import ZooError
from zoo.evaluate.likelihood import Likelihood
from zoo.evaluate.part import Data
from zoo.evaluate.tasks import choose
from zoo.model import Model
from zoo.music.prior import Prior
from zoo.network import Conditioning
from zoo.stack.model import Stack

LYRICS = "do re mi"
"""As many characters as a window is told."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="module")
def stack(folder: Path) -> Stack:
    return loaded(folder)


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """Seven sounds, of which the last in order is held out: 20 ids of the coarsest level."""
    place = tmp_path / "songs"
    place.mkdir()
    time = np.arange(20 * HOPS[2]) / RATE
    for number in range(7):
        wave = 0.4 * np.sin(2 * np.pi * (50 + 9 * number) * time)
        soundfile.write(place / f"{number}.wav", wave, RATE, "FLOAT")
    (place / "metadata.csv").write_text(f"file,artist,genre,lyrics\n6.wav,organ,folk,{LYRICS}\n0.wav,nobody,,\n")
    return place


def by_hand(stack: Stack, level: int, songs: Path) -> list[float]:
    """Return the nats of every id of the held-out sound, window by window."""
    samples = zoo.Audio(soundfile.read(songs / "6.wav", dtype="float32")[0], RATE)
    model = stack.prior(level)
    network = model.network
    assert isinstance(network, Prior)
    codes = stack.tokenizers[level].encode(samples)
    nats: list[float] = []
    for first in range(0, len(codes), CONTEXT):
        own = network.ids_of(codes[first : first + CONTEXT])
        told: dict[str, torch.Tensor] = {
            "labels": torch.tensor([[20 * HOPS[2], first * HOPS[level], CONTEXT * HOPS[level], 2, 2]])
        }
        if level == 2:
            told["source"] = torch.tensor([[CHARACTERS.index(one) + 1 for one in LYRICS]])
        else:
            over = stack.tokenizers[level + 1].encode(samples)[first // 2 : first // 2 + CONTEXT // 2]
            told["above"] = torch.nn.functional.pad(over, (0, CONTEXT // 2 - len(over)))[None]
        ids = torch.cat([torch.tensor([network.start_id]), own[:-1]])
        with torch.inference_mode():
            logs = network(ids[None], conditioning=Conditioning(**told))[0].log_softmax(-1)
        nats += (-logs[torch.arange(len(own)), own]).tolist()
    return nats


def test_a_stack_level_by_level(stack: Stack, songs: Path) -> None:
    assert choose(stack) == Likelihood()
    outcome = Likelihood().run(stack, Data(path=str(songs)))
    metrics = outcome.metrics
    assert outcome.samples == 1
    assert outcome.tokens == 20 + 40 + 80
    total = 0.0
    for level, count in ((2, 20), (1, 40), (0, 80)):
        nats = by_hand(stack, level, songs)
        assert len(nats) == count
        assert metrics[f"level_{level}_loss"] == pytest.approx(np.mean(nats), rel=1e-5)
        assert metrics[f"level_{level}_bits_per_second"] == pytest.approx(sum(nats) / math.log(2) / 0.1, rel=1e-5)
        total += sum(nats)
    assert metrics["loss"] == pytest.approx(total / 140, rel=1e-6)
    assert metrics["bits_per_second"] == pytest.approx(total / math.log(2) / 0.1, rel=1e-6)


def test_a_lone_prior_is_as_in_its_stack(stack: Stack, folder: Path, songs: Path) -> None:
    alone = Likelihood().run(zoo.load(folder / "top", device="cpu"), Data(path=str(songs))).metrics
    whole = Likelihood().run(stack, Data(path=str(songs))).metrics
    assert alone["loss"] == pytest.approx(whole["level_2_loss"], rel=1e-6)
    told = (songs / "metadata.csv").read_text()
    (songs / "metadata.csv").write_text(told.replace("organ,folk", ","))
    untold = Likelihood().run(stack, Data(path=str(songs))).metrics
    assert untold["level_2_loss"] != pytest.approx(whole["level_2_loss"], rel=1e-3)


def test_what_cannot_be_evaluated_says_what_can(stack: Stack, songs: Path) -> None:
    upsampler: Model = stack.prior(0)
    with pytest.raises(ZooError, match="evaluate the stack that both are parts of"):
        Likelihood().run(upsampler, Data(path=str(songs)))
