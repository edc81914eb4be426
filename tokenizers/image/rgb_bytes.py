"""The bytes of a colour picture as tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from zoo.errors import ZooError
from zoo.tokenizers import folder as folders
from zoo.tokenizers.base import TokenSpec
from zoo.tokenizers.image.base import Ids, ImageTokenizer
from zoo.tokenizers.image.pixels import Pixels

FILE = "grid.json"


class RgbBytesTokenizer(ImageTokenizer):
    """Three ids per pixel, red, green, blue, each 0 to 255; the start id is 256. A picture of the grid's size is kept.

    Args:
        rows, columns: the grid of pixels; ids have the shape (rows, columns, 3).
    """

    type: ClassVar[str] = "rgb_bytes"
    residual_bits = 0.0

    def __init__(self, *, rows: int, columns: int) -> None:
        super().__init__(rows=rows, columns=columns, channels=3)
        self._spec = TokenSpec(
            type=self.type,
            modality="image",
            vocabulary_size=257,
            shape=(rows, columns, 3),
            start_id=256,
            lossless=True,
            fingerprint=folders.fingerprint(self.type, self._files()),
        )

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Return the tokenizer saved in ``folder``."""
        path = Path(folder) / FILE
        match folders.read_json(path):
            case {"size": [int(rows), int(columns)], **rest} if not rest:
                return cls(rows=rows, columns=columns)
        raise ZooError(f"{path}: expected 'size' (rows and columns) and nothing else")

    @property
    def spec(self) -> TokenSpec:
        """The facts that models, samplers and checkpoints rely on."""
        return self._spec

    def save(self, folder: Path | str) -> None:
        """Write ``spec.json`` and ``grid.json`` into ``folder``."""
        folders.write(folder, self.spec, self._files())

    def _ids(self, pixels: Pixels) -> Ids:
        return pixels.astype(np.uint16).reshape(len(pixels), -1)

    def _pixels(self, ids: NDArray[np.int64]) -> Pixels:
        return ids.astype(np.uint8).reshape(len(ids), -1, self.columns, 3)

    def _files(self) -> dict[str, str]:
        return {FILE: json.dumps({"size": [self.rows, self.columns]}) + "\n"}
