"""What music is measured by, on sounds whose measures are known."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import zoo
from benchmarks import music
from zoo.errors import ZooError

RATE = 22_050


def tone(*frequencies: float, seconds: float = 2.0, amplitude: float = 0.5) -> music.Clip:
    time = np.arange(round(seconds * RATE)) / RATE
    waves = [np.sin(2 * np.pi * frequency * time) for frequency in frequencies]
    return (amplitude * sum(waves) / len(waves)).astype(np.float32)


def test_pitch_loudness_and_centre_of_a_tone() -> None:
    clip = tone(440.0)
    heard = music.pitch_classes(clip, RATE)
    assert heard.sum() == pytest.approx(1, abs=1e-5)
    assert int(heard.argmax()) == 9
    assert heard[9] > 0.6
    assert music.loudness(clip, RATE) == pytest.approx(20 * np.log10(0.5 / 2**0.5), abs=0.05)
    assert music.centroid(clip, RATE) == pytest.approx(440, rel=0.2)
    assert music.centroid(tone(3000.0), RATE) == pytest.approx(3000, rel=0.1)


def test_a_key_is_stronger_than_all_pitches_at_once() -> None:
    scale = [261.63 * 2 ** (step / 12) for step in (0, 4, 7, 12)]
    every = [261.63 * 2 ** (step / 12) for step in range(12)]
    assert music.key_strength(tone(*scale), RATE) > 0.7
    assert music.key_strength(tone(*every), RATE) < 0.5


def test_onsets_are_counted() -> None:
    fading = np.exp(-6 * np.arange(RATE // 2) / RATE).astype(np.float32)
    clip = np.concatenate([tone(220.0 * (1 + number % 3), seconds=0.5) * fading for number in range(8)])
    assert music.onset_rate(clip, RATE) == pytest.approx(2.0, rel=0.15)


def test_an_instrument_is_the_label_or_else_the_genre() -> None:
    assert music.instrument({"label": "flute", "genre": "folk"}) == "flute"
    assert music.instrument({"label": "", "genre": "organ"}) == "organ"


class Player:
    """Plays C and E whatever it is told, and keeps that."""

    levels, rate = (2, 1, 0), RATE

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def generate(self, **told: Any) -> list[zoo.Audio]:
        self.told.append(told)
        return [zoo.Audio(tone(261.63, 329.63), RATE)] * told["count"]


def test_words_are_heard_at_their_pitches_and_not_in_other_keys() -> None:
    facts = [
        {"artist": "flute", "genre": "folk", "label": "flute", "lyrics": "do mi\ndo"},
        {"artist": "flute", "genre": "folk", "label": "flute", "lyrics": "fa la"},
        {"artist": "organ", "genre": "folk", "label": "organ", "lyrics": "Amazing grace"},
        {"artist": "organ", "genre": "folk", "label": "organ", "lyrics": ""},
    ]
    records = SimpleNamespace(held_out=(0, 1, 2, 3), fields=facts)
    player = Player()
    own, others = music._sung(player, records, replace(music.FULL, sung=1), runs=2)
    assert [told["conditions"]["lyrics"] for told in player.told] == ["do mi\ndo"]
    assert player.told[0]["levels"] == (2,)
    assert player.told[0]["guidance"] == 2.0
    assert own.median > 0.8
    assert others.median == pytest.approx((2 - own.median) / 11, rel=0.01)  # eleven keys share what is left, twice
    assert music._sung(player, SimpleNamespace(held_out=(2, 3), fields=facts), music.FULL, runs=1) == []


def test_what_is_no_stack_is_refused() -> None:
    with pytest.raises(ZooError, match="mnist is no stack"):
        music.measure(replace(music.FULL, stack="mnist"), 1)
