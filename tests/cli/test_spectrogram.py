"""Spectrograms show a tone where it is, equal sounds alike, and missing ones dark."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from zoo.cli.spectrogram import GAP, HIGH, LABEL, LEFT, SCALE, TOP, WIDE, Panel, _seconds, spectrograms
from zoo.errors import ZooError

RATE = 22_050


def tone(frequency: float, seconds: float = 2.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)


def test_a_tone_is_a_bright_line_at_its_height() -> None:
    silence = np.zeros_like(tone(1))
    panels = [Panel(title=name, samples=one) for name, one in
              (("low", tone(440)), ("high", tone(4000)), ("nothing", silence), ("low again", tone(440)))]  # fmt: skip
    image = np.asarray(spectrograms(panels, RATE)).astype(int)
    width = 120
    assert image.shape[1] == LEFT + 4 * (width + GAP)
    found = [image[TOP : TOP + HIGH, LEFT + k * (width + GAP) :][:, :width].sum(axis=2) for k in range(4)]
    rows = [int(panel[:, width // 2].argmax()) for panel in found]
    assert rows[0] - rows[1] > 60  # higher up
    assert (found[2] == sum(SCALE[0])).all()
    assert np.array_equal(found[0], found[3])
    assert found[0].max() > 600


@pytest.mark.parametrize("seconds", [1 / RATE, 0.01, 0.5, 100.0])
def test_any_length_fits(seconds: float) -> None:
    image = spectrograms([Panel(title="a " * 99, samples=tone(440, seconds))], RATE)
    assert image.width <= LEFT + WIDE + GAP


@pytest.mark.parametrize("seconds", [1e-4, 0.2, 0.8, 3.0, 1000.0])
@pytest.mark.parametrize("width", [120, 520])
def test_times_do_not_overlap(seconds: float, width: int) -> None:
    times = _seconds(seconds, width)
    assert len(times) >= 2
    assert times[0] == 0
    assert all((after - before) / seconds * width >= LABEL for before, after in pairwise(times))


def test_nothing_is_refused() -> None:
    for panels in ([], [Panel(title="", samples=np.empty(0, np.float32))]):
        with pytest.raises(ZooError, match="needs samples"):
            spectrograms(panels, RATE)
