"""The music that needs no file: sixteen public-domain melodies, varied without end and played by a small synthesiser.

The facts are in ``melodies.yaml``, what can be made of them is in ``arrangement.py``, how it sounds in
``synthesiser.py``.
"""

from __future__ import annotations

import functools
import hashlib
import math
from importlib import resources

import yaml

from zoo.data.arrangement import Melody, Piece, vary
from zoo.data.records import Records, Sound
from zoo.data.seeded import generator
from zoo.data.synthesiser import render
from zoo.errors import ZooError
from zoo.settings import build
from zoo.tokenizers.audio.waveform import check_rate

FILE = "melodies.yaml"
LICENSE = "CC0-1.0"
LONGEST = 600.0
"""Most seconds of a piece."""


def melodies() -> tuple[Melody, ...]:
    """Return the melodies as they are written, all published before 1900."""
    return tuple(
        build(Melody, entry, f"{FILE}: melody {number}") for number, entry in enumerate(yaml.safe_load(_file()))
    )


def pieces(count: int, seed: int) -> list[Piece]:
    """Return ``count`` pieces, the melodies in turn, each varied in its own way: a function of number and seed."""
    written = melodies()
    return [vary(written[number % len(written)], generator(seed, number)) for number in range(count)]


def read_melodies(*, count: int, rate: int, seconds: float, seed: int) -> Records[Sound]:
    """Return pieces of equal length, each with its instrument as the artist, the melody's family as the genre, and
    the solfège names of what is played as the lyrics; its label is the instrument.

    A piece is played when it is first asked for, and then kept. Pieces of the melodies that melodies.yaml marks (Auld
    Lang Syne and London Bridge) are the held-out part: training hears nothing of them.

    Args:
        count: number of pieces, both parts together.
        rate: samples per second.
        seconds: length of each.
        seed: of the variations.

    Raises:
        ZooError: a number that is out of range.
    """
    check_rate(rate)
    written = melodies()
    if count < len(written):
        raise ZooError(f"count must be at least {len(written)}, one piece of each melody, got {count}")
    if not (math.isfinite(seconds) and 1 <= seconds <= LONGEST):
        raise ZooError(f"seconds must be 1 to {LONGEST:.0f}, got {seconds}")
    chosen = pieces(count, seed)

    @functools.cache
    def load(number: int) -> Sound:
        piece = chosen[number]
        samples = render(piece.score(seconds), piece.timbre, rate=rate, seconds=seconds)
        return Sound(
            samples=samples[:, None],
            rate=rate,
            artist=piece.timbre.name,
            genre=piece.melody.genre,
            lyrics=piece.lyrics(seconds),
        )

    return Records(
        title="melodies",
        names=[f"{number:04d} {piece.melody.title} ({piece.timbre.name})" for number, piece in enumerate(chosen)],
        labels=[piece.timbre.name for piece in chosen],
        train=[number for number, piece in enumerate(chosen) if not piece.melody.held_out],
        held_out=[number for number, piece in enumerate(chosen) if piece.melody.held_out],
        load=load,
        sha256=hashlib.sha256(_file()).hexdigest(),
    )


def _file() -> bytes:
    return resources.files("zoo.data").joinpath(FILE).read_bytes()
