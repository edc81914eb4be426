"""Sound sample by sample: 256 levels, finer where it is quiet (van den Oord et al. 2016, WaveNet, section 2.2)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.tokenizers import folder as folders
from zoo.tokenizers.audio.base import AudioTokenizer
from zoo.tokenizers.audio.settings import check_levels
from zoo.tokenizers.audio.waveform import Samples
from zoo.tokenizers.base import TokenSpec

FILE = "mu_law.json"


class MuLawTokenizer(AudioTokenizer):
    """One id for each sample: its level after companding ``sign(x) ln(1 + mu |x|) / ln(1 + mu)``, mu = levels - 1.

    Level 0 is -1, the last one is +1, and those in between are equally far apart in the companded domain; a sample
    gets the nearest one. With an even number of levels none of them is exactly silence; the nearest is 0.00009.

    Args:
        levels: 2 to 65,536.
        rate: samples per second.
    """

    type: ClassVar[str] = "mu_law"

    def __init__(self, *, levels: int = 256, rate: int = 8_000) -> None:
        super().__init__(rate=rate, hop=1)
        check_levels(levels)
        self.levels = levels
        companded = torch.linspace(-1, 1, levels, dtype=torch.float64)
        expanded = torch.expm1(companded.abs() * math.log(levels)) / (levels - 1)
        self._sample_of_level = (companded.sign() * expanded).float()
        self._spec = TokenSpec(
            type=self.type,
            modality="music",
            vocabulary_size=levels,
            tokens_per_second=self.ids_per_second,
            lossless=False,
            fingerprint=folders.fingerprint(self.type, self._files()),
        )

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Return the tokenizer saved in ``folder``."""
        path = Path(folder) / FILE
        match folders.read_json(path):
            case {"levels": int(levels), "rate": int(rate), **rest} if not rest:
                return cls(levels=levels, rate=rate)
        raise ZooError(f"{path}: expected 'levels' and 'rate' (whole numbers) and nothing else")

    @property
    def spec(self) -> TokenSpec:
        """The facts that models, samplers and checkpoints rely on."""
        return self._spec

    def encode_samples(self, samples: Tensor) -> Tensor:
        """Return the level (time,) int64 of each of the samples (time,); what is beyond [-1, 1] counts as 1."""
        values = samples.double().clamp(-1, 1)
        companded = values.sign() * torch.log1p((self.levels - 1) * values.abs()) / math.log(self.levels)
        return ((companded + 1) * ((self.levels - 1) / 2) + 0.5).floor().long()

    def encode_blocks(self, blocks: Iterable[Samples]) -> Iterator[Tensor]:
        """Yield the ids of a sound that comes in blocks: each sample has its own."""
        for block in blocks:
            yield self.encode_samples(torch.from_numpy(np.ascontiguousarray(block)))

    def decode_samples(self, ids: Tensor) -> Tensor:
        """Return the samples (time,) that ids (time,) stand for."""
        return self._sample_of_level[ids]

    def save(self, folder: Path | str) -> None:
        """Write ``spec.json`` and ``mu_law.json`` into ``folder``."""
        folders.write(folder, self.spec, self._files())

    def _files(self) -> dict[str, str]:
        return {FILE: json.dumps({"levels": self.levels, "rate": self.rate}) + "\n"}
