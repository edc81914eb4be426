"""How a prior reads a sound: windows of its level's codes, each told its place in the piece, and nobody's name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.data.sound_file import open_sound
from zoo.errors import ZooError
from zoo.features.reading import Reading, Window, cut
from zoo.music.hearing import Hearing
from zoo.music.prior import Prior
from zoo.tokenizers.base import Tokenizer


class SongReading(Reading):
    """Cuts sounds into a prior's windows side by side, each behind the id that begins one; see ``Hearing``.

    Args:
        network: a prior of the coarsest level.
        tokenizer: makes that level's codes.

    Raises:
        ZooError: no codec, or a prior that is told the codes of a coarser level.
    """

    def __init__(self, network: Prior, tokenizer: Tokenizer[Any]) -> None:
        self.tokenizer = tokenizer
        self._hearing = Hearing(network, tokenizer)

    def windows(self, sample: Any) -> Iterator[Window]:
        """Yield the windows of a sound; see ``Reading.windows``."""
        hearing, seen = self._hearing, False
        total = self._samples(sample)
        for number, codes in enumerate(cut(self._stretches(sample), hearing.room)):
            seen = True
            yield Window(hearing.ids(codes), hearing.told(total, number * hearing.room))
        if not seen:
            raise ZooError("is empty: there is nothing to read in it")

    def _samples(self, sample: Any) -> int:
        """Return the samples of a sound at the codec's rate."""
        codec = self._hearing.codec
        if isinstance(sample, Path):
            with open_sound(sample) as sound:
                return round(sound.frames * codec.rate / sound.rate)
        return len(codec.prepare(sample))
