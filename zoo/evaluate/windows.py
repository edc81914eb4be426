"""Running text in windows that overlap, so that no token is predicted from next to nothing.

Side by side, windows give each first token no context at all; half of the tokens are predicted from less than half a
window. With a stride of less than the context, each window brings ``stride`` new tokens and reads the ones before them
again: every token but those of the first window has at least ``context - stride`` before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from zoo.data.base import IGNORED, Batch, TokenData
from zoo.data.stream import Stream
from zoo.data.text import bits_per_byte
from zoo.errors import ZooError


class Windows(TokenData):
    """One stream of ids, every one but the first predicted once.

    Args:
        stream: of the part that is evaluated on.
        context: ids in a window.
        stride: new ids in each window after the first; ``context`` for windows side by side, as in training.

    Attributes:
        tokens: ids that are predicted.

    Raises:
        ZooError: fewer than two ids, or a stride beyond the context.
    """

    train_tokens = 0

    def __init__(self, stream: Stream, *, context: int, stride: int) -> None:
        if not 1 <= stride <= context:
            raise ZooError(f"stride must be 1 to {context}, the context, got {stride}")
        if len(stream.ids) < 2:
            raise ZooError("the text has fewer than two tokens, so there is nothing to predict; give more text")
        self.tokens = len(stream.ids) - 1
        self._stream, self._context, self._stride = stream, context, stride

    def batch(self, *, step: int, size: int, seed: int) -> Batch:
        """Refuse: nothing is learned here."""
        raise ZooError("windows are for evaluation")

    def held_out(self, size: int) -> Iterator[Batch]:
        """Yield the windows, ``size`` at a time; the first and the last come as batches of their own."""
        context, stride, total = self._context, self._stride, self.tokens
        first = min(context, total)
        yield self._rows(np.array([0]), first, first)
        ends = np.arange(first + stride, total + 1, stride)
        for begin in range(0, len(ends), size):
            yield self._rows(ends[begin : begin + size] - context, context, stride)
        if total > first and (rest := (total - first) % stride):
            length = rest + context - stride
            yield self._rows(np.array([total - length]), length, rest)

    def metrics(self, nats: float, tokens: int) -> dict[str, Any]:
        """Return bits per byte of the raw text."""
        return bits_per_byte(nats, self._stream)

    def _rows(self, starts: np.ndarray[Any, Any], length: int, new: int) -> Batch:
        """Return windows that begin at ``starts``, of which the last ``new`` ids are predicted."""
        rows = torch.from_numpy(self._stream.ids[starts[:, None] + np.arange(length + 1)].astype(np.int64))
        targets = rows[:, 1:].clone()
        targets[:, : length - new] = IGNORED
        return Batch(ids=rows[:, :-1], targets=targets, indices=torch.from_numpy(starts.astype(np.int64)))
