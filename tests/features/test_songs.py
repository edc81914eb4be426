"""Features of sounds by priors of music: the windows, and what is told of each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import zoo
from tests.stack.parts import CONTEXT, HOPS, RATE, loaded, prior
from zoo.errors import ZooError
from zoo.features.extract import features
from zoo.features.songs import SongReading
from zoo.model import Model
from zoo.music.config import Timing
from zoo.music.prior import Prior
from zoo.network import Conditioning
from zoo.stack.model import Stack
from zoo.tokenizers.none import NoTokenizer

ROOM = CONTEXT - 1
HOP = HOPS[2]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    return loaded(tmp_path_factory.mktemp("stack"))


def sound(codes: int) -> Any:
    """Return a sound of so many ids of the coarsest level."""
    time = np.arange(codes * HOP) / RATE
    return zoo.Audio((0.4 * np.sin(2 * np.pi * 60 * time * (1 + time))).astype(np.float32), RATE)


def test_windows_by_hand(stack: Stack) -> None:
    """Codes in windows of one less than the context, behind the start; nobody's name, and the windows' own places."""
    model, heard = stack.reader, sound(40)
    assert isinstance(model.network, Prior)
    (found,) = features(model, [("a", heard)], layers=(0, 1, 2))
    codes = stack.tokenizers[2].encode(heard)
    network, states = model.network, []
    for number, part in enumerate(codes.split(ROOM)):
        ids = torch.cat([torch.tensor([network.start_id]), part + network.config.shift])
        told = Conditioning(
            labels=torch.tensor([[40 * HOP, number * ROOM * HOP, CONTEXT * HOP, 0, -1]]),
            source=torch.zeros(1, 8, dtype=torch.int64),
        )
        with torch.inference_mode():
            states.append([state[0] for state in network.features(ids[None], conditioning=told)])
    assert [len(window[0]) for window in states] == [16, 16, 11]
    for layer, vector in enumerate(found):
        np.testing.assert_allclose(vector, torch.cat([window[layer] for window in states]).mean(0), atol=1e-5)


def test_a_file_is_the_same_in_blocks_and_beside_others(stack: Stack, tmp_path: Path) -> None:
    sounds = [sound(count) for count in (3, 40, 17)]
    for number, one in enumerate(sounds):
        soundfile.write(tmp_path / f"{number}.wav", one.samples, RATE, "FLOAT")
    files = features(stack.reader, [(str(number), tmp_path / f"{number}.wav") for number in range(3)], layers=(2,))
    for one, (vector,) in zip(sounds, files, strict=True):
        ((alone,),) = features(stack.reader, [("alone", one)], layers=(2,), batch=1)
        np.testing.assert_allclose(vector, alone, atol=1e-5)


@pytest.mark.parametrize(("codes", "total", "offset"), [(2, 800, 0), (300, 1599, 199 * HOP)])
def test_pieces_shorter_and_longer_than_the_prior_knows(stack: Stack, codes: int, total: int, offset: int) -> None:
    timed = Timing(bins=8, rate=RATE, shortest=0.5, longest=1.0)
    config = stack.tiers[0].config
    assert config.labels is not None
    network = Prior(replace(config, labels=replace(config.labels, timing=timed)))
    *_, last = SongReading(network, stack.tokenizers[2]).windows(sound(codes))
    assert last.told is not None
    assert last.told.labels is not None
    assert last.told.labels[0, :3].tolist() == [total, offset, CONTEXT * HOP]


def test_what_reads_no_sounds_says_what_does(stack: Stack) -> None:
    with pytest.raises(ZooError, match="name the stack"):
        list(features(stack.prior(1), [("a", sound(8))], layers=(0,)))
    lone = Model(prior(top=True), NoTokenizer(12, modality="music"))
    with pytest.raises(ZooError, match="zoo stack codec=CODEC priors=PRIOR"):
        list(features(lone, [("a", sound(8))], layers=(0,)))
    with pytest.raises(ZooError, match="no prior of level 5; there are 2, 1, 0"):
        stack.prior(5)
