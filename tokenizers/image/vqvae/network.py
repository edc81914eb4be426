"""The VQ-VAE of pictures: strided convolutions, a codebook, and the way back (van den Oord et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.tokenizers.codebook import Codebook
from zoo.tokenizers.codec import Codec
from zoo.tokenizers.image.pixels import Pixels
from zoo.tokenizers.image.vqvae.config import ImageVqvaeConfig


class Residual(nn.Module):
    """x + conv1x1(relu(conv3x3(relu(x)))), shape (batch, width, rows, columns) throughout (section 4.1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.near = nn.Conv2d(width, width, 3, padding=1)
        self.own = nn.Conv2d(width, width, 1)

    def forward(self, states: Tensor) -> Tensor:
        """Return the states changed by what is around them."""
        changed: Tensor = self.own(F.relu(self.near(F.relu(states))))
        return states + changed


class Encoder(nn.Module):
    """Pictures (batch, channels, rows, columns) to vectors (batch, code width, rows / hop, columns / hop)."""

    def __init__(self, config: ImageVqvaeConfig) -> None:
        super().__init__()
        halvings = config.hop.bit_length() - 1
        widths = [config.channels, *[config.width] * halvings]
        self.shrink = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1) for before, after in pairwise(widths)
        )
        self.blend = nn.Conv2d(config.width, config.width, 3, padding=1)
        self.blocks = nn.Sequential(*(Residual(config.width) for _ in range(config.depth)))
        self.out = nn.Conv2d(config.width, config.code_width, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return what the codebook is asked for."""
        states = pictures
        for smaller in self.shrink:
            states = F.relu(smaller(states))
        vectors: Tensor = self.out(F.relu(self.blocks(self.blend(states))))
        return vectors


class Decoder(nn.Module):
    """Vectors (batch, code width, rows, columns) to pictures (batch, channels, rows * hop, columns * hop)."""

    def __init__(self, config: ImageVqvaeConfig) -> None:
        super().__init__()
        halvings = config.hop.bit_length() - 1
        widths = [*[config.width] * halvings, config.channels]
        self.blend = nn.Conv2d(config.code_width, config.width, 3, padding=1)
        self.blocks = nn.Sequential(*(Residual(config.width) for _ in range(config.depth)))
        self.grow = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 4, stride=2, padding=1) for before, after in pairwise(widths)
        )

    def forward(self, vectors: Tensor) -> Tensor:
        """Return pictures; values may leave [-1, 1] a little."""
        states: Tensor = self.blocks(self.blend(vectors))
        for larger in self.grow:
            states = larger(F.relu(states))
        return states


class ImageVqvae(Codec):
    """One grid of codes for a picture; any rows and columns that are multiples of ``hop`` will do.

    Args:
        config: see ``ImageVqvaeConfig``.
    """

    modality = "image"

    def __init__(self, config: ImageVqvaeConfig) -> None:
        book = Codebook(codes=config.codes, width=config.code_width, decay=config.decay, threshold=config.threshold)
        super().__init__(hops=[config.hop], codebooks=[book])
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def check(self, samples: Tensor, levels: Iterable[int]) -> None:
        """Refuse what is not (batch, rows, columns, channels) with rows and columns that are multiples of ``hop``."""
        hop, channels = self.config.hop, self.config.channels
        if samples.ndim != 4 or samples.shape[3] != channels or not samples.numel():
            raise ZooError(f"pictures are (batch, rows, columns, {channels}), got {tuple(samples.shape)}")
        rows, columns = samples.shape[1:3]
        if rows % hop or columns % hop:
            raise ZooError(f"rows and columns must be multiples of {hop}, got {rows} x {columns}")

    def features(self, samples: Tensor, level: int) -> Tensor:
        """Return what the codebook quantises, (batch, rows / hop, columns / hop, code width)."""
        vectors: Tensor = self.encoder(rearrange(samples, "batch h w channel -> batch channel h w"))
        return rearrange(vectors, "batch width h w -> batch h w width")

    def render(self, vectors: Tensor, level: int) -> Tensor:
        """Return the pictures of vectors (batch, rows / hop, columns / hop, code width)."""
        pictures: Tensor = self.decoder(rearrange(vectors, "batch h w width -> batch width h w"))
        return rearrange(pictures, "batch channel h w -> batch h w channel")


def to_samples(pixels: Pixels) -> Tensor:
    """Return pixels (..., channels) as float32 in [-1, 1]: value v of 0 ... 255 is v / 127.5 - 1."""
    return torch.from_numpy(pixels.astype(np.float32, order="C")) / 127.5 - 1


def to_pixels(samples: Tensor) -> Pixels:
    """Return samples (..., channels) as uint8, rounded, what lies outside [-1, 1] cut off."""
    pixels: Pixels = ((samples + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    return pixels
