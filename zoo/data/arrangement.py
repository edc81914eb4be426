"""Melodies as facts, and what can be made of them: other keys, tempi, dynamics, ornaments, a bass."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from zoo.data.synthesiser import Note, Timbre
from zoo.errors import ZooError

STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
TRIADS = {
    "major": ((0, 4, 7), (5, 9, 0), (7, 11, 2)),
    "minor": ((0, 3, 7), (5, 8, 0), (7, 11, 2), (10, 2, 5)),
}
"""What a bar may be accompanied by, semitones above the first step: I, IV, V; i, iv, V (its third raised), VII."""
SYLLABLES = ("do", "di", "re", "ri", "mi", "fa", "fi", "sol", "si", "la", "li", "ti")
"""Solfège names of the twelve pitches from C up: what is sung on them."""
TONE = re.compile(r"(?:([A-G])(#|b)?(-?\d)|R)(?::(\d+|\d*\.\d+))?")
LINE = 8
"""Syllables of a line of lyrics."""
LOWEST, HIGHEST = 52, 88
"""Pitches between which a melody is transposed: E3 (165 Hz) to E6 (1,319 Hz)."""
BASS = 36
"""Lowest pitch of an accompaniment: C2 (65 Hz)."""
Accompaniment = Literal["none", "bass", "broken", "chords"]
ACCOMPANIMENTS: tuple[Accompaniment, ...] = get_args(Accompaniment)
Dynamics = Literal["even", "growing", "fading", "arched"]


@dataclass(frozen=True, kw_only=True)
class Tone:
    """One written tone.

    Attributes:
        onset, beats: when it begins and how long it lasts, in beats.
        pitch: MIDI number; None for a rest.
    """

    onset: float
    beats: float
    pitch: int | None


@dataclass(frozen=True, kw_only=True)
class Melody:
    """A melody as it is written.

    Attributes:
        title, composer, year, genre: where it comes from.
        bpm: beats a minute.
        key: such as ``A minor``.
        meter: beats of a bar.
        notes: ``pitch:beats`` between blanks; R is a rest, and one beat is not said.
        upbeat: beats before the first bar.
        held_out: training never hears it.
    """

    title: str
    composer: str
    year: int
    genre: str
    bpm: float
    key: str
    meter: int
    notes: str
    upbeat: float = 0.0
    held_out: bool = False

    def __post_init__(self) -> None:
        first, _, mode = self.key.partition(" ")
        if first not in STEPS or mode not in SCALES:
            raise ZooError(f"{self.title}: key '{self.key}' is none; write for example 'C major' or 'A minor'")

    @cached_property
    def tones(self) -> tuple[Tone, ...]:
        """The tones and rests, in order.

        Raises:
            ZooError: something that is no tone.
        """
        tones, onset = [], 0.0
        for word in self.notes.split():
            match = TONE.fullmatch(word)
            if match is None:
                raise ZooError(f"{self.title}: '{word}' is no note; write pitch:beats, such as C4, F#4:.5 or R:2")
            letter, accidental, octave, length = match.groups()
            pitch = None
            if letter:
                pitch = 12 * (int(octave) + 1) + STEPS[letter] + {"#": 1, "b": -1}.get(accidental, 0)
            tones.append(Tone(onset=onset, beats=float(length or 1), pitch=pitch))
            onset += tones[-1].beats
        return tuple(tones)

    @cached_property
    def beats(self) -> float:
        """Beats after which the melody may begin anew: whole bars."""
        last = self.tones[-1]
        return -(-(last.onset + last.beats) // self.meter) * self.meter

    @property
    def range(self) -> tuple[int, int]:
        """The lowest and the highest pitch."""
        pitches = [tone.pitch for tone in self.tones if tone.pitch is not None]
        return min(pitches), max(pitches)

    @property
    def tonic(self) -> int:
        """Pitch class of the key's first step."""
        return STEPS[self.key.split()[0]]

    @property
    def scale(self) -> tuple[int, ...]:
        """Pitch classes of the key, from its first step."""
        return tuple((self.tonic + step) % 12 for step in SCALES[self.key.split()[1]])

    @cached_property
    def chords(self) -> tuple[tuple[int, int, int], ...]:
        """For each bar the pitch classes of a triad (root, third, fifth): the one that most of the bar is part of."""
        triads = [
            ((self.tonic + root) % 12, (self.tonic + third) % 12, (self.tonic + fifth) % 12)
            for root, third, fifth in TRIADS[self.key.split()[1]]
        ]
        chosen = []
        for bar in range(round(self.beats / self.meter)):
            begin = self.upbeat + bar * self.meter
            weights = [sum(self._heard(begin, pitch) for pitch in triad) for triad in triads]
            chosen.append(triads[int(np.argmax(weights))])  # the first of equals
        return tuple(chosen)

    def _heard(self, begin: float, pitch_class: int) -> float:
        """Return for how many beats of the bar from ``begin`` a pitch class sounds."""
        return sum(
            max(0.0, min(tone.onset + tone.beats, begin + self.meter) - max(tone.onset, begin))
            for tone in self.tones
            if tone.pitch is not None and tone.pitch % 12 == pitch_class
        )


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One way to play a melody.

    Attributes:
        melody: what is played.
        timbre: on what.
        transposed: by how many semitones.
        tempo: beats a minute.
        first: number of the tone that it begins with; after the last tone the melody begins anew.
        legato: share of its length that a tone is held.
        dynamics: how loudness goes over the piece.
        ornamented: long tones are approached from the step above.
        accompaniment: what is played below the melody.
    """

    melody: Melody
    timbre: Timbre
    transposed: int = 0
    tempo: float
    first: int = 0
    legato: float = 0.95
    dynamics: Dynamics = "even"
    ornamented: bool = False
    accompaniment: Accompaniment = "none"

    def score(self, seconds: float) -> list[Note]:
        """Return the notes of the first ``seconds``, melody first, then what goes with it."""
        return [*self._voice(seconds), *self._below(seconds)]

    def lyrics(self, seconds: float) -> str:
        """Return the solfège names of the melody's tones, as they sound, eight on a line."""
        names = [SYLLABLES[(pitch + self.transposed) % 12] for _, _, pitch in self._tones(seconds)]
        return "\n".join(" ".join(names[begin : begin + LINE]) for begin in range(0, len(names), LINE))

    def _tones(self, seconds: float) -> Iterator[tuple[float, float, int]]:
        """Yield start and length in seconds and the written pitch of every tone that begins in the first ``seconds``.

        The last one is left out if less than a quarter of it would be heard.
        """
        melody, beat = self.melody, 60.0 / self.tempo
        begin = melody.tones[self.first].onset
        number = self.first
        while True:
            around, place = divmod(number, len(melody.tones))
            tone = melody.tones[place]
            start = (tone.onset + around * melody.beats - begin) * beat
            if start + 0.25 * tone.beats * beat > seconds:
                return
            if tone.pitch is not None:
                yield start, tone.beats * beat, tone.pitch
            number += 1

    def _voice(self, seconds: float) -> Iterator[Note]:
        beat = 60.0 / self.tempo
        for start, length, written in self._tones(seconds):
            pitch, loudness = written + self.transposed, self._loudness(start / seconds)
            if self.ornamented and length >= 1.5 * beat:
                grace = min(0.09, length / 6)
                above = self._above(written) + self.transposed
                yield Note(start=start, seconds=grace, pitch=above, loudness=0.8 * loudness)
                start, length = start + grace, length - grace
            yield Note(start=start, seconds=length * self.legato, pitch=pitch, loudness=loudness)

    def _below(self, seconds: float) -> Iterator[Note]:
        """Yield the accompaniment, bar by bar from the first whole bar."""
        if self.accompaniment == "none":
            return
        melody, beat = self.melody, 60.0 / self.tempo
        begin = melody.tones[self.first].onset
        bar = -int(-(begin - melody.upbeat) // melody.meter)
        while (start := (melody.upbeat + bar * melody.meter - begin) * beat) < seconds:
            root, third, fifth = (
                BASS + (pitch + self.transposed - BASS) % 12 for pitch in melody.chords[bar % len(melody.chords)]
            )
            loudness = 0.6 * self._loudness(start / seconds)
            for at, beats, pitch in _pattern(self.accompaniment, melody.meter, root, third, fifth):
                yield Note(start=start + at * beat, seconds=beats * beat * 0.9, pitch=pitch, loudness=loudness)
            bar += 1

    def _loudness(self, part: float) -> float:
        """Return the loudness where ``part`` of the piece is over."""
        curves = {"even": 0.5, "growing": part, "fading": 1.0 - part, "arched": 1.0 - abs(2.0 * part - 1.0)}
        return 0.45 + 0.5 * curves[self.dynamics]

    def _above(self, written: int) -> int:
        """Return the next step of the scale above a written pitch."""
        return next(pitch for pitch in range(written + 1, written + 4) if pitch % 12 in self.melody.scale)


def _pattern(
    accompaniment: Accompaniment, meter: int, root: int, third: int, fifth: int
) -> list[tuple[float, float, int]]:
    """Return (beat, beats, pitch) of what is played in one bar."""
    third, fifth = (pitch if pitch > root else pitch + 12 for pitch in (third, fifth))
    if accompaniment == "bass":
        return [(0, meter, root)]
    if accompaniment == "chords":
        return [(0, meter, root), (0, meter, third + 12), (0, meter, fifth)]
    return [(at, 1, (root, fifth, third + 12, fifth)[at % 4]) for at in range(meter)]


def vary(
    melody: Melody,
    timbre: Timbre,
    random: np.random.Generator,
    accompaniments: Sequence[Accompaniment] = ACCOMPANIMENTS,
) -> Piece:
    """Return one way to play ``melody``, drawn from ``random``: key, octave, tempo, dynamics and all else."""
    low, high = melody.range
    dynamics = get_args(Dynamics)
    bars = [
        number
        for number, tone in enumerate(melody.tones)
        if number == 0 or (tone.onset - melody.upbeat) % melody.meter == 0
    ]
    return Piece(
        melody=melody,
        timbre=timbre,
        transposed=int(random.integers(LOWEST - low, HIGHEST - high + 1)),
        tempo=melody.bpm * 2.0 ** random.uniform(-0.5, 0.5),
        first=bars[random.integers(len(bars))],
        legato=float(random.choice([0.5, 0.8, 0.95, 1.0])),
        dynamics=dynamics[random.integers(len(dynamics))],
        ornamented=bool(random.random() < 0.25),
        accompaniment=accompaniments[int(random.integers(len(accompaniments)))],
    )
