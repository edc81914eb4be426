"""Pictures of sounds: log-mel spectrograms side by side, of one scale, so that what is missing can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from zoo.cli.sheet import INK, PAPER, SOFT
from zoo.cli.terminal import cut, one_line
from zoo.errors import ZooError

BANDS, WINDOW = 128, 2048
RANGE = 80.0
"""Decibels below the loudest place of the first sound that are drawn as nothing."""
WIDE, NARROW, HIGH = 520, 120, 256
"""Pixels of a panel: at most and at least so many wide."""
SECOND = 60
"""Pixels of a second of a short sound."""
LABEL = 48
"""Pixels of a time below a panel, with the room beside it."""
LEFT, TOP, BOTTOM, GAP, TEXT = 52, 34, 30, 14, 13
SCALE = ((0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99), (212, 72, 66), (245, 125, 21), (250, 193, 39),
         (252, 255, 164))  # fmt: skip
"""Colours from silence to the loudest place, equally far apart for the eye; dark to light also in gray."""
FREQUENCIES = (250, 500, 1000, 2000, 4000, 8000, 16_000)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One sound of a picture.

    Attributes:
        title: above it.
        samples: (time,) in [-1, 1].
    """

    title: str
    samples: NDArray[np.float32]


def spectrograms(panels: Sequence[Panel], rate: int) -> Pillow.Image:
    """Return the log-mel spectrograms of sounds side by side, with seconds below and hertz at the left.

    All have the colours of one scale: 80 dB below the loudest place of the first sound up to it.

    Args:
        panels: the sounds; the first is the one that others are compared with.
        rate: samples per second of all of them.

    Raises:
        ZooError: no sounds, or one without samples.
    """
    if not panels or not all(len(panel.samples) for panel in panels):
        raise ZooError("a spectrogram needs samples")
    longest = max(len(panel.samples) for panel in panels)
    width = int(min(WIDE, max(NARROW, SECOND * longest / rate)))
    powers = [_power(panel.samples, rate, longest, width) for panel in panels]
    loudest = max(float(powers[0].max()), 1e-10)
    font = ImageFont.load_default(TEXT)
    image = Pillow.new("RGB", (LEFT + len(panels) * (width + GAP), TOP + HIGH + BOTTOM), PAPER)
    draw = ImageDraw.Draw(image)
    for place, frequency in _ticks(rate):
        draw.text((LEFT - 6, TOP + place), _hertz(frequency), fill=SOFT, font=font, anchor="rm")
        draw.line((LEFT - 4, TOP + place, LEFT - 1, TOP + place), fill=SOFT)
    for number, (panel, power) in enumerate(zip(panels, powers, strict=True)):
        left = LEFT + number * (width + GAP)
        title = panel.title
        while title and font.getlength(title) > width:
            title = cut(one_line(title), len(title) - 1)
        draw.text((left, TOP - 10), title, fill=INK, font=font, anchor="ls")
        image.paste(_colours(power, loudest).resize((width, HIGH), Pillow.Resampling.BILINEAR), (left, TOP))
        for second in _seconds(longest / rate, width):
            x = left + second * rate / longest * (width - 1)
            draw.line((x, TOP + HIGH, x, TOP + HIGH + 3), fill=SOFT)
            label = f"{second:g} s" if second else "0"
            draw.text((x, TOP + HIGH + 6), label, fill=SOFT, font=font, anchor="ma" if second else "la")
    return image


def _power(samples: NDArray[np.float32], rate: int, length: int, width: int) -> NDArray[Any]:
    """Return the power (bands, frames) of a sound, filled up with silence to ``length``, about a frame a pixel."""
    import librosa

    filled = np.pad(samples.astype(np.float32, copy=False), (0, max(0, length - len(samples), WINDOW - len(samples))))
    hop = max(64, len(filled) // width)
    skipped = max(1, hop // WINDOW)  # frames of a long sound that are averaged to one pixel
    found: NDArray[Any] = librosa.feature.melspectrogram(
        y=filled, sr=rate, n_fft=WINDOW, hop_length=max(64, hop // skipped), n_mels=BANDS
    )
    whole = found[:, : found.shape[1] // skipped * skipped]
    means: NDArray[Any] = whole.reshape(len(whole), -1, skipped).mean(axis=2)
    return means


def _colours(power: NDArray[Any], loudest: float) -> Pillow.Image:
    level = 1 + 10 * np.log10(np.maximum(power / loudest, 1e-12)) / RANGE
    anchors = np.linspace(0, 1, len(SCALE))
    values = np.clip(level, 0, 1)[::-1]  # low frequencies at the bottom
    channels = [np.interp(values, anchors, [colour[channel] for colour in SCALE]) for channel in range(3)]
    return Pillow.fromarray(np.stack(channels, axis=-1).round().astype(np.uint8))


def _ticks(rate: int) -> list[tuple[float, int]]:
    """Return (pixels from the top, hertz) of frequencies that fit."""
    import librosa

    end = float(librosa.hz_to_mel(rate / 2))
    shares = [(float(librosa.hz_to_mel(frequency)) / end, frequency) for frequency in FREQUENCIES]
    return [((1 - share) * (HIGH - 1), frequency) for share, frequency in shares if share < 0.98]


def _hertz(frequency: int) -> str:
    return f"{frequency // 1000} kHz" if frequency >= 1000 else f"{frequency}"


def _seconds(length: float, width: int) -> list[float]:
    """Return up to four round times of a sound, from 0, as many as have room in so many pixels."""
    most = min(4, width // LABEL)
    steps = [number * 10**power for power in range(-5, 6) for number in (1, 2, 5)]
    step = next(step for step in steps if length / step <= most)
    return [round(number * step, 6) for number in range(int(length / step) + 1)]
