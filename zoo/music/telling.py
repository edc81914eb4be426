"""What a prior is told of each window of a piece: numbers made of names, words and places."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.music.config import PriorConfig
from zoo.music.lyrics import window
from zoo.music.names import Names

NOTHING = torch.empty(0, dtype=torch.int64)
NOBODY = -1
"""In the place of a genre: there is none."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What is said of a piece of music.

    Attributes:
        artist, genre, lyrics: as people write them; empty where nothing is said.
        total: samples of the whole piece, also of what comes before and after the part that is made.
        offset: sample at which that part begins.
    """

    artist: str = ""
    genre: str = ""
    lyrics: str = ""
    total: int
    offset: int = 0


@dataclass(frozen=True, kw_only=True)
class Told:
    """A piece in numbers.

    Attributes:
        total, offset: see ``Piece``.
        artist: its number.
        genres: numbers, filled up with NOBODY, (slots,).
        lyrics: ids of all lyrics, (characters,).
    """

    total: int
    offset: int
    artist: int
    genres: tuple[int, ...]
    lyrics: Tensor


@dataclass(frozen=True, kw_only=True)
class Telling:
    """From pieces to what one prior is told.

    Attributes:
        config: of the prior.
        hop: samples that an id of its level stands for.
    """

    config: PriorConfig
    hop: int

    def of(self, piece: Piece, *, unknown: bool = False) -> Told:
        """Return a piece in numbers.

        Args:
            piece: what is said of it.
            unknown: go on with number 0 where a name is not known.

        Raises:
            ZooError: a name that is not known, or a total length that the prior was not trained for.
        """
        labels, lyrics = self.config.labels, self.config.lyrics
        artist, genres = 0, []
        if labels is not None:
            names = labels.names or Names()
            artist = names.artist(piece.artist, unknown=unknown)
            genres = names.genre(piece.genre, labels.slots, unknown=unknown)
            if labels.timing is not None:
                labels.timing.check(piece.total, piece.offset)
        alphabet = None if lyrics is None else lyrics.alphabet
        if lyrics is not None and alphabet is None and piece.lyrics:
            raise ZooError("lyrics: this model does not say which character is which id")
        slots = labels.slots if labels is not None else 0
        return Told(
            total=piece.total,
            offset=piece.offset,
            artist=artist,
            genres=(*genres, *[NOBODY] * (slots - len(genres))),
            lyrics=NOTHING if alphabet is None else alphabet.encode(piece.lyrics),
        )

    def labels(self, told: Told, start: int) -> Tensor:
        """Return the row of labels of the window from id ``start`` on, (4 + slots,) int64."""
        offset = told.offset + start * self.hop
        return torch.tensor([told.total, offset, self.config.context * self.hop, told.artist, *told.genres])

    def lyrics(self, told: Told, start: int) -> tuple[Tensor, Tensor]:
        """Return the lyric ids of the window from id ``start`` on, and their places in the lyrics; see ``window``."""
        length = 0 if self.config.lyrics is None else self.config.lyrics.length
        offset, duration = told.offset + start * self.hop, self.config.context * self.hop
        return window(told.lyrics, length, total=told.total, offset=offset, duration=duration)
