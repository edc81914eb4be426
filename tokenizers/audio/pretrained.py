"""Neural codecs of Hugging Face's transformers behind one interface; ``read_pretrained`` reads them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from einops import rearrange
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.precision import exact_convolutions


class PretrainedCodec(nn.Module, ABC):
    """One codec with residual codebooks.

    Args:
        network: of transformers.
        settings: what its configuration states, as JSON holds it.

    Attributes:
        model_type: what its config.json calls it.
        rate: samples per second.
        hop: samples of a step.
        books: residual codebooks.
        size: codes of each.
    """

    model_type: ClassVar[str]
    rate: int
    hop: int
    books: int
    size: int

    def __init__(self, network: Any, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.network = network
        self.settings = dict(settings)
        self.rate, self.size = int(network.config.sampling_rate), int(network.config.codebook_size)

    @staticmethod
    @abstractmethod
    def classes() -> tuple[Any, Any]:
        """Return the classes of the configuration and of the network; imports transformers."""

    @staticmethod
    @abstractmethod
    def books_of(config: Any) -> int:
        """Return how many codebooks a configuration states."""

    @staticmethod
    def check(config: Any, where: str) -> None:
        """Refuse a configuration whose ids do not tell the whole sound.

        Raises:
            ZooError: say so.
        """
        if getattr(config, "audio_channels", 1) != 1:
            raise ZooError(f"{where}: a codec of {config.audio_channels} channels; use one of a single channel")

    @abstractmethod
    def codes(self, samples: Tensor, books: int) -> Tensor:
        """Return codes (1, books, steps) of samples (1, 1, time), time a multiple of the hop."""

    @abstractmethod
    def sound(self, codes: Tensor) -> Tensor:
        """Return samples (1, 1, time) of codes (1, books, steps)."""

    @torch.no_grad()
    def encode(self, samples: Tensor, books: int) -> Tensor:
        """Return codes (steps, books) int64 of samples (time,), the last hop filled up with silence."""
        if not len(samples):
            return torch.empty(0, books, dtype=torch.int64)
        filled = nn.functional.pad(samples, (0, -len(samples) % self.hop))
        with exact_convolutions():
            codes = self.codes(rearrange(filled, "time -> 1 1 time"), books)
        return rearrange(codes, "1 book step -> step book")[: len(filled) // self.hop].contiguous()

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Return samples (steps * hop,) of codes (steps, books)."""
        wanted = len(codes) * self.hop
        if not wanted:
            return torch.empty(0)
        samples = self.sound(rearrange(codes, "step book -> 1 book step")).flatten()[:wanted]
        return nn.functional.pad(samples, (0, wanted - len(samples)))  # some end a little before their last step

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The weights by the names that transformers gives them."""
        state: dict[str, Tensor] = self.network.state_dict()
        return state


class EncodecCodec(PretrainedCodec):
    """EnCodec; see ``zoo.tokenizers.audio.settings.Encodec``."""

    model_type = "encodec"

    def __init__(self, network: Any, settings: Mapping[str, Any]) -> None:
        super().__init__(network, settings)
        self.hop, self.books = int(network.config.hop_length), self.books_of(network.config)

    @staticmethod
    def classes() -> tuple[Any, Any]:
        """Return the classes of the configuration and of the network."""
        from transformers import EncodecConfig, EncodecModel

        return EncodecConfig, EncodecModel

    @staticmethod
    def books_of(config: Any) -> int:
        """Return the codebooks of the largest bandwidth."""
        return int(config.num_quantizers)

    @staticmethod
    def check(config: Any, where: str) -> None:
        """Refuse stereo, and what scales or cuts the sound: scales are no ids."""
        PretrainedCodec.check(config, where)
        if config.normalize or config.chunk_length_s is not None:
            raise ZooError(
                f"{where}: this EnCodec measures the loudness of pieces beside its codes; use one of 24 kHz that does "
                "not (normalize false, no chunk_length_s)"
            )

    def codes(self, samples: Tensor, books: int) -> Tensor:
        """Return codes (1, books, steps): of residual codes, the first ones are those of a smaller bandwidth."""
        widest = self.network.config.target_bandwidths[-1]
        found: Tensor = self.network.encode(samples, bandwidth=widest).audio_codes
        return found[0, :, :books]

    def sound(self, codes: Tensor) -> Tensor:
        """Return samples (1, 1, time)."""
        found: Tensor = self.network.decode(codes[None], [None]).audio_values
        return found


class DacCodec(PretrainedCodec):
    """The Descript audio codec; see ``zoo.tokenizers.audio.settings.Dac``."""

    model_type = "dac"

    def __init__(self, network: Any, settings: Mapping[str, Any]) -> None:
        super().__init__(network, settings)
        self.hop, self.books = int(math.prod(network.config.downsampling_ratios)), self.books_of(network.config)

    @staticmethod
    def classes() -> tuple[Any, Any]:
        """Return the classes of the configuration and of the network."""
        from transformers import DacConfig, DacModel

        return DacConfig, DacModel

    @staticmethod
    def books_of(config: Any) -> int:
        """Return the codebooks."""
        return int(config.n_codebooks)

    def codes(self, samples: Tensor, books: int) -> Tensor:
        """Return codes (1, books, steps)."""
        found: Tensor = self.network.encode(samples, n_quantizers=books).audio_codes
        return found

    def sound(self, codes: Tensor) -> Tensor:
        """Return samples (1, time)."""
        found: Tensor = self.network.decode(audio_codes=codes).audio_values
        return found


class MimiCodec(PretrainedCodec):
    """Mimi; see ``zoo.tokenizers.audio.settings.Mimi``."""

    model_type = "mimi"

    def __init__(self, network: Any, settings: Mapping[str, Any]) -> None:
        super().__init__(network, settings)
        self.hop = round(self.rate / network.config.frame_rate)
        self.books = self.books_of(network.config)

    @staticmethod
    def classes() -> tuple[Any, Any]:
        """Return the classes of the configuration and of the network."""
        from transformers import MimiConfig, MimiModel

        return MimiConfig, MimiModel

    @staticmethod
    def books_of(config: Any) -> int:
        """Return the codebooks, those of meaning included."""
        return int(config.num_quantizers)

    def codes(self, samples: Tensor, books: int) -> Tensor:
        """Return codes (1, books, steps)."""
        found: Tensor = self.network.encode(samples, num_quantizers=books).audio_codes
        return found

    def sound(self, codes: Tensor) -> Tensor:
        """Return samples (1, 1, time)."""
        found: Tensor = self.network.decode(codes).audio_values
        return found


CODECS: dict[str, type[PretrainedCodec]] = {kind.model_type: kind for kind in (EncodecCodec, DacCodec, MimiCodec)}
