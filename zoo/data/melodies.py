"""The music that needs no file: sixteen public-domain melodies, varied without end and played by a small synthesiser.

The facts are in ``melodies.yaml``, what can be made of them is in ``arrangement.py``, how it sounds in
``synthesiser.py``.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import resources

import yaml

from zoo.data.arrangement import ACCOMPANIMENTS, Accompaniment, Melody, Piece, vary
from zoo.data.read_sound import SoundRecords
from zoo.data.records import Sound
from zoo.data.seeded import generator
from zoo.data.sounds import Field, Mix, SoundCorpus, Sounds
from zoo.data.synthesiser import TIMBRES, render
from zoo.download import Progress
from zoo.errors import ZooError
from zoo.settings import build
from zoo.tokenizers.audio.waveform import Samples, check_rate

FILE = "melodies.yaml"
LICENSE = "CC0-1.0"
LONGEST = 600.0
"""Most seconds of a piece."""
KEPT = 8
"""Pieces that are kept as they were played; whoever reads them often keeps them, too."""
VERSION = 1
"""Of what is played for the same settings: a part of the data's sha256."""


@functools.cache
def melodies() -> tuple[Melody, ...]:
    """Return the melodies as they are written, all published before 1900."""
    return tuple(
        build(Melody, entry, f"{FILE}: melody {number}") for number, entry in enumerate(yaml.safe_load(_file()))
    )


def pieces(count: int, seed: int, accompaniments: Sequence[Accompaniment] = ACCOMPANIMENTS) -> list[Piece]:
    """Return ``count`` pieces, each varied in its own way: a function of number, seed and ``accompaniments``.

    Melodies and instruments take turns, so that of 112 pieces each melody is played once on each instrument.
    """
    written = melodies()
    return [
        vary(written[number % len(written)], TIMBRES[number % len(TIMBRES)], generator(seed, number), accompaniments)
        for number in range(count)
    ]


@dataclass(frozen=True, kw_only=True)
class Melodies:
    """Public-domain melodies, played by a synthesiser: music that needs no file. Or sounds of yours.

    Each piece has its instrument as the artist (and the label), the family of its melody as the genre, and the solfège
    names of what is played as the lyrics. Training hears nothing of Auld Lang Syne and London Bridge.

    Attributes:
        path: sounds of yours instead; see ``Sounds``.
        count: number of pieces, both parts together; at least 16, the number of melodies.
        rate: samples per second.
        seconds: length of each piece.
        seed: of the variations.
        length, mix, conditional, label, unlabelled, held_out, memory: see ``Sounds``.
    """

    path: str | None = None
    count: int = 256
    rate: int = 22_050
    seconds: float = 12.0
    seed: int = 0
    length: int = 65_536
    mix: Mix = "equal"
    conditional: bool = False
    label: Field = "label"
    unlabelled: float = 0.1
    held_out: float = 0.1
    memory: int = 1024

    def __post_init__(self) -> None:
        check_rate(self.rate)
        if self.count < (least := len(melodies())):
            raise ZooError(f"count must be at least {least}, one piece of each melody, got {self.count}")
        if not (math.isfinite(self.seconds) and 1 <= self.seconds <= LONGEST):
            raise ZooError(f"seconds must be 1 to {LONGEST:.0f}, got {self.seconds}")
        self.sounds()  # checks what is left

    def sounds(self) -> Sounds:
        """Return how rows are made of sounds, wherever they come from."""
        shared = {field.name for field in dataclasses.fields(self)} & {each.name for each in dataclasses.fields(Sounds)}
        return Sounds(**{name: getattr(self, name) for name in shared})

    def open(self, progress: Progress | None = None) -> SoundCorpus:
        """Write the scores, which are played when they are asked for; or find the sounds in ``path``.

        Raises:
            ZooError: as ``Sounds.open``.
        """
        if self.path is not None:
            return self.sounds().open(progress)
        records = play_melodies(count=self.count, rate=self.rate, seconds=self.seconds, seed=self.seed)
        entry = {"name": "melodies (synthesised)", "license": LICENSE, "sha256": records.sha256}
        return SoundCorpus(records, [entry], self.sounds())


def play_melodies(
    *, count: int, rate: int, seconds: float, seed: int, accompaniments: Sequence[Accompaniment] = ACCOMPANIMENTS
) -> SoundRecords:
    """Return pieces as sounds; each is played when it is read. See ``Melodies``; ``accompaniments`` are drawn from."""
    chosen = pieces(count, seed, accompaniments)
    told = f"{VERSION} {count} {rate} {seconds} {seed}"
    if tuple(accompaniments) != ACCOMPANIMENTS:
        told += f" {' '.join(accompaniments)}"

    @functools.lru_cache(maxsize=KEPT)
    def samples(number: int) -> Samples:
        piece = chosen[number]
        return render(piece.score(seconds), piece.timbre, rate=rate, seconds=seconds)[:, None]

    fields = [
        {
            "artist": piece.timbre.name,
            "genre": piece.melody.genre,
            "lyrics": piece.lyrics(seconds),
            "label": piece.timbre.name,
        }
        for piece in chosen
    ]

    def load(number: int) -> Sound:
        own = {name: fields[number][name] for name in ("artist", "genre", "lyrics")}
        return Sound(samples=samples(number), rate=rate, **own)

    frames = round(seconds * rate)
    return SoundRecords(
        title="melodies",
        names=[f"{number:04d} {piece.melody.title} ({piece.timbre.name})" for number, piece in enumerate(chosen)],
        labels=[piece.timbre.name for piece in chosen],
        train=[number for number, piece in enumerate(chosen) if not piece.melody.held_out],
        held_out=[number for number, piece in enumerate(chosen) if piece.melody.held_out],
        load=load,
        open=lambda number: nullcontext(Played(functools.partial(samples, number), rate=rate, frames=frames)),
        fields=fields,
        sha256=hashlib.sha256(_file() + told.encode()).hexdigest(),
    )


class Played:
    """A piece to be read as a sound in a file is, and played only if it is.

    Args:
        play: returns its samples (time, 1).
        rate: samples per second.
        frames: number of them.
    """

    channels = 1

    def __init__(self, play: Callable[[], Samples], *, rate: int, frames: int) -> None:
        self.rate, self.frames, self._play = rate, frames, play

    def blocks(self) -> Iterator[Samples]:
        """Yield all samples at once."""
        yield self._play()

    def part(self, start: int, count: int) -> Samples:
        """Return samples (time, 1) from ``start`` on."""
        return self._play()[start : start + count]


def _file() -> bytes:
    return resources.files("zoo.data").joinpath(FILE).read_bytes()
