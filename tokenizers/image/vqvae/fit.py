"""A small VQ-VAE trained on the spot, so that ``tokenizer=image_vqvae`` works on any pictures.

For better ones, with curves, evaluations and a checkpoint of their own, there is ``zoo train image/vqvae``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch

from zoo.errors import ZooError
from zoo.tokenizers.image.pixels import Picture, Pixels, to_grid
from zoo.tokenizers.image.vqvae.config import ImageVqvaeConfig
from zoo.tokenizers.image.vqvae.network import ImageVqvae, to_samples

KEPT = 1 << 24
"""Pixels that are kept to learn from, at least; at most twice as many."""
SHARE, MOST = 4, 1 << 16
"""Vectors of an update for each code, in whole pictures, and most pixels of an update."""
RATE, WARMUP = 4e-3, 20
COMMITMENT = 0.25
"""Weight of what keeps the encoder near its codes (van den Oord et al. 2017, section 3.2)."""


def gather(samples: Iterable[Picture], rows: int, columns: int, channels: int | None) -> Pixels:
    """Return samples on the grid, (count, rows, columns, channels): every one, every second, every fourth ... one.

    Args:
        samples: pictures.
        rows, columns: the grid.
        channels: 1 or 3; None: 1 if none of the pictures has colours.

    Raises:
        ZooError: no pictures.
    """
    most = max(64, KEPT // (rows * columns))
    kept: list[Pixels] = []
    stride = 1
    for number, sample in enumerate(samples):
        if number % stride:
            continue
        kept.append(to_grid(sample, rows, columns, channels or 3))
        if len(kept) == 2 * most:
            kept, stride = kept[::2], 2 * stride
    if not kept:
        raise ZooError("no pictures to train image_vqvae on; give some, or tokenizer.path=CHECKPOINT")
    gray = channels is None and all((one == one[..., :1]).all() for one in kept)
    return np.stack([one[..., :1] for one in kept] if gray else kept)


def train(config: ImageVqvaeConfig, pixels: Pixels, *, steps: int, seed: int) -> ImageVqvae:
    """Return a codec trained on ``pixels``, (count, rows, columns, channels), on the CPU.

    One thread does it all, so that the same machine makes the same codec again, whatever the number of its threads;
    torch's generator is left as it was. Of ``config.threshold`` nothing is left: it is a share of what a code can get.
    """
    cells = config.shape[0] * config.shape[1]
    size = max(1, min(-(-SHARE * config.codes // cells), MOST // (config.rows * config.columns)))
    config = replace(config, threshold=size * cells / config.codes / 8)
    with _one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        codec = ImageVqvae(config).train()
        optimizer = torch.optim.Adam(codec.parameters(), lr=RATE)
        variance = max(float(np.var(pixels[:4096])) / 127.5**2, 1e-4)
        for step in range(steps):
            rows = torch.randint(len(pixels), (size,))
            samples = to_samples(pixels[rows.numpy()])
            found = codec(samples)
            loss = (found.outputs[0] - samples).square().mean() / variance + COMMITMENT * found.commitments[0].mean()
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, (step + 1) / WARMUP) * (1 - step / steps)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            codec.settle()
    return codec.eval()


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
