"""Colours of a palette as tokens, as in Image GPT (Chen et al. 2020, section 3.2)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from zoo.errors import ZooError
from zoo.tokenizers import folder as folders
from zoo.tokenizers.base import TokenSpec
from zoo.tokenizers.image import palette
from zoo.tokenizers.image.base import Ids, ImageTokenizer
from zoo.tokenizers.image.palette import Colours
from zoo.tokenizers.image.pixels import Picture, Pixels, on_grid


class PixelClustersTokenizer(ImageTokenizer):
    """One id per pixel, the number of the nearest colour of a palette; the start id comes after the colours.

    Distances are Euclidean over red, green and blue (or gray), without weights; of equals, the first colour counts.
    With OpenAI's palette of 512 colours, the start id is 512, as in Image GPT.

    Args:
        colours: the palette, (colours, 1 or 3) in [-1, 1].
        rows, columns: the grid.
        fit_rmse: root mean square error, 0 ... 255, over the pictures that the palette was fitted on; not saved.
    """

    type: ClassVar[str] = "pixel_clusters"

    def __init__(self, colours: Colours, *, rows: int, columns: int, fit_rmse: float | None = None) -> None:
        super().__init__(rows=rows, columns=columns, channels=colours.shape[1])
        self.colours = colours
        self.fit_rmse = fit_rmse
        self._level_of_colour = palette.to_levels(colours)
        self._spec = TokenSpec(
            type=self.type,
            modality="image",
            vocabulary_size=len(colours) + 1,
            shape=(rows, columns),
            start_id=len(colours),
            lossless=False,
            fingerprint=folders.fingerprint(self.type, self._files()),
        )

    @classmethod
    def fit(
        cls, samples: Iterable[Picture], *, colours: int, rows: int, columns: int, channels: int, seed: int = 0
    ) -> Self:
        """Return a tokenizer with a palette for the pixels of ``samples``, brought to the grid; see ``palette.fit``."""
        pixels = on_grid(samples, rows, columns, channels)
        found = palette.fit(pixels, colours=colours, channels=channels, seed=seed)
        return cls(found.colours, rows=rows, columns=columns, fit_rmse=found.rmse)

    @classmethod
    def load(cls, path: Path | str, *, size: tuple[int, int] | None = None) -> Self:
        """Return the tokenizer whose palette is in ``path``: saved here, OpenAI's ``.npy``, or Hugging Face's JSON.

        Args:
            path: a folder or a file.
            size: rows and columns of the grid; None for what the file says.
        """
        found = palette.read(path)
        size = size or found.size
        if size is None:
            raise ZooError(f"{path}: the palette's file does not say how large the grid is; set tokenizer.size")
        return cls(found.colours, rows=size[0], columns=size[1])

    @property
    def spec(self) -> TokenSpec:
        """The facts that models, samplers and checkpoints rely on."""
        return self._spec

    def save(self, folder: Path | str) -> None:
        """Write ``spec.json`` and ``preprocessor_config.json``, which Hugging Face's programs read too."""
        folders.write(folder, self.spec, self._files())

    def _ids(self, pixels: Pixels) -> Ids:
        code = palette.codes(pixels)
        found = self._id_of_code[code]
        if not found.all():
            new = np.unique(code[found == 0])
            wanted = palette.from_levels(palette.colours_of(new, self.channels))
            self._id_of_code[new] = palette.nearest(self.colours, wanted) + 1
            found = self._id_of_code[code]
        return (found - np.uint16(1)).reshape(len(pixels), -1)

    def _pixels(self, ids: NDArray[np.int64]) -> Pixels:
        return self._level_of_colour[ids].reshape(len(ids), -1, self.columns, self.channels)

    def _files(self) -> dict[str, str]:
        return {palette.HUGGING_FACE: palette.text(self.colours, (self.rows, self.columns))}

    @cached_property
    def _id_of_code(self) -> Ids:
        """Id + 1 of every colour met so far, 0 elsewhere; only the parts that are written take memory."""
        return np.zeros(1 << (8 * self.channels), dtype=np.uint16)
