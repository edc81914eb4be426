"""Pictures that tests of image tokenizers share."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from zoo.tokenizers.image.base import ImageTokenizer
from zoo.tokenizers.image.gray_levels import GrayLevelsTokenizer
from zoo.tokenizers.image.pixel_clusters import PixelClustersTokenizer
from zoo.tokenizers.image.pixels import Pixels
from zoo.tokenizers.image.rgb_bytes import RgbBytesTokenizer

ROWS, COLUMNS = 5, 7
NAMES = ["pixel_clusters", "gray_levels", "gray_levels 10", "gray_levels 256", "rgb_bytes", "gray palette"]


def noise(count: int = 20, rows: int = ROWS, columns: int = COLUMNS, channels: int = 3, seed: int = 0) -> Pixels:
    """Return uint8 (count, rows, columns, channels) of pure noise."""
    return np.random.default_rng(seed).integers(0, 256, (count, rows, columns, channels), dtype=np.uint8)


def tokenizer_of(name: str) -> ImageTokenizer:
    """Return a tokenizer of a grid of 5 x 7 by its name above."""
    grid = {"rows": ROWS, "columns": COLUMNS}
    match name.split():
        case ["pixel_clusters"]:
            return PixelClustersTokenizer.fit(noise(), colours=40, channels=3, **grid)
        case ["gray", "palette"]:
            return PixelClustersTokenizer.fit(noise(), colours=12, channels=1, **grid)
        case ["gray_levels", *levels]:
            return GrayLevelsTokenizer(levels=int(levels[0]) if levels else 4, **grid)
        case _:
            return RgbBytesTokenizer(**grid)


def pictures(rows: int = ROWS, columns: int = COLUMNS, channels: int = 3) -> st.SearchStrategy[Pixels]:
    """Return a strategy for uint8 (rows, columns, channels)."""
    return arrays.arrays(np.uint8, (rows, columns, channels))
