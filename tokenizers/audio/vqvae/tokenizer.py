"""One level of a VQ-VAE of sound as a tokenizer: self-contained, whatever became of the codec it was part of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar, Self

import torch
from einops import rearrange
from torch import Tensor, nn

from zoo.precision import exact_convolutions
from zoo.settings import build, to_mapping
from zoo.tokenizers import folder as folders
from zoo.tokenizers import tensors
from zoo.tokenizers.audio.base import AudioTokenizer
from zoo.tokenizers.audio.vqvae.chunked import Tower
from zoo.tokenizers.audio.vqvae.config import VqvaeConfig
from zoo.tokenizers.audio.vqvae.layers import Decoder, Encoder
from zoo.tokenizers.audio.waveform import Samples
from zoo.tokenizers.base import TokenSpec
from zoo.tokenizers.codebook import Codebook
from zoo.tokenizers.saved_codec import read_module

CONFIG, WEIGHTS = "codec.json", "codec.safetensors"


class VqvaeTokenizer(AudioTokenizer):
    """Sound to the ids of one level, and back: ``hop`` samples an id, ``config.rate / hop`` ids a second.

    Samples that do not fill a last id are filled up with silence, so decoding gives a whole number of hops.

    Args:
        config: whose last level this is.
        encoder, codebook, decoder: of that level.
    """

    type: ClassVar[str] = "vqvae"

    def __init__(self, config: VqvaeConfig, *, encoder: Encoder, codebook: Codebook, decoder: Decoder) -> None:
        super().__init__(rate=config.rate, hop=config.hops[-1])
        self.config, self.encoder, self.codebook, self.decoder = config, encoder, codebook, decoder
        files = {CONFIG: self._config_text(), WEIGHTS: tensors.fingerprint(self._tensors())}
        self._spec = TokenSpec(
            type=self.type,
            modality="music",
            vocabulary_size=config.codes,
            tokens_per_second=self.ids_per_second,
            lossless=False,
            fingerprint=folders.fingerprint(self.type, files),
        )

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Return the tokenizer saved in ``folder``.

        Raises:
            ZooError: files are missing, damaged or do not fit together.
        """
        path = Path(folder)
        config: VqvaeConfig = build(VqvaeConfig, folders.read_json(path / CONFIG), str(path / CONFIG))
        level = read_module(path / WEIGHTS, lambda: _Level(config), _Level.tensors)
        level.codebook.adopt(level.codebook.vectors)
        return cls(config, encoder=level.encoder, codebook=level.codebook, decoder=level.decoder)

    @property
    def spec(self) -> TokenSpec:
        """The facts that models, samplers and checkpoints rely on."""
        return self._spec

    def save(self, folder: Path | str) -> None:
        """Write ``spec.json``, ``codec.json`` and ``codec.safetensors``."""
        tensors.write(Path(folder) / WEIGHTS, self._tensors())
        folders.write(folder, self.spec, {CONFIG: self._config_text()})

    @property
    def tower(self) -> Tower:
        """What encodes and decodes sounds of any length, chunk by chunk."""
        return Tower.of(self.config, self.config.levels - 1, encode=self._encode, decode=self._decode)

    def encode_samples(self, samples: Tensor) -> Tensor:
        """Return the ids (time / hop, rounded up) of samples (time,) at the codec's rate; int64 on the CPU."""
        return torch.cat([torch.empty(0, dtype=torch.int64), *self.tower.encode_blocks([samples])])

    def encode_blocks(self, blocks: Iterable[Samples]) -> Iterator[Tensor]:
        """Yield the ids (time,) of a sound that comes in blocks (time,), in constant memory."""
        return self.tower.encode_blocks(blocks)

    def decode_samples(self, ids: Tensor) -> Tensor:
        """Return the samples (time * hop,) of ids (time,), on the CPU."""
        return torch.cat([torch.empty(0), *self.tower.decode_blocks([ids])])

    @torch.no_grad()
    def _encode(self, samples: Tensor) -> Tensor:
        with exact_convolutions():
            features = self.encoder(rearrange(samples.to(self._device), "time -> 1 time 1"))
        return self.codebook.nearest(features[0])

    @torch.no_grad()
    def _decode(self, ids: Tensor) -> Tensor:
        samples: Tensor = self.decoder(self.codebook.lookup(ids.to(self._device))[None])
        return rearrange(samples, "1 time 1 -> time")

    @property
    def _device(self) -> torch.device:
        return self.codebook.vectors.device

    def _config_text(self) -> str:
        return json.dumps(to_mapping(self.config), indent=2) + "\n"

    def _tensors(self) -> dict[str, Tensor]:
        return _tensors(self.encoder, self.codebook, self.decoder)


class _Level(nn.Module):
    """The last level of a configuration, as it is read."""

    def __init__(self, config: VqvaeConfig) -> None:
        super().__init__()
        last = config.levels - 1
        self.encoder, self.codebook = Encoder(config, last), new_codebook(config, last)
        self.decoder = Decoder(config, last)

    def tensors(self) -> dict[str, Tensor]:
        return _tensors(self.encoder, self.codebook, self.decoder)


def new_codebook(config: VqvaeConfig, level: int) -> Codebook:
    """Return an empty codebook for a level."""
    threshold = config.thresholds[level]
    return Codebook(codes=config.codes, width=config.code_width, decay=config.decay, threshold=threshold)


def _tensors(encoder: Encoder, codebook: Codebook, decoder: Decoder) -> dict[str, Tensor]:
    found = {f"encoder.{name}": weight.data for name, weight in encoder.named_parameters()}
    found |= {f"decoder.{name}": weight.data for name, weight in decoder.named_parameters()}
    return found | {"codebook.vectors": codebook.vectors}
