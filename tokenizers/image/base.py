"""What every image tokenizer is: a picture on a fixed grid to ids in raster order, and back."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from zoo.errors import ZooError
from zoo.tokenizers.base import Tokenizer
from zoo.tokenizers.ids import check_ids, to_tensor
from zoo.tokenizers.image.pixels import Picture, Pixels, on_grid, to_grid, to_pillow
from zoo.tokenizers.image.settings import MAX_SIDE

Ids = NDArray[np.uint16]
"""Kept ids: a palette has at most 65,535 colours."""


class ImageTokenizer(Tokenizer[Pillow.Image]):
    """A tokenizer of pictures, which are brought to its grid first: see ``zoo.tokenizers.image.pixels.to_grid``.

    ``spec.shape`` is the grid of ids, rows first, so the first N rows of a picture are its first
    ``N * spec.ids_per_row`` ids. Colours have the ids from 0; the start id comes after them.

    Args:
        rows, columns: the grid of pixels.
        channels: 1 for gray levels, 3 for red, green, blue.

    Attributes:
        residual_bits: bits of a dimension (a pixel's channel) that its ids leave open; None where that is not one
            number, and bits per dimension are therefore not defined.
    """

    residual_bits: float | None = None

    def __init__(self, *, rows: int, columns: int, channels: int) -> None:
        if not (0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE):
            raise ZooError(f"a grid has 1 to {MAX_SIDE} rows and columns, got {rows} x {columns}")
        self.rows, self.columns, self.channels = rows, columns, channels

    @property
    def dimensions(self) -> int:
        """Numbers that a picture on the grid consists of: rows * columns * channels."""
        return self.rows * self.columns * self.channels

    def encode(self, sample: Picture) -> Tensor:
        """Return the ids of a picture in raster order, int64 (time,).

        Args:
            sample: a PIL image of any mode, or uint8 (height, width[, 1 or 3]), of any size.
        """
        return to_tensor(self._ids(to_grid(sample, self.rows, self.columns, self.channels)[None])[0])

    def encode_many(self, samples: Iterable[Picture] | Pixels) -> Ids:
        """Return the ids of many pictures, uint16 (count, time): what is kept of a data set."""
        blocks = [self._ids(pixels) for pixels in self._on_grid(samples)]
        return np.concatenate(blocks) if blocks else np.empty((0, math.prod(self.spec.shape or ())), np.uint16)

    def decode(self, ids: Tensor | Sequence[int] | NDArray[np.integer]) -> Pillow.Image:
        """Return the picture of ``ids``, shape (time,), mode L or RGB.

        Fewer ids than a picture has give its upper rows; a last row that is cut short is filled up with id 0. A start
        id before the picture is dropped.

        Raises:
            ZooError: no ids, too many, or some that are none.
        """
        spec = self.spec
        values = check_ids(ids, spec.vocabulary_size)
        if values.size and values[0] == spec.start_id:
            values = values[1:]
        whole, row = spec.ids_per_sample, spec.ids_per_row
        assert whole is not None
        assert row is not None
        if not 0 < values.size <= whole:
            raise ZooError(
                f"a picture has 1 to {whole} ids ({' x '.join(map(str, spec.shape or ()))}), got {len(values)}"
            )
        if (values >= spec.output_vocabulary).any():
            position = int(np.argmax(values >= spec.output_vocabulary))
            raise ZooError(
                f"id {values[position]} at position {position} is the start id, which is no part of a picture"
            )
        filled = np.pad(values, (0, -len(values) % row))
        return to_pillow(self._pixels(filled[None])[0])

    def bits_per_dimension(self, nats_per_image: float) -> float | None:
        """Return bits per dimension over 256 levels; None for ids that lose more than a known part of each level."""
        if self.residual_bits is None:
            return None
        return nats_per_image / (math.log(2) * self.dimensions) + self.residual_bits

    def quantization_rmse(self, samples: Iterable[Picture] | Pixels) -> float:
        """Return the root mean square of what decoding changes, over all pixels and channels of the grid, 0 ... 255."""
        total, count = 0.0, 0
        for pixels in self._on_grid(samples):
            change = self._pixels(self._ids(pixels).astype(np.int64)).astype(np.float64) - pixels
            total += float(np.square(change).sum())
            count += change.size
        if not count:
            raise ZooError("no pictures to measure the quantisation error on")
        return math.sqrt(total / count)

    @abstractmethod
    def _ids(self, pixels: Pixels) -> Ids:
        """Return ids (count, time) of pixels (count, rows, columns, channels)."""

    @abstractmethod
    def _pixels(self, ids: NDArray[np.int64]) -> Pixels:
        """Return pixels (count, rows, columns, channels) of ids (count, time), which may be fewer, whole rows."""

    def _on_grid(self, samples: Iterable[Picture] | Pixels) -> Iterator[Pixels]:
        return on_grid(samples, self.rows, self.columns, self.channels)
