"""A stack as one folder with all of its parts: those of our own format copied, others converted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from zoo.model import Model
from zoo.music.stack import StackConfig
from zoo.weights import codecs
from zoo.weights import stack as stacks
from zoo.weights.opened import Opened
from zoo.weights.stack import OpenedStack


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
        dtype: of the priors' weights; None copies those of our own format and keeps what the others are stored in. The
            codec's stay in float32, in which vectors are compared.
    """
    parts: dict[str, Any] = {"codec": lambda place: codecs.write(place, opened.codec.codec(torch.device("cpu")))}
    names = []
    for place, part in enumerate(opened.priors):
        names.append(f"level_{coarsest - place}")
        own = Path(part.where).parent
        ours = part.links is None and Path(part.where).name == "config.json"
        parts[names[-1]] = own if ours and dtype is None else _Converted(part, dtype)
    config = StackConfig(codec="codec", priors=tuple(names), coarsest=coarsest)
    stacks.write(folder, config, parameters=parameters, card=card, parts=parts)


class _Converted:
    """Writes a prior of another format or type as a checkpoint folder of ours."""

    def __init__(self, part: Opened, dtype: torch.dtype | None) -> None:
        self.part, self.dtype = part, dtype

    def __call__(self, folder: Path) -> None:
        names = self.part.source.names()
        kinds = {self.part.source.read(name, 0, 0).dtype for name in names if self.part.source.shape(name)}
        small = {kind for kind in kinds if kind.is_floating_point} <= {torch.bfloat16, torch.float16}
        network = self.part.network(torch.device("cpu"), self.dtype or (torch.bfloat16 if small else torch.float32))
        Model(network, self.part.tokenizer, card=self.part.card, recipe=self.part.recipe).save(folder)
