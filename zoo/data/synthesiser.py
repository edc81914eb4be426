"""A small additive synthesiser: notes become sums of sines under smooth envelopes.

Partials that would come near half the rate are left out, so nothing folds back; every note fades in and out, so nothing
clicks. The result is a function of its arguments, to the last bit on one machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zoo.errors import ZooError
from zoo.tokenizers.audio.waveform import Samples, check_rate

ROLL_OFF = (0.40, 0.46)
"""Shares of the rate between which the level of a partial falls to zero; one half is the Nyquist frequency."""
HEADROOM = 10 ** (-3 / 20)
"""Peak of a piece: 3 dB below full scale."""
EDGE = 0.02
"""Seconds over which a piece fades where it is cut off at its end."""
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, kw_only=True)
class Note:
    """One tone.

    Attributes:
        start: seconds from the beginning of the piece.
        seconds: until it is let go; it rings on for the timbre's release.
        pitch: MIDI number, 69 for 440 Hz; fractions are fine.
        loudness: amplitude, above 0 up to 1; quiet tones are darker, too.
    """

    start: float
    seconds: float
    pitch: float
    loudness: float = 1.0

    @property
    def frequency(self) -> float:
        """The fundamental frequency in Hz, equal temperament."""
        return 440.0 * math.exp2((self.pitch - 69.0) / 12.0)


@dataclass(frozen=True, kw_only=True)
class Timbre:
    """How an instrument sounds.

    Attributes:
        name: what people call it.
        partials: (multiple of the fundamental, level) of each sine.
        attack, release: seconds in which a tone comes and goes.
        decay: seconds in which the lowest partial of a struck tone falls to 1/e; None for tones that are held.
        damping: how much faster the upper partials decay: their time is divided by ``multiple ** damping``.
        vibrato: how often a second the pitch of a held tone swings; 0 for never.
        depth: how far it swings, in cents.
        mellowness: how much darker quiet tones are; at loudness 0 a partial has ``multiple ** -mellowness`` of its
            level.
    """

    name: str
    partials: tuple[tuple[float, float], ...]
    attack: float
    release: float
    decay: float | None = None
    damping: float = 0.0
    vibrato: float = 0.0
    depth: float = 0.0
    mellowness: float = 1.0


def plucked(count: int, place: float) -> tuple[tuple[float, float], ...]:
    """Return the partials of an ideal string, plucked at ``place`` of its length (Fletcher and Rossing 1998, 2.7)."""
    return tuple((float(k), abs(math.sin(math.pi * k * place)) / k) for k in range(1, count + 1))


TIMBRES = (
    Timbre(
        name="organ",
        partials=((1, 1.0), (2, 0.7), (3, 0.45), (4, 0.35), (6, 0.2), (8, 0.12)),
        attack=0.03,
        release=0.07,
        mellowness=0.0,
    ),
    Timbre(
        name="flute",
        partials=((1, 1.0), (2, 0.22), (3, 0.1), (4, 0.03), (5, 0.015)),
        attack=0.06,
        release=0.08,
        vibrato=5.0,
        depth=12.0,
    ),
    Timbre(
        name="clarinet",
        partials=((1, 1.0), (2, 0.03), (3, 0.55), (4, 0.04), (5, 0.32), (7, 0.18), (9, 0.09), (11, 0.05)),
        attack=0.04,
        release=0.06,
    ),
    Timbre(
        name="strings",
        partials=tuple((float(k), 1.0 / k) for k in range(1, 15)),
        attack=0.09,
        release=0.15,
        vibrato=5.6,
        depth=15.0,
    ),
    Timbre(
        name="brass",
        partials=tuple(enumerate((0.7, 1.0, 0.9, 0.7, 0.5, 0.35, 0.22, 0.15, 0.1, 0.06), start=1)),
        attack=0.05,
        release=0.08,
        mellowness=2.0,
    ),
    Timbre(
        name="guitar", partials=plucked(14, 0.22), attack=0.004, release=0.12, decay=0.9, damping=0.8, mellowness=0.7
    ),
    Timbre(  # the modes of a bar that is free at both ends (Fletcher and Rossing 1998, 2.17)
        name="bells",
        partials=((1, 1.0), (2.756, 0.4), (5.404, 0.18), (8.933, 0.07)),
        attack=0.002,
        release=0.5,
        decay=0.8,
        damping=0.7,
        mellowness=0.5,
    ),
)
"""Every instrument."""


def render(notes: Iterable[Note], timbre: Timbre, *, rate: int, seconds: float) -> Samples:
    """Play notes.

    Args:
        notes: in any order; what begins after ``seconds`` is not heard.
        timbre: the instrument.
        rate: samples per second.
        seconds: length of the result; what still rings at the end is faded out.

    Returns:
        float32 (time,) of ``round(seconds * rate)`` samples, its peak 3 dB below full scale; silence without notes.

    Raises:
        ZooError: a rate or length that is out of range.
    """
    check_rate(rate)
    length = round(seconds * rate)
    if length < 1:
        raise ZooError(f"seconds must be at least one sample long, got {seconds}")
    piece = np.zeros(length, dtype=np.float32)
    for note in notes:
        first = round(note.start * rate)
        sound = tone(note, timbre, rate=rate)[: max(length - first, 0)]
        piece[first : first + len(sound)] += sound
    edge = min(round(EDGE * rate), length)
    piece[length - edge :] *= _fall(edge)
    peak = float(np.abs(piece).max())
    return piece * np.float32(HEADROOM / peak) if peak > 0 else piece


def tone(note: Note, timbre: Timbre, *, rate: int) -> Samples:
    """Return one note, float32 (time,), the sum of its partials' levels at most ``note.loudness``."""
    count = round((note.seconds + timbre.release) * rate)
    time = np.arange(count) / rate
    cycles = note.frequency * time + _vibrato(note.frequency, time, timbre)
    total = np.zeros(count, dtype=np.float32)
    levels = _levels(note, timbre, rate)
    for place, (multiple, level) in enumerate(levels):
        if level == 0:
            continue
        turns = multiple * cycles + GOLDEN * place  # phases of their own, or all partials would peak at once
        turns -= np.floor(turns)  # in float64, before precision is dropped
        partial = np.sin(turns.astype(np.float32) * np.float32(2 * math.pi))
        if timbre.decay is not None:
            partial *= np.exp(time * (-(multiple**timbre.damping) / timbre.decay)).astype(np.float32)
        total += np.float32(level) * partial
    rise, fall = min(round(timbre.attack * rate), count), min(round(timbre.release * rate), count)
    total[:rise] *= _fall(rise)[::-1]
    total[count - fall :] *= _fall(fall)
    return total * np.float32(note.loudness / sum(level for _, level in timbre.partials))


