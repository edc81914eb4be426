"""A stack as one folder with all of its parts, whatever their formats were."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from zoo.model import Model
from zoo.music.stack import StackConfig
from zoo.tokenizers.none import NoTokenizer
from zoo.weights import codecs
from zoo.weights import stack as stacks
from zoo.weights.opened import Opened
from zoo.weights.stack import OpenedStack
from zoo.weights.tensors import stored_dtype


def write_stack(
    opened: OpenedStack,
    folder: Path,
    *,
    coarsest: int,
    parameters: int,
    card: Mapping[str, Any],
    dtype: torch.dtype | None = None,
) -> None:
    """Write a stack into an empty or missing folder.

    Args:
        opened: its files.
        folder: where to.
        coarsest: level of its first prior.
        parameters: of all parts.
        card: where the stack comes from.
        dtype: of the priors' weights; None keeps what they are stored in (float16 becomes float32). The codec's stay
            in float32, in which vectors are compared. Priors leave tokenizers of theirs behind, for the codec is all of
            them.
    """
    parts: dict[str, Any] = {"codec": lambda place: codecs.write(place, opened.codec.codec(torch.device("cpu")))}
    names = []
    for place, part in enumerate(opened.priors):
        names.append(f"level_{coarsest - place}")
        parts[names[-1]] = _Prior(part, dtype)
    config = StackConfig(codec="codec", priors=tuple(names), coarsest=coarsest)
    stacks.write(folder, config, parameters=parameters, card=card, parts=parts)


class _Prior:
    """Writes a prior as a checkpoint folder of ours, one at a time in memory."""

    def __init__(self, part: Opened, dtype: torch.dtype | None) -> None:
        self.part, self.dtype = part, dtype

    def __call__(self, folder: Path) -> None:
        network = self.part.network(torch.device("cpu"), self.dtype or stored_dtype(self.part.source))
        tokenizer = NoTokenizer(self.part.config.vocabulary, modality="music")
        Model(network, tokenizer, card=self.part.card, recipe=self.part.recipe).save(folder)
