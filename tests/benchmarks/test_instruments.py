"""Instruments are told apart by their overtones, whatever they play, however loud, and in noise."""

from __future__ import annotations

import numpy as np

from benchmarks.instruments import Clip, Ear, moments

RATE = 22_050
OVERTONES = {
    "clarinet": (1.0, 0.0, 0.5, 0.0, 0.3),
    "flute": (1.0, 0.1, 0.0, 0.0, 0.0),
    "reed": (0.5, 1.0, 1.0, 0.8, 0.8),
}


def note(instrument: str, pitch: float, amplitude: float = 0.3) -> Clip:
    time = np.arange(RATE) / RATE
    waves = [part * np.sin(2 * np.pi * (n + 1) * pitch * time) for n, part in enumerate(OVERTONES[instrument])]
    wave: Clip = (amplitude * np.sum(waves, axis=0)).astype(np.float32)
    return wave


def test_unheard_pitches_are_named_in_noise_and_silence() -> None:
    known = [(name, note(name, 220 * 2 ** (step / 12))) for name in OVERTONES for step in range(13)]
    ear = Ear.learn(known, RATE)
    dice = np.random.default_rng(1)
    for name in OVERTONES:
        for step in (1.3, 5.6, 9.4):
            clip = note(name, 220 * 2 ** (step / 12), amplitude=0.1)
            hissing = clip + 0.005 * dice.standard_normal(len(clip)).astype(np.float32)
            assert ear.name(clip) == ear.name(np.pad(hissing, (0, RATE))) == name


def test_a_moment_is_heard_the_same_at_any_loudness_and_ends_where_hiss_begins() -> None:
    clip = note("reed", 330.0)
    heard = moments(clip, RATE)
    np.testing.assert_allclose(moments(clip * 0.25, RATE), heard, atol=1e-3)
    assert heard.shape[1] == 96
    assert (heard.min(), heard.max()) == (0.0, 1.0)
    hiss = np.random.default_rng(0).standard_normal(len(clip)).astype(np.float32)
    np.testing.assert_allclose(moments(clip + 1e-4 * hiss, RATE), heard, atol=0.05)
    assert np.abs(moments(clip + 0.1 * hiss, RATE) - heard).max() > 0.15
    assert len(moments(np.pad(clip, (0, RATE)), RATE)) < 0.6 * len(moments(np.pad(clip, (0, RATE), mode="wrap"), RATE))