def _vibrato(frequency: float, time: npt.NDArray[np.float64], timbre: Timbre) -> npt.NDArray[np.float64] | float:
    """Return the cycles by which vibrato leads or lags: the integral of a frequency that swings around the pitch."""
    if not timbre.vibrato:
        return 0.0
    swing = frequency * (2.0 ** (timbre.depth / 1200.0) - 1.0)
    speed = 2 * math.pi * timbre.vibrato
    # A lag that grows from nothing over a third of a second, as players begin their vibrato.
    lag: npt.NDArray[np.float64] = swing / speed * np.minimum(time * 3.0, 1.0) * np.cos(speed * time)
    return lag


def _levels(note: Note, timbre: Timbre, rate: int) -> list[tuple[float, float]]:
    """Return (multiple, level) of each partial, darker for quiet notes and without those near half the rate."""
    begin, end = (share * rate for share in ROLL_OFF)
    highest = note.frequency * 2.0 ** (timbre.depth / 1200.0)
    return [
        (
            multiple,
            level
            * multiple ** (-timbre.mellowness * (1.0 - note.loudness))
            * min(max((end - multiple * highest) / (end - begin), 0.0), 1.0),
        )
        for multiple, level in timbre.partials
    ]


def _fall(count: int) -> Samples:
    """Return ``count`` values that fall smoothly from 1 to 0: half a cosine."""
    return (0.5 + 0.5 * np.cos(np.linspace(0.0, math.pi, count))).astype(np.float32)
