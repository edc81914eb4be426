"""A codec with random weights as a checkpoint, and sounds for it, for the tests of verbs that use one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import torch

from zoo.tokenizers.audio.vqvae.config import VqvaeConfig
from zoo.tokenizers.audio.vqvae.network import Vqvae
from zoo.weights import codecs

RATE = 8000


def random_codec(seed: int = 0) -> Vqvae:
    """Return a small codec of two levels with hops of 4 and 16 samples."""
    torch.manual_seed(seed)
    config = VqvaeConfig(
        rate=RATE, codes=32, code_width=4, width=4, depth=1, downs=(2, 1), strides=(2, 4), multipliers=(1, 1)
    )
    codec = Vqvae(config).eval()
    for level in range(2):
        heard = 0.3 * torch.randn(1, 64 * 16, 1)
        codec.codebook(level).adopt(codec.features(heard, level)[0, :32].detach())
    return codec


def save_codec(folder: Path, seed: int = 0) -> Path:
    """Write such a codec as a checkpoint."""
    codec = random_codec(seed)
    codec.card, codec.recipe = {"name": folder.name}, {}
    codecs.write(folder, codec)
    return folder


def write_sound(path: Path, seconds: float, *, seed: int = 0, rate: int = RATE, channels: int = 1) -> Path:
    """Write a wav file of a tone with noise."""
    drawn = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    tone = 0.4 * np.sin(2 * np.pi * (220 + 55 * seed) * time) + 0.05 * drawn.standard_normal(len(time))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.repeat(tone[:, None], channels, axis=1), rate, subtype="FLOAT")
    return path
