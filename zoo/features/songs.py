"""How a prior reads a sound: windows of its level's codes, each told its place in the piece, and nobody's name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from zoo.data.sound_file import open_sound
from zoo.errors import ZooError
from zoo.features.reading import Reading, Window, cut
from zoo.music.prior import Prior
from zoo.music.telling import Piece, Telling
from zoo.network import Conditioning
from zoo.tokenizers.audio.base import AudioTokenizer
from zoo.tokenizers.base import Tokenizer


def codec_of(tokenizer: Tokenizer[Any]) -> AudioTokenizer:
    """Return the tokenizer of a prior that reads sounds.

    Raises:
        ZooError: it has none, as a prior that came without its codec.
    """
    if not isinstance(tokenizer, AudioTokenizer):
        raise ZooError(
            "this prior has no codec, so it reads codes and no sounds; put both together: "
            "zoo stack codec=CODEC priors=PRIOR out=DIR"
        )
    return tokenizer


class SongReading(Reading):
    """Cuts sounds into a prior's windows side by side, each behind the id that begins one.

    No artist, genre and lyrics are told, as a share of training was not; where timing is, a sound is as long as it is,
    but no shorter or longer than the prior knows pieces.

    Args:
        network: a prior of the coarsest level.
        tokenizer: makes that level's codes.

    Raises:
        ZooError: no codec, or a prior that is told the codes of a coarser level.
    """

    def __init__(self, network: Prior, tokenizer: Tokenizer[Any]) -> None:
        if network.config.above is not None:
            raise ZooError(
                "this prior is told the codes of a coarser level beside its own; features are those of a stack's "
                "coarsest prior: name the stack, or that prior"
            )
        self.tokenizer, self._network = tokenizer, network
        self._codec = codec_of(tokenizer)
        self._telling = Telling(config=network.config, hop=self._codec.hop)
        self._start = torch.tensor([network.start_id])

    def windows(self, sample: Any) -> Iterator[Window]:
        """Yield the windows of a sound; see ``Reading.windows``."""
        room, seen = self._network.context - 1, False
        total = self._samples(sample)
        for number, codes in enumerate(cut(self._stretches(sample), room)):
            seen = True
            yield Window(torch.cat([self._start, self._network.ids_of(codes)]), self._told(total, number * room))
        if not seen:
            raise ZooError("is empty: there is nothing to read in it")

    def _samples(self, sample: Any) -> int:
        """Return the samples of a sound at the codec's rate."""
        if isinstance(sample, Path):
            with open_sound(sample) as sound:
                return round(sound.frames * self._codec.rate / sound.rate)
        return len(self._codec.prepare(sample))

    def _told(self, total: int, first: int) -> Conditioning:
        """Return what is told of the window from code ``first`` on of a piece of ``total`` samples."""
        config = self._network.config
        timing = None if config.labels is None else config.labels.timing
        if timing is not None:
            least, most = math.ceil(timing.shortest * timing.rate), math.ceil(timing.longest * timing.rate) - 1
            total = min(max(total, least), most)
            first = min(first, (total - 1) // self._telling.hop)
        told = self._telling.of(Piece(total=total))
        return Conditioning(
            labels=None if config.labels is None else self._telling.labels(told, first)[None],
            source=None if config.lyrics is None else self._telling.lyrics(told, first)[0][None],
        )
