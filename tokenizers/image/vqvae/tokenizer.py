"""Codes of a VQ-VAE as tokens: one id for a square of pixels."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from zoo.errors import ZooError
from zoo.settings import build, to_mapping
from zoo.tokenizers import folder as folders
from zoo.tokenizers import tensors
from zoo.tokenizers.base import TokenSpec
from zoo.tokenizers.image.base import Ids, ImageTokenizer
from zoo.tokenizers.image.pixels import Pixels
from zoo.tokenizers.image.vqvae.config import ImageVqvaeConfig
from zoo.tokenizers.image.vqvae.network import ImageVqvae, to_pixels, to_samples
from zoo.tokenizers.saved_codec import read_checkpoint, read_module

CONFIG, WEIGHTS = "codec.json", "codec.safetensors"
AT_ONCE = 1 << 17
"""Pixels that are looked at together."""


class ImageVqvaeTokenizer(ImageTokenizer):
    """One id for ``hop`` x ``hop`` pixels, the number of a code; the start id comes after the codes.

    What a code looks like depends on its neighbours. Bits per dimension are not defined: nobody knows how likely the
    other pictures are that have the same ids.

    Args:
        codec: trained; its buffers for further training are of no use here.
    """

    type: ClassVar[str] = "image_vqvae"

    def __init__(self, codec: ImageVqvae) -> None:
        config = codec.config
        super().__init__(rows=config.rows, columns=config.columns, channels=config.channels)
        self.codec = codec.eval().requires_grad_(False)
        self._spec = TokenSpec(
            type=self.type,
            modality="image",
            vocabulary_size=config.codes + 1,
            shape=config.shape,
            start_id=config.codes,
            lossless=False,
            fingerprint=folders.fingerprint(
                self.type, {CONFIG: self._config_text(), WEIGHTS: tensors.fingerprint(needed(codec))}
            ),
        )

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Return the tokenizer saved in ``folder``.

        Raises:
            ZooError: files are missing, damaged or do not fit together.
        """
        path = Path(folder)
        config: ImageVqvaeConfig = build(ImageVqvaeConfig, folders.read_json(path / CONFIG), str(path / CONFIG))
        codec = read_module(path / WEIGHTS, lambda: ImageVqvae(config), needed)
        codec.codebook(0).adopt(codec.codebook(0).vectors.clone())
        return cls(codec)

    @classmethod
    def of_checkpoint(cls, name: str, *, size: int | tuple[int, int] | None = None) -> Self:
        """Return the tokenizer of a codec's checkpoint.

        Args:
            name: a folder, or a name; see ``read_checkpoint``.
            size: of the pictures, where it is not the one that the codec was trained with.

        Raises:
            ZooError: no such checkpoint, or one of something else.
        """
        codec = read_checkpoint(name)
        if not isinstance(codec, ImageVqvae):
            raise ZooError(f"tokenizer.path: {name} is a codec of {codec.modality}; zoo train image/vqvae makes one")
        if size is not None:
            codec.config = dataclasses.replace(codec.config, size=size)
        return cls(codec)

    @property
    def spec(self) -> TokenSpec:
        """The facts that models, samplers and checkpoints rely on."""
        return self._spec

    def save(self, folder: Path | str) -> None:
        """Write ``spec.json``, ``codec.json`` and ``codec.safetensors``."""
        tensors.write(Path(folder) / WEIGHTS, needed(self.codec))
        folders.write(folder, self.spec, {CONFIG: self._config_text()})

    def _ids(self, pixels: Pixels) -> Ids:
        found = [self.codec.encode(to_samples(pixels[some]))[0] for some in self._pieces(len(pixels))]
        ids: Ids = torch.cat(found).flatten(1).numpy().astype(np.uint16)
        return ids

    def _pixels(self, ids: NDArray[np.int64]) -> Pixels:
        grid = rearrange(
            torch.from_numpy(ids), "count (rows columns) -> count rows columns", columns=self.codec.config.shape[1]
        )
        return np.concatenate([to_pixels(self.codec.decode(grid[some], 0)) for some in self._pieces(len(ids))])

    def _pieces(self, count: int) -> list[slice]:
        size = max(1, AT_ONCE // (self.rows * self.columns))
        return [slice(start, start + size) for start in range(0, count, size)]

    def _config_text(self) -> str:
        return json.dumps(to_mapping(self.codec.config), indent=2) + "\n"


def needed(codec: ImageVqvae) -> Mapping[str, Tensor]:
    """Return what ids and pictures depend on: the parameters, and the vectors of the codes."""
    return {**{name: weight.data for name, weight in codec.named_parameters()}, "vectors": codec.codebook(0).vectors}
