"""How a network reads a whole sample, however long: the ids of texts, pictures and sounds in windows of its context."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.architecture import AnyNetwork
from zoo.data.read_sound import read_blocks
from zoo.data.records import TextRow
from zoo.errors import ZooError
from zoo.network import Conditioning
from zoo.tokenizers.audio.base import AudioTokenizer
from zoo.tokenizers.base import Tokenizer
from zoo.tokenizers.masked import MaskedTokenizer
from zoo.tokenizers.none import NoTokenizer


@dataclass(frozen=True, eq=False)
class Window:
    """What a network reads at once.

    Attributes:
        ids: (time,) int64.
        told: what it is told beside them, of this one row; None for nothing.
    """

    ids: Tensor
    told: Conditioning | None = None


class Reading:
    """Cuts samples into what a network reads at once.

    Before the ids stands what stood there in training: a start id, or [CLS], with a [SEP] after them. A picture is read
    as it was in training: the start id and all its ids but the last. Longer texts and sounds are cut into windows side
    by side, each with its own lead.

    Args:
        network: reads the windows.
        tokenizer: makes the ids.

    Raises:
        ZooError: no tokenizer, or a network that turns a source into a target.
    """

    def __init__(self, network: AnyNetwork, tokenizer: Tokenizer[Any]) -> None:
        if isinstance(tokenizer, NoTokenizer):
            tokenizer.refuse()
        if network.source_context is not None:
            raise ZooError("this model turns a source into a target and has no features of one text; use another model")
        self.tokenizer = tokenizer
        start, before, after = tokenizer.spec.start_id, [], []
        if not network.causal and isinstance(tokenizer, MaskedTokenizer):
            before, after = [tokenizer.class_id], [tokenizer.separator_id]
        elif network.causal and start is not None:
            before = [start]
        self._before, self._after = torch.tensor(before, dtype=torch.int64), torch.tensor(after, dtype=torch.int64)
        self._room = network.context - len(before) - len(after)
        self._whole = tokenizer.spec.ids_per_sample is not None
        if self._room < 1:
            raise ZooError(f"this model reads {network.context} tokens at once, too few for a sample")

    def windows(self, sample: Any) -> Iterator[Window]:
        """Yield the windows of one sample, of at most the network's context.

        Args:
            sample: text, a ``TextRow`` without a second text, a picture, a sound, or the ``Path`` of a sound file,
                which is then read in constant memory.

        Raises:
            ZooError: nothing in it, or what the tokenizer cannot read.
        """
        if self._whole:
            ids = self.tokenizer.encode(sample)
            yield Window(torch.cat([self._before, ids])[: self._room + len(self._before)])
            return
        seen = False
        for window in cut(self._stretches(sample), self._room):
            seen = True
            yield Window(torch.cat([self._before, window, self._after]))
        if not seen:
            raise ZooError("is empty: there is nothing to read in it")

    def _stretches(self, sample: Any) -> Iterable[Tensor]:
        """Return the ids of a text or sound as they come."""
        tokenizer = self.tokenizer
        if isinstance(tokenizer, AudioTokenizer):
            if isinstance(sample, Path):
                return tokenizer.encode_blocks(read_blocks(sample, tokenizer.rate))
            return tokenizer.encode_blocks([np.ascontiguousarray(tokenizer.prepare(sample))])
        if isinstance(sample, TextRow):
            if sample.text_b is not None:
                raise ZooError("has a second text, and features are of one; leave the column text_b out")
            sample = sample.text
        return [tokenizer.encode(sample)]


def cut(stretches: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """Yield ids that come in stretches in windows of ``size``, the last as long as it happens to be."""
    waiting: list[Tensor] = []
    held = 0
    for stretch in stretches:
        waiting.append(stretch)
        held += len(stretch)
        if held >= size:
            joined = torch.cat(waiting)
            whole = len(joined) // size * size
            yield from joined[:whole].reshape(-1, size)
            waiting, held = [joined[whole:]], len(joined) - whole
    if held:
        yield torch.cat(waiting)
