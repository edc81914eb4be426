"""How a prior of a coarsest level hears a sound of which nobody has said anything: its codes, and their places."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ZooError
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


class Hearing:
    """Codes of a sound as windows of ids, and what is told of each.

    No artist, genre and lyrics are told, as a share of training was not; where timing is, a sound is as long as it is,
    but no shorter or longer than the prior knows pieces.

    Args:
        network: a prior of the coarsest level.
        tokenizer: makes that level's codes.

    Attributes:
        codec: the tokenizer.
        room: codes in a window, behind the id that begins one.

    Raises:
        ZooError: no codec, or a prior that is told the codes of a coarser level.
    """

    def __init__(self, network: Prior, tokenizer: Tokenizer[Any]) -> None:
        if network.config.above is not None:
            raise ZooError(
                "this prior is told the codes of a coarser level beside its own; sounds are read by a stack's "
                "coarsest prior: name the stack"
            )
        self.codec = codec_of(tokenizer)
        self.room = network.context - 1
        self._network = network
        self._telling = Telling(config=network.config, hop=self.codec.hop)
        self._start = torch.tensor([network.start_id])

    def ids(self, codes: Tensor) -> Tensor:
        """Return the ids (time + 1,) of a window's codes (time,), the one that begins it included."""
        return torch.cat([self._start, self._network.ids_of(codes)])

    def told(self, total: int, first: int) -> Conditioning:
        """Return what is told, one row, of the window from code ``first`` on of a sound of ``total`` samples."""
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
