"""The synthesiser by measurement: pitches, partials, onsets, loudness, and nothing that was not asked for."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.data.synthesiser import TIMBRES, Note, Timbre, render, tone
from zoo.errors import ZooError

NAMES = [timbre.name for timbre in TIMBRES]
by_name = pytest.mark.parametrize("timbre", TIMBRES, ids=NAMES)


def spectrum(samples: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies and magnitudes in dB below the highest."""
    values = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return np.fft.rfftfreq(len(samples), 1 / rate), 20 * np.log10(values / values.max() + 1e-12)


@by_name
@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100])
def test_partials_are_where_they_belong_and_nothing_folds_back(timbre: Timbre, rate: int) -> None:
    for pitch in (48, 69, 88):
        note = Note(start=0, seconds=0.8, pitch=pitch, loudness=0.9)
        frequencies, levels = spectrum(tone(note, timbre, rate=rate), rate)
        near = np.zeros(len(frequencies), dtype=bool)
        for multiple, _ in timbre.partials:
            near |= np.abs(frequencies - multiple * note.frequency) < 50 + 0.02 * multiple * note.frequency
        assert levels[~near].max() < -75, (pitch, frequencies[~near][levels[~near].argmax()])
        assert levels[frequencies > 0.47 * rate].max(initial=-200) < -75
        lowest = np.abs(frequencies - note.frequency) < 0.5 * note.frequency
        found = frequencies[lowest][levels[lowest].argmax()]
        assert abs(1200 * np.log2(found / note.frequency)) < 30  # within the spectrum's bins


@by_name
def test_tones_come_and_go_without_a_click(timbre: Timbre) -> None:
    rate = 44_100
    samples = tone(Note(start=0, seconds=0.5, pitch=60), timbre, rate=rate)
    assert len(samples) == round((0.5 + timbre.release) * rate)
    assert abs(samples[0]) < 1e-6
    assert abs(samples[-1]) < 1e-6
    assert np.abs(samples).max() <= 1
    # The steepest step of a sum of sines of these levels, whose frequencies are known.
    steepest = sum(level * 2 * np.pi * multiple * 261.63 for multiple, level in timbre.partials) / rate
    allowed = steepest / sum(level for _, level in timbre.partials) + np.pi / (2 * timbre.attack * rate)
    assert np.abs(np.diff(samples)).max() < 1.05 * allowed


def test_held_tones_hold_and_struck_ones_fade() -> None:
    for timbre in TIMBRES:
        samples = tone(Note(start=0, seconds=2.0, pitch=64), timbre, rate=16_000)
        early, late = (np.sqrt(np.mean(samples[at : at + 4000] ** 2)) for at in (4_000, 27_000))
        assert (late > 0.9 * early) == (timbre.decay is None), timbre.name
        if timbre.decay is not None:
            assert late / early == pytest.approx(np.exp(-1.4375 / timbre.decay), rel=0.35)


@by_name
def test_notes_begin_when_the_score_says(timbre: Timbre) -> None:
    rate, starts = 22_050, (0.25, 1.0, 1.5)
    notes = [Note(start=start, seconds=0.1, pitch=70) for start in starts]
    samples = render(notes, timbre, rate=rate, seconds=2.0)
    assert samples[: round(0.25 * rate)].max() == 0
    energy = np.sqrt(np.convolve(samples**2, np.ones(200) / 200, mode="valid"))
    for start in starts:
        before, after = (energy[round(at * rate) - 200] for at in (start, start + timbre.attack + 0.02))
        assert after > 3 * before


def test_quiet_tones_are_quieter_and_darker() -> None:
    brass = next(timbre for timbre in TIMBRES if timbre.name == "brass")
    loud, quiet = (tone(Note(start=0, seconds=1, pitch=60, loudness=level), brass, rate=22_050) for level in (1, 0.3))
    assert np.std(quiet) < 0.3 * np.std(loud)
    shares = []
    for samples in (loud, quiet):
        frequencies, levels = spectrum(samples, 22_050)
        power = 10 ** (levels / 10)
        shares.append(power[frequencies > 700].sum() / power.sum())
    assert shares[1] < 0.4 * shares[0]


def test_a_piece_has_headroom_and_its_length() -> None:
    notes = [Note(start=0.1 * number, seconds=0.5, pitch=50 + number) for number in range(20)]
    for seconds in (0.001, 1.0, 2.5):
        samples = render(notes, TIMBRES[3], rate=8_000, seconds=seconds)
        assert samples.dtype == np.float32
        assert samples.shape == (round(seconds * 8_000),)
        assert abs(samples[-1]) < 1e-6
    assert np.abs(samples).max() == pytest.approx(10 ** (-3 / 20), rel=1e-6)
    assert abs(samples.mean()) < 1e-3
    assert not render([], TIMBRES[0], rate=8_000, seconds=1.0).any()
    again = render(notes, TIMBRES[3], rate=8_000, seconds=2.5)
    assert again.tobytes() == samples.tobytes()


def test_vibrato_swings_around_the_pitch() -> None:
    flute = next(timbre for timbre in TIMBRES if timbre.name == "flute")
    samples = tone(Note(start=0, seconds=2.0, pitch=69), flute, rate=44_100)
    crossings = np.flatnonzero((samples[:-1] < 0) & (samples[1:] >= 0))
    inner = crossings[(crossings > 22_050) & (crossings < 84_000)].astype(float)
    inner += -samples[inner.astype(int)] / (samples[inner.astype(int) + 1] - samples[inner.astype(int)])
    cents = 1200 * np.log2(44_100 / np.diff(inner) / 440)
    assert abs(cents.mean()) < 0.5
    assert cents.max() == pytest.approx(12, abs=1.5)
    assert cents.min() == pytest.approx(-12, abs=1.5)


@pytest.mark.parametrize(("rate", "seconds"), [(10, 1.0), (10**7, 1.0), (8_000, 0.0), (8_000, -1.0)])
def test_bad_lengths(rate: int, seconds: float) -> None:
    with pytest.raises(ZooError):
        render([], TIMBRES[0], rate=rate, seconds=seconds)
