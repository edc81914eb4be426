"""Pictures as a codec learns to keep them: brought to its grid, whole, in [-1, 1]."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from zoo.data.base import SampleBatch, SampleData
from zoo.data.records import Image, Records
from zoo.data.seeded import Shuffled, generator
from zoo.errors import ZooError
from zoo.tokenizers.codec import Codec
from zoo.tokenizers.image.pixels import Pixels, to_grid
from zoo.tokenizers.image.vqvae.network import ImageVqvae, to_samples


class CodecPictures(SampleData):
    """Both parts of a data set of pictures, all of them on the codec's grid.

    Args:
        records: both parts.
        codec: of pictures; says how large they are to be.
        flip: mirror half of the training rows.

    Raises:
        ZooError: a codec of something else.
    """

    def __init__(self, records: Records[Image], codec: Codec, *, flip: bool = False) -> None:
        if not isinstance(codec, ImageVqvae):
            raise ZooError(
                f"model: a codec of {codec.modality} does not learn from pictures; use model.type=image_vqvae"
            )
        config = codec.config

        def on_grid(numbers: npt.NDArray[np.int64]) -> Pixels:
            pixels: Pixels = np.empty((len(numbers), config.rows, config.columns, config.channels), dtype=np.uint8)
            for place, number in enumerate(numbers.tolist()):
                pixels[place] = to_grid(records[number], config.rows, config.columns, config.channels)
            return pixels

        self._numbers = [np.asarray(part, dtype=np.int64) for part in (records.train, records.held_out)]
        self._train, self._held_out = (on_grid(numbers) for numbers in self._numbers)
        self._flip = flip
        self._order = Shuffled(len(self._train))
        self.train_tokens = self._train[..., 0].size

    def batch(self, *, step: int, size: int, seed: int) -> SampleBatch:
        """Return ``size`` training pictures: all of them once in every round, in another order each time."""
        rows = self._order.take(step, size, seed)
        pixels = self._train[rows]
        if self._flip:
            turned = generator(seed, step).random(size) < 0.5
            pixels[turned] = pixels[turned, :, ::-1]
        return _batch(pixels, self._numbers[0][rows])

    def notes(self) -> tuple[str, ...]:
        """Return what the metrics are of."""
        return (
            "quantization rmse is of gray levels 0 to 255; the loss compares with runs of the same objective alone",
        )

    def held_out(self, size: int) -> Iterator[SampleBatch]:
        """Yield every held-out picture once, ``size`` at a time."""
        for first in range(0, len(self._held_out), size):
            rows = slice(first, first + size)
            yield _batch(self._held_out[rows], self._numbers[1][rows])


def _batch(pixels: Pixels, numbers: npt.NDArray[np.int64]) -> SampleBatch:
    return SampleBatch(samples=to_samples(pixels), indices=torch.from_numpy(numbers))
