"""Pictures moved and mirrored a little each time that they are learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from zoo.classify.reading import Reader, Row, narrow
from zoo.errors import ZooError
from zoo.finetune.examples import Part
from zoo.tokenizers.base import Tokenizer
from zoo.tokenizers.image.base import ImageTokenizer


@dataclass(frozen=True, kw_only=True)
class Moves:
    """How pictures are varied: crops of a padded picture, and mirrors, as is usual for CIFAR-10.

    Attributes:
        shift: pixels of the tokenizer's grid by which a picture is moved along each side, at most; what comes in at an
            edge is what stands there.
        flip: half of the pictures are mirrored.
    """

    shift: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        if self.shift < 0:
            raise ZooError(f"shift must be 0 or more, got {self.shift}")

    def check(self, tokenizer: Tokenizer[Any]) -> None:
        """Refuse to move anything but pixels.

        Raises:
            ZooError: texts, sounds, codes of a picture.
        """
        if self.any and not isinstance(tokenizer, ImageTokenizer):
            raise ZooError("shift and flip move the pixels of pictures; leave them out for anything else")

    @property
    def any(self) -> bool:
        """Whether pictures are varied at all."""
        return self.shift > 0 or self.flip

    def drawn(self, picture: Tensor, random: np.random.Generator) -> Tensor:
        """Return a picture (rows, columns, channels), moved and mirrored by chance."""
        for axis in (0, 1):
            size = picture.shape[axis]
            away = int(random.integers(-self.shift, self.shift, endpoint=True)) if self.shift else 0
            picture = picture.index_select(axis, (torch.arange(size) - away).clamp(0, size - 1))
        return picture.flip(1) if self.flip and random.random() < 0.5 else picture


@dataclass(frozen=True, kw_only=True)
class MovedPictures(Part):
    """Pictures that are varied each time they are learned from.

    Attributes:
        moves: how.
        reader: makes rows of their ids.
    """

    moves: Moves
    reader: Reader

    def seen(self, place: int, random: np.random.Generator) -> Sequence[Row]:
        """Return the row of a picture, moved and mirrored by chance."""
        (row,) = self.rows[place]
        rows, columns, *_ = self.reader.tokenizer.spec.shape or ()
        grid = rearrange(self.reader.picture(row), "(rows columns ids) -> rows columns ids", rows=rows, columns=columns)
        return [narrow(self.reader.whole(self.moves.drawn(grid, random).flatten()))]
