"""The part of a picture that is given, where the rest is to be drawn: its top rows, or all that a mask leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.errors import ZooError
from zoo.tokenizers.base import Tokenizer
from zoo.tokenizers.image.base import ImageTokenizer
from zoo.tokenizers.image.pixels import Picture, to_grid

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Kept:
    """A picture of which a part is kept.

    Attributes:
        picture: of any size; the tokenizer brings it to its grid.
        rows: top rows that are kept, of the rows of pixels on the tokenizer's grid; None with no mask: the upper half.
            Where one id stands for several pixels, whole rows of ids.
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
            ZooError: a mask, more rows than there are, or a part of the rows that one row of ids stands for.
        """
        if self.mask is not None:
            raise ZooError("mask: this model draws from the top down; give keep_rows instead")
        count = self._top(_of_pictures(tokenizer))
        return tokenizer.encode(self.picture)[:count]

    def visible(self, tokenizer: Tokenizer[Any]) -> Tensor:
        """Return which ids of the picture are kept, bool (time,): of a mask, those with no white pixel.

        Raises:
            ZooError: as ``top``, or a mask that is no picture.
        """
        import torch

        own = _of_pictures(tokenizer)
        rows, columns, *several = own.spec.shape or ()
        if self.mask is None:
            return torch.arange(math.prod((rows, columns, *several))) < self._top(own)
        white = to_grid(self.mask, own.rows, own.columns, 1)[..., 0] >= 128
        cells = white.reshape(rows, own.rows // rows, columns, own.columns // columns).any(axis=(1, 3))
        return torch.from_numpy(np.repeat(~cells.reshape(-1), math.prod(several)))

    def _top(self, tokenizer: ImageTokenizer) -> int:
        """Return how many ids the kept rows have."""
        shape, row = tokenizer.spec.shape, tokenizer.spec.ids_per_row
        assert shape is not None
        assert row is not None
        whole, hop = tokenizer.rows, tokenizer.rows // shape[0]
        rows = shape[0] // 2 * hop if self.rows is None else self.rows
        if not 0 <= rows <= whole:
            raise ZooError(f"keep_rows: must lie in [0, {whole}], the rows of this model's pictures, got {rows}")
        if rows % hop:
            raise ZooError(
                f"keep_rows: {hop} rows of pixels are one row of this model's codes; give a multiple of {hop}, "
                f"say {rows - rows % hop}, not {rows}"
            )
        return rows // hop * row


def _of_pictures(tokenizer: Tokenizer[Any]) -> ImageTokenizer:
    """Return the tokenizer if it is one of pictures.

    Raises:
        ZooError: its samples have no rows.
    """
    if not isinstance(tokenizer, ImageTokenizer):
        raise ZooError("this model's samples have no rows to keep")
    return tokenizer
