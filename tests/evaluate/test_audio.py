"""Measures of sound, held to signals whose figures are known by construction."""

from __future__ import annotations

import math

import pytest
import torch

from zoo.errors import ZooError
from zoo.evaluate.audio import (
    LIMIT,
    Measures,
    bits_per_second,
    clips,
    decibels,
    log_mel_distance,
    measure,
    si_sdr,
    spectral_convergence,
)

RATE = 22_050
TIME = torch.arange(RATE) / RATE
TONE = torch.sin(2 * math.pi * 440 * TIME)


def noise(decibel: float, original: torch.Tensor) -> torch.Tensor:
    """Return noise with no part along ``original`` and an energy ``decibel`` below it."""
    drawn = torch.randn(original.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wanted = original.double()
    drawn -= (drawn * wanted).sum() / wanted.square().sum() * wanted
    return drawn * float(wanted.norm() / drawn.norm()) * 10 ** (-decibel / 20)


@pytest.mark.parametrize("decibel", [-10.0, 0.0, 20.0, 60.0])
def test_si_sdr_of_noise_is_its_level_whatever_the_volume(decibel: float) -> None:
    heard = TONE + noise(decibel, TONE)
    rows = torch.stack([heard, 0.25 * heard, -3 * heard])
    assert si_sdr(rows, TONE.expand(3, -1)).tolist() == pytest.approx([decibel] * 3, abs=1e-4)


def test_si_sdr_at_its_ends() -> None:
    silence = torch.zeros_like(TONE)
    assert si_sdr(torch.stack([TONE, 0.1 * TONE]), torch.stack([TONE, TONE])).tolist() == [LIMIT, LIMIT]
    assert si_sdr(silence[None], TONE[None]).tolist() == [-LIMIT]
    assert si_sdr(TONE[None], silence[None]).isnan().all()
    other = torch.cos(2 * math.pi * 440 * TIME)  # 1 s of whole periods: orthogonal
    assert si_sdr(other[None], TONE[None])[0] < -90


def test_spectral_convergence_is_relative_and_zero_for_silence() -> None:
    silence = torch.zeros_like(TONE)
    heard, meant = torch.stack([TONE, 0.5 * TONE, silence, TONE]), torch.stack([TONE, TONE, TONE, silence])
    assert spectral_convergence(heard, meant).tolist() == pytest.approx([0.0, 0.5, 1.0, 0.0], abs=1e-5)
    assert decibels(torch.tensor([0.05, 0.15])) == pytest.approx(-20.0)  # mean of ratios first
    assert decibels([0.0]) == -LIMIT


def test_log_mel_distance_is_a_difference_of_levels() -> None:
    drawn = 0.1 * torch.randn(2, RATE, generator=torch.Generator().manual_seed(1))
    half = 10 ** (-6 / 20) * drawn
    assert log_mel_distance(half, drawn, rate=RATE).tolist() == pytest.approx([6.0, 6.0], abs=1e-3)
    silence = torch.zeros(1, RATE)
    assert log_mel_distance(silence, silence, rate=RATE).tolist() == [0.0]
    assert log_mel_distance(1e-5 * drawn[:1], drawn[:1], rate=RATE)[0] <= 80.0  # far below: silence, not infinity
    assert log_mel_distance(drawn[:1], drawn[:1], rate=RATE).tolist() == [0.0]


def test_bits() -> None:
    assert bits_per_second(22_050 / 8, 2048) == pytest.approx(30_318.75)  # 11 bits an id


def test_clips_cover_a_sound_once() -> None:
    sound = torch.arange(95.0)
    found = [rows[0].shape[1] for rows in clips(sound, rate=10, seconds=2)]
    assert found == [20, 20, 20, 35]
    assert torch.equal(torch.cat([rows[0][0] for rows in clips(sound, sound, rate=10, seconds=2)]), sound)
    assert [rows[0].shape[1] for rows in clips(torch.arange(7.0), rate=10)] == [7]


def test_measures_of_sets_are_means_over_clips() -> None:
    heard = (TONE + noise(20, TONE)).float()
    one = measure(heard, TONE, rate=RATE)
    metrics = one.metrics()
    assert metrics["si_sdr_db"] == pytest.approx(20, abs=1e-3)
    assert metrics["spectral_convergence_db"] == pytest.approx(-20, abs=1.5)
    both = Measures()
    both.join(one)
    both.add(TONE[None], TONE[None], rate=RATE)
    assert both.metrics()["si_sdr_db"] == pytest.approx(60, abs=1e-3)
    silent = measure(torch.zeros(RATE), torch.zeros(RATE), rate=RATE).metrics()
    assert silent == {"spectral_convergence_db": -LIMIT, "si_sdr_db": None, "log_mel_distance_db": 0.0}


def test_sounds_of_other_shapes_are_refused() -> None:
    with pytest.raises(ZooError, match=r"\(batch, time\) of one shape, got \(10,\) and \(10,\)"):
        si_sdr(TONE[:10], TONE[:10])
    with pytest.raises(ZooError, match=r"got \(1, 10\) and \(1, 9\)"):
        log_mel_distance(TONE[None, :10], TONE[None, :9], rate=RATE)
    with pytest.raises(ZooError, match="no sounds to measure"):
        decibels([])
