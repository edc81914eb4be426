"""The hierarchical VQ-VAE of sound as a codec: three towers from raw sound to ids and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from einops import rearrange
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.tokenizers.audio.vqvae.chunked import Tower
from zoo.tokenizers.audio.vqvae.config import VqvaeConfig
from zoo.tokenizers.audio.vqvae.layers import Decoder, Encoder
from zoo.tokenizers.audio.vqvae.tokenizer import VqvaeTokenizer, new_codebook
from zoo.tokenizers.base import Modality
from zoo.tokenizers.codec import Codec


class Vqvae(Codec):
    """Sound (batch, time, 1) to ids (batch, time / hop) of every level, and each level's ids back to sound.

    Dhariwal et al. 2020, section 3: each level is a VQ-VAE of its own, the finest first.
    """

    modality: ClassVar[Modality] = "music"

    def __init__(self, config: VqvaeConfig) -> None:
        super().__init__(hops=config.hops, codebooks=(new_codebook(config, level) for level in range(config.levels)))
        self.config = config
        self.encoders = nn.ModuleList(Encoder(config, level) for level in range(config.levels))
        self.decoders = nn.ModuleList(Decoder(config, level) for level in range(config.levels))

    def check(self, samples: Tensor, levels: Iterable[int]) -> None:
        """Refuse anything but (batch, time, 1) whose time is a multiple of the largest hop of ``levels``.

        Raises:
            ZooError: say which.
        """
        if samples.ndim != 3 or samples.shape[2] != 1:
            raise ZooError(f"sound for this codec has the shape (batch, time, 1), got {tuple(samples.shape)}")
        hop = max((self.hops[level] for level in levels), default=1)
        time = samples.shape[1]
        if not time or time % hop:
            raise ZooError(f"{time} samples are no multiple of {hop}, the hop of the level; pad with zeros or cut")

    def features(self, samples: Tensor, level: int) -> Tensor:
        """Return what ``level`` quantises: (batch, time / hop, code width)."""
        return self.encoders[level](samples)  # type: ignore[no-any-return]

    def render(self, vectors: Tensor, level: int) -> Tensor:
        """Return sound (batch, time * hop, 1) of vectors (batch, time, code width)."""
        return self.decoders[level](vectors)  # type: ignore[no-any-return]

    def level(self, level: int) -> VqvaeTokenizer:
        """Return one level as a tokenizer, which shares the codec's weights: train no further while it is in use.

        Raises:
            ZooError: there is no such level.
        """
        book = self.codebook(level)
        encoder, decoder = self.encoders[level], self.decoders[level]
        assert isinstance(encoder, Encoder)
        assert isinstance(decoder, Decoder)
        return VqvaeTokenizer(self.config.up_to(level), encoder=encoder, codebook=book, decoder=decoder)

    def tower(self, level: int) -> Tower:
        """Return what encodes and decodes sounds of any length at one level, chunk by chunk.

        Raises:
            ZooError: there is no such level.
        """
        device = self.codebook(level).vectors.device

        def encode(samples: Tensor) -> Tensor:
            return self.encode(rearrange(samples.to(device), "time -> 1 time 1"), [level])[0][0]

        def decode(ids: Tensor) -> Tensor:
            return self.decode(rearrange(ids.to(device), "time -> 1 time"), level)[0, :, 0]

        return Tower.of(self.config, level, encode=encode, decode=decode)
