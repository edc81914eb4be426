"""The part of a picture that is given, where the rest is to be drawn: its top rows, or all that a mask leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.errors import ZooError
from zoo.tokenizers.base import Tokenizer, TokenSpec
from zoo.tokenizers.image.pixels import Picture, to_grid

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Kept:
    """A picture of which a part is kept.

    Attributes:
        picture: of any size; the tokenizer brings it to its grid.
        rows: top rows that are kept, of the rows of the tokenizer's grid of ids; None with no mask: the upper half.
        mask: a picture that is white where pixels are to be drawn and black where they are kept, of any size; values of
            128 and more count as white. Only for networks that see both sides of a pixel.
    """

    picture: Picture
    rows: int | None = None
    mask: Picture | None = None

    def __post_init__(self) -> None:
        if self.rows is not None and self.mask is not None:
            raise ZooError("give keep_rows or a mask, not both")
        if self.rows is not None and (isinstance(self.rows, bool) or not isinstance(self.rows, int)):
            raise ZooError(f"keep_rows: must be a whole number, got {self.rows!r}")

    def top(self, tokenizer: Tokenizer[Any]) -> Tensor:
        """Return the ids of the kept rows, int64 (time,).

        Raises:
            ZooError: a mask, or more rows than there are.
        """
        if self.mask is not None:
            raise ZooError("mask: this model draws from the top down; give keep_rows instead")
        count = self._top(tokenizer.spec)
        return tokenizer.encode(self.picture)[:count]

    def visible(self, spec: TokenSpec) -> Tensor:
        """Return which ids of the picture are kept, bool (time,).

        Raises:
            ZooError: more rows than there are, or a mask that is no picture.
        """
        import torch

        shape = spec.shape or ()
        if self.mask is None:
            return torch.arange(math.prod(shape)) < self._top(spec)
        kept = to_grid(self.mask, shape[0], shape[1], 1)[..., 0] < 128
        return torch.from_numpy(np.repeat(kept.reshape(-1), math.prod(shape[2:])))

    def _top(self, spec: TokenSpec) -> int:
        """Return how many ids the kept rows have."""
        if spec.shape is None or spec.ids_per_row is None:
            raise ZooError("this model's samples have no rows to keep")
        whole = spec.shape[0]
        rows = whole // 2 if self.rows is None else self.rows
        if not 0 <= rows <= whole:
            raise ZooError(f"keep_rows: must lie in [0, {whole}], the rows of this model's pictures, got {rows}")
        return rows * spec.ids_per_row
