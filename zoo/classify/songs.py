"""How a prior with a head reads a sound: windows of its codes, each told where it stands, and nobody's name."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from zoo.classify.kinds import Together
from zoo.classify.reading import MOST_WINDOWS, Row, following, spread
from zoo.errors import ZooError
from zoo.music.hearing import Hearing
from zoo.music.prior import Prior
from zoo.tokenizers.base import Tokenizer


class SongReader:
    """Turns sounds into rows, a window each; see ``Hearing``. What a head says of them is averaged.

    Args:
        network: a prior of the coarsest level, with its head, if it has one already.
        tokenizer: makes that level's codes.
        context: most ids in a row, the one that begins it included; None for what the network reads.

    Attributes:
        together: what the logits of a sound's windows come to.

    Raises:
        ZooError: no codec, a prior that is told the codes of a coarser level, or a context without room for a code.
    """

    together: Together = "mean"

    def __init__(self, network: Prior, tokenizer: Tokenizer[Any], *, context: int | None = None) -> None:
        self.network = network
        self.context = network.context if context is None else context
        self._hearing = Hearing(network, tokenizer)
        if self.context < 2:
            raise ZooError(f"context: a window of music has its first id and one of its own, got {self.context}")

    def rows(self, sample: Any) -> list[Row]:
        """Return the rows of a sound, which are told where they stand in it; see ``spread``.

        Raises:
            ZooError: no sound, or an empty one.
        """
        codec, room = self._hearing.codec, self.context - 1
        samples = np.ascontiguousarray(codec.prepare(sample))
        codes = codec.encode_samples(torch.from_numpy(samples))
        if not len(codes):
            raise ZooError("is empty: there is nothing to read in it")
        firsts = spread(len(codes), room)
        return [self._row(codes[first : first + room], len(samples), first, len(codes)) for first in firsts]

    def _row(self, codes: torch.Tensor, total: int, first: int, count: int) -> Row:
        ids = self._hearing.ids(codes)
        return Row(
            ids=ids,
            targets=following(ids, self.network.output_vocabulary),
            told=self._hearing.told(total, first),
            cut=max(0, count - MOST_WINDOWS * (self.context - 1)),
        )
