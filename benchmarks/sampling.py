"""Drawing ids with a cache: ours beside transformers' generate on the same shape, and beside the memory's speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch

from benchmarks.limits import decoding_bytes, product_rate, read_bandwidth
from benchmarks.measure import Row, in_turn, row, version
from benchmarks.peers import transformers_gpt2
from zoo.errors import ZooError
from zoo.generate.sampler import generate_ids
from zoo.generate.settings import SamplingSettings
from zoo.network import Network
from zoo.transformer.config import TransformerConfig
from zoo.transformer.model import Transformer

TITLE = "tokens/s of sampling at batch 1 and 16, beside transformers and the memory's bandwidth"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One network and how much is drawn from it."""

    name: str
    config: TransformerConfig
    prompt: int
    new: int


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Networks and batch sizes."""

    shapes: tuple[Shape, ...]
    batches: tuple[int, ...] = (1, 16)


SMALL = TransformerConfig(vocabulary=65, context=256, width=384, depth=6, heads=6)
GPT2 = TransformerConfig(vocabulary=50257, context=1024, width=768, depth=12, heads=12)
FULL = Sizes(
    shapes=(
        Shape(name="nanoGPT's 10.7M", config=SMALL, prompt=16, new=200),
        Shape(name="GPT-2 124M", config=GPT2, prompt=16, new=48),
    )
)
TINY = Sizes(
    shapes=(
        Shape(
            name="tiny",
            config=TransformerConfig(vocabulary=65, context=32, width=32, depth=2, heads=2),
            prompt=4,
            new=8,
        ),
    ),
    batches=(1, 2),
)


def measure(sizes: Sizes, runs: int) -> list[Row]:
    """Return new ids a second over the whole batch, reading the prompt included."""
    return [line for shape in sizes.shapes for batch in sizes.batches for line in _rows(shape, batch, runs)]


def _rows(shape: Shape, batch: int, runs: int) -> list[Row]:
    torch.manual_seed(0)
    prompts = torch.randint(shape.config.vocabulary, (batch, shape.prompt))
    contestants = {"zoo": _ours(shape, prompts), version("transformers"): _theirs(shape, prompts)}
    for draw in contestants.values():
        draw()  # allocations and choices that are made once
    times = in_turn(contestants, runs)
    limit, source = _limit(shape, batch, runs)
    name = f"{shape.name}, batch {batch}"
    return [
        row(name, who, "tokens/s", [batch * shape.new / taken for taken in seconds], limit, source)
        for who, seconds in times.items()
    ]


def _ours(shape: Shape, prompts: torch.Tensor) -> Callable[[], float]:
    network = cast(Network, Transformer(shape.config).eval())
    settings = SamplingSettings(max_new_tokens=shape.new)

    def draw() -> float:
        start = time.perf_counter()
        drawn = generate_ids(network, list(prompts), settings)
        taken = time.perf_counter() - start
        _check([len(ids) for ids in drawn], shape.new)
        return taken

    return draw


def _theirs(shape: Shape, prompts: torch.Tensor) -> Callable[[], float]:
    model = transformers_gpt2(shape.config).eval()
    options = {"max_new_tokens": shape.new, "do_sample": True, "top_k": 0, "pad_token_id": 0, "use_cache": True}

    def draw() -> float:
        start = time.perf_counter()
        with torch.inference_mode():
            drawn = model.generate(prompts, attention_mask=torch.ones_like(prompts), **options)
        taken = time.perf_counter() - start
        _check([drawn.shape[1] - shape.prompt], shape.new)
        return taken

    return draw


def _check(lengths: list[int], new: int) -> None:
    if set(lengths) != {new}:
        raise ZooError(f"a contestant drew {lengths} ids instead of {new}, so the speeds cannot be compared")


def _limit(shape: Shape, batch: int, runs: int) -> tuple[float, str]:
    """Return the tokens/s that memory and matrix products allow, whichever is less."""
    config = shape.config
    size = decoding_bytes(config, batch, shape.prompt + shape.new / 2)
    reading = size / max(read_bandwidth(int(size), runs))
    weights = 12 * config.depth * config.width**2 + config.vocabulary * config.width
    # The machine's, of large products: torch's for so few rows is not what the processor can do.
    rate = max(product_rate(1024, config.width, 4 * config.width, torch.float32, runs))
    multiplying = 2 * weights * batch / rate if batch > 1 else 0.0
    source = f"{shape.name}: reading its matrices and caches once a step, or multiplying by them, measured now"
    return batch / max(reading, multiplying), source
