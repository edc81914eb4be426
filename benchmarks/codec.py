"""Jukebox's codec at its released size: training, encoding, decoding, beside the same network of PyTorch's modules."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.limits import product_rate
from benchmarks.measure import Row, in_turn, row, version
from benchmarks.plain_codec import PlainCodec
from zoo.data.base import SampleBatch
from zoo.tokenizers.audio.vqvae.chunked import encode_blocks
from zoo.tokenizers.audio.vqvae.config import VqvaeConfig
from zoo.tokenizers.audio.vqvae.network import Vqvae
from zoo.train.reconstruct import Bandwidth, SoundReconstruction

TITLE = "Jukebox's codec: seconds of sound trained on, encoded and decoded a second, beside torch.nn"
Work = Callable[[], object]
BANDWIDTH = Bandwidth(l1=0.1, l2=0.01, spectral=100.0)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is measured.

    Attributes:
        config: of the codec.
        batch: crops of an update.
        crop: seconds of each.
        seconds: of the sound that is encoded and decoded.
    """

    config: VqvaeConfig
    batch: int
    crop: float
    seconds: float


FULL = Sizes(config=VqvaeConfig(), batch=4, crop=1.5, seconds=20.0)
TINY = Sizes(
    config=VqvaeConfig(
        rate=8000, codes=32, code_width=8, width=8, depth=2, downs=(2, 1), strides=(2, 2), multipliers=(2, 1)
    ),
    batch=2,
    crop=0.25,
    seconds=1.0,
)


def measure(sizes: Sizes, runs: int) -> list[Row]:
    """Return seconds of sound a second: trained on, encoded into all levels, and decoded from each level."""
    torch.manual_seed(0)
    ours, plain = pair(sizes.config)
    crops, sound = noise(sizes, sizes.crop, sizes.batch), noise(sizes, sizes.seconds, 1)
    updates = {"zoo": _trainer(ours, crops), version("torch"): _plain_trainer(plain, crops)}
    rows = _compare("train, all levels", updates, crops, sizes, runs, operations(plain, crops.shape[1]))
    with torch.inference_mode():
        encoders: dict[str, Work] = {"zoo": lambda: encode(ours, sound), version("torch"): lambda: plain.encode(sound)}
        rows += _compare("encode, all levels", encoders, sound, sizes, runs)
        for level, ids in enumerate(plain.encode(sound)):
            rows += _compare(f"decode, level {level}", _decoders(ours, plain, ids, level), sound, sizes, runs)
    return rows


def pair(config: VqvaeConfig) -> tuple[Vqvae, PlainCodec]:
    """Return our codec and the peer with the same weights and codebooks."""
    ours, plain = Vqvae(config), PlainCodec(config)
    with torch.no_grad():
        for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
            theirs.copy_(mine)
        for level in range(config.levels):
            ours.codebook(level).adopt(plain.vectors[level])
    return ours, plain


def noise(sizes: Sizes, seconds: float, batch: int) -> Tensor:
    """Return quiet noise (batch, time, 1), a whole number of the largest hop."""
    hop = sizes.config.hops[-1]
    return 0.1 * torch.randn(batch, max(1, round(seconds * sizes.config.rate / hop)) * hop, 1)


def encode(codec: Vqvae, sound: Tensor) -> list[Tensor]:
    """Return the ids (time,) of all levels, chunk by chunk as ``zoo tokenize`` does."""
    towers = [codec.tower(level) for level in range(codec.levels)]
    return [torch.cat(stretches) for stretches in zip(*encode_blocks(towers, [sound[0, :, 0]]), strict=True)]


def operations(plain: PlainCodec, time: int) -> int:
    """Return the operations of an update by a crop of ``time`` samples: convolutions, forwards and twice backwards."""
    with torch.device("meta"):
        samples = torch.zeros(1, time, 1)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        meta = PlainCodec(plain.config).to("meta")
        for level, ids in enumerate(meta.encode(samples)):
            meta.decode(ids, level)
    return 3 * int(counter.get_total_flops())


def _trainer(codec: Vqvae, samples: Tensor) -> Work:
    codec.train()
    objective = SoundReconstruction(bandwidth=BANDWIDTH)
    batch = SampleBatch(samples=samples, indices=torch.arange(len(samples)))
    optimizer = torch.optim.Adam(codec.parameters(), lr=3e-4)

    def update() -> None:
        optimizer.zero_grad()
        objective.begin(codec)
        torch.stack(objective.losses(codec, batch)).sum().div(samples.numel()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        objective.settle(codec)

    return update


def _plain_trainer(codec: PlainCodec, samples: Tensor) -> Work:
    optimizer = torch.optim.Adam(codec.parameters(), lr=3e-4)

    def update() -> None:
        optimizer.zero_grad()
        codec.loss(samples, (BANDWIDTH.l2, BANDWIDTH.spectral)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return update


def _decoders(ours: Vqvae, plain: PlainCodec, ids: Tensor, level: int) -> dict[str, Work]:
    tokenizer = ours.level(level)
    return {"zoo": lambda: tokenizer.decode_samples(ids[0]), version("torch"): lambda: plain.decode(ids, level)}


def _compare(
    name: str, contestants: dict[str, Work], samples: Tensor, sizes: Sizes, runs: int, work: int | None = None
) -> list[Row]:
    """Return a row for each contestant.

    Args:
        name: of the rows.
        contestants: what each does with ``samples``.
        samples: (batch, time, 1).
        sizes: say the rate.
        runs: rounds.
        work: operations that one row of ``samples`` takes, for the limit; None for no limit.
    """
    seconds = samples.numel() / sizes.config.rate
    figures = in_turn({who: partial(_speed, work_of, seconds) for who, work_of in contestants.items()}, runs)
    limit = source = None
    if work is not None:
        width = sizes.config.width * max(sizes.config.multipliers)
        fastest = max(product_rate(2048, width, width, torch.float32, runs))
        limit, source = fastest / (work * len(samples)) * seconds, f"its products at the speed of 2048x{width}x{width}"
    return [row(name, who, "s of sound/s", found, limit, source) for who, found in figures.items()]


def _speed(work: Work, seconds: float) -> float:
    work()
    start = time.perf_counter()
    work()
    return seconds / (time.perf_counter() - start)
