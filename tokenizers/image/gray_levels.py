"""Gray levels as tokens."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from zoo.errors import ZooError
from zoo.tokenizers import folder as folders
from zoo.tokenizers.base import TokenSpec
from zoo.tokenizers.image.base import Ids, ImageTokenizer
from zoo.tokenizers.image.pixels import Pixels

FILE = "levels.json"


class GrayLevelsTokenizer(ImageTokenizer):
    """One id per pixel, its gray level; the start id is ``levels``.

    Value v of 0 ... 255 has level ``v * levels // 256``, and a level is decoded to the middle of its values. Where
    ``levels`` divides 256, a level stands for 256 / levels equally likely values, which is what ``residual_bits`` says;
    else levels differ in how many they stand for, and bits per dimension are not defined.

    Args:
        levels: 2 to 256; with 256 a gray picture of the grid's size comes back as it was.
        rows, columns: the grid.
    """

    type: ClassVar[str] = "gray_levels"

    def __init__(self, *, levels: int, rows: int, columns: int) -> None:
        super().__init__(rows=rows, columns=columns, channels=1)
        if not 2 <= levels <= 256:
            raise ZooError(f"levels must be 2 to 256, got {levels}")
        self.levels = levels
        self.residual_bits = math.log2(256 / levels) if 256 % levels == 0 else None
        self._level_of_value = (np.arange(256) * levels // 256).astype(np.uint16)
        first = np.searchsorted(self._level_of_value, np.arange(levels), side="left")
        last = np.searchsorted(self._level_of_value, np.arange(levels), side="right") - 1
        self._value_of_level = ((first + last) // 2).astype(np.uint8)
        self._spec = TokenSpec(
            type=self.type,
            modality="image",
            vocabulary_size=levels + 1,
            shape=(rows, columns),
            start_id=levels,
            lossless=levels == 256,
            fingerprint=folders.fingerprint(self.type, self._files()),
        )

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Return the tokenizer saved in ``folder``."""
        path = Path(folder) / FILE
        match folders.read_json(path):
            case {"levels": int(levels), "size": [int(rows), int(columns)], **rest} if not rest:
                return cls(levels=levels, rows=rows, columns=columns)
        raise ZooError(f"{path}: expected 'levels' (a whole number), 'size' (rows and columns) and nothing else")

    @property
    def spec(self) -> TokenSpec:
        """The facts that models, samplers and checkpoints rely on."""
        return self._spec

    def save(self, folder: Path | str) -> None:
        """Write ``spec.json`` and ``levels.json`` into ``folder``."""
        folders.write(folder, self.spec, self._files())

    def _ids(self, pixels: Pixels) -> Ids:
        return self._level_of_value[pixels].reshape(len(pixels), -1)

    def _pixels(self, ids: NDArray[np.int64]) -> Pixels:
        return self._value_of_level[ids].reshape(len(ids), -1, self.columns, 1)

    def _files(self) -> dict[str, str]:
        return {FILE: json.dumps({"levels": self.levels, "size": [self.rows, self.columns]}) + "\n"}
