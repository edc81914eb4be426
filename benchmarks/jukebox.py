"""Drawing from a small prior of Jukebox's kind from nothing: ours beside a plain program in the original's manner."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor

from benchmarks.limits import product_rate, read_bandwidth
from benchmarks.measure import Row, in_turn, row
from benchmarks.plain_jukebox import PlainJukebox
from zoo.generate.sampler import Sampler
from zoo.generate.settings import SamplingSettings
from zoo.network import Conditioning, Network
from zoo.transformer.config import TransformerConfig
from zoo.transformer.feedforward import Mlp
from zoo.transformer.model import Transformer
from zoo.transformer.patterns import Block, Column, PreviousBlock

TITLE = "tokens/s of sampling from a prior of Jukebox's kind, 11.06M, beside a plain program in its manner"
TEMPERATURE = 0.99


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is drawn: as many ids as the network's context, from nothing, for each of ``batches`` rows."""

    name: str
    config: TransformerConfig
    batches: tuple[int, ...]


def _shape(*, vocabulary: int, width: int, depth: int, heads: int, blocks: int, size: int) -> TransformerConfig:
    return TransformerConfig(
        vocabulary=vocabulary,
        context=blocks * size,
        width=width,
        depth=depth,
        heads=heads,
        attention_width_ratio=0.25,
        feedforward=Mlp(activation="quick_gelu", ratio=1.0),
        patterns=(Block(size=size), Column(size=size), PreviousBlock(size=size)),
        final_norm=False,
    )


FULL = Sizes(
    name="Jukebox's kind, 11.06M",
    config=_shape(vocabulary=2048, width=512, depth=12, heads=8, blocks=32, size=32),
    batches=(1, 4, 16),
)
TINY = Sizes(
    name="tiny",
    config=_shape(vocabulary=32, width=64, depth=3, heads=1, blocks=4, size=4),
    batches=(1, 2),
)


def measure(sizes: Sizes, runs: int) -> list[Row]:
    """Return tokens/s by batch size."""
    torch.manual_seed(0)
    ours = Transformer(sizes.config).eval()
    theirs = PlainJukebox(ours).eval()
    check(ours, theirs)
    return [line for batch in sizes.batches for line in _rows(sizes, runs, ours, theirs, batch)]


@torch.no_grad()
def check(ours: Transformer, theirs: PlainJukebox) -> None:
    """Assert that both give the same logits along a whole sequence, id by id."""
    ids, told = torch.randint(ours.vocabulary, (1, ours.context)), Conditioning(start=torch.randn(1, ours.config.width))
    assert told.start is not None
    cache = ours.new_cache(1)
    for at in range(ours.context):
        expected = theirs.logits(ids[:, at] if at else None, told.start, at)
        got = ours(ids[:, at : at + 1], conditioning=told, cache=cache)[:, 0]
        difference = (got - expected).abs().max().item()
        assert difference < 1e-3, f"the same weights give logits that differ by {difference} at position {at}"


def _rows(sizes: Sizes, runs: int, ours: Transformer, theirs: PlainJukebox, batch: int) -> list[Row]:
    start = torch.randn(batch, sizes.config.width)
    contestants: dict[str, Callable[[], float]] = {
        "zoo": partial(our_speed, ours, start),
        "plain PyTorch": partial(their_speed, theirs, start),
    }
    limit, what = _limit(sizes.config, batch, runs)
    name = f"{sizes.name}, batch {batch}"
    return [
        row(name, who, "tokens/s", figures, limit, f"{name}: {what}, measured now")
        for who, figures in in_turn(contestants, runs).items()
    ]


def our_speed(network: Transformer, start: Tensor) -> float:
    """Return tokens/s over the batch; the id that begins a row is replaced by its start vector."""
    began, batch = time.perf_counter(), len(start)
    settings = SamplingSettings(max_new_tokens=network.context, temperature=TEMPERATURE)
    prompts = [torch.zeros(1, dtype=torch.int64)] * batch
    sampler = Sampler(cast(Network, network), prompts, settings, conditioning=Conditioning(start=start))
    drawn = sum(len(step.ids) for step in sampler)
    assert drawn == batch * network.context, f"{drawn} ids instead of {batch * network.context}"
    return drawn / (time.perf_counter() - began)


def their_speed(network: PlainJukebox, start: Tensor) -> float:
    """Return tokens/s over the batch."""
    began, count = time.perf_counter(), network.positions.num_embeddings
    drawn = network.draw(start, count, TEMPERATURE)
    return drawn.numel() / (time.perf_counter() - began)


def _limit(config: TransformerConfig, batch: int, runs: int) -> tuple[float, str]:
    """Return the tokens/s that memory and matrix products allow, whichever is less."""
    products = config.depth * config.width * (4 * config.attention_width + 2 * config.width)
    products += config.vocabulary * config.width
    seen = sum(_seen(config, layer) for layer in range(config.depth)) * config.attention_width * 2
    size = int(4 * (products + batch * seen))
    reading = size / max(read_bandwidth(size, runs))
    # The machine's, of large products: torch's for so few rows is not what the processor can do.
    rate = max(product_rate(1024, config.width, 3 * config.width, torch.float32, runs))
    multiplying = 2 * products * batch / rate if batch > 1 else 0.0
    what = "multiplying by its matrices" if multiplying > reading else "reading its matrices and caches once a step"
    return batch / max(reading, multiplying), what


def _seen(config: TransformerConfig, layer: int) -> float:
    """Return how many positions a query of this layer sees, on average over the context."""
    positions = torch.arange(config.context)
    pattern = config.pattern(layer)
    assert isinstance(pattern, Block | Column | PreviousBlock)
    return float(pattern.sees(positions[:, None], positions).float().sum(1).mean())
