"""Image GPT, ours and transformers', on the same weights: pixels drawn a second, and pixels learned from a second."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from benchmarks.limits import decoding_bytes, product_rate, read_bandwidth, step_seconds
from benchmarks.measure import Row, in_turn, peer, row, seconds_of, version
from benchmarks.peers import transformers_model
from zoo.data.base import Batch
from zoo.generate.sampler import Sampler
from zoo.generate.settings import SamplingSettings
from zoo.network import Network
from zoo.train import precision
from zoo.train.objective import CrossEntropy
from zoo.train.optimizer import AdamW
from zoo.transformer.config import TransformerConfig
from zoo.transformer.feedforward import Mlp
from zoo.transformer.initial import ImageGptInitial
from zoo.transformer.model import Transformer
from zoo.transformer.norm import RMSNorm

TITLE = "Image GPT at 76M: tokens/s of sampling and of training, beside transformers on the same weights"


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is drawn and learned.

    Attributes:
        name: of the network, for the rows.
        config: the network; one id more is read (the start) than is predicted.
        known: pixels that each row begins with. Drawing the pixels around the middle of a picture costs what a pixel
            of it costs on average, for the cost grows with the pixels before it.
        new: pixels drawn.
        batches: rows of pictures that are drawn together.
        pictures: in a batch that is learned from.
        updates: that one figure of training is taken from.
    """

    name: str
    config: TransformerConfig
    known: int
    new: int
    batches: tuple[int, ...]
    pictures: int
    updates: int


def _shape(*, colours: int, pixels: int, width: int, depth: int, heads: int) -> TransformerConfig:
    return TransformerConfig(
        vocabulary=colours + 1,
        output_vocabulary=colours,
        context=pixels,
        width=width,
        depth=depth,
        heads=heads,
        norm=RMSNorm(),
        feedforward=Mlp(activation="quick_gelu"),
        bias=False,
        tied=False,
        initial=ImageGptInitial(),
    )


FULL = Sizes(
    name="iGPT-S 76M",
    config=_shape(colours=512, pixels=1024, width=512, depth=24, heads=8),
    known=496,
    new=32,
    batches=(1, 16),
    pictures=2,
    updates=1,
)
TINY = Sizes(
    name="tiny",
    config=_shape(colours=16, pixels=16, width=32, depth=2, heads=2),
    known=4,
    new=8,
    batches=(1, 2),
    pictures=2,
    updates=2,
)
Draw = Callable[[Tensor], float]
"""Ids (batch, time) that rows begin with -> tokens/s of what follows, reading them not included."""


def measure(sizes: Sizes, runs: int) -> list[Row]:
    """Return tokens/s of sampling by batch size and type of numbers, then of training."""
    peer("transformers")
    ours, theirs = networks(sizes.config)
    rows = []
    for dtype in (torch.float32, torch.bfloat16):
        ours, theirs = ours.to(dtype), theirs.to(dtype)
        for batch in sizes.batches:
            rows += _sampling(sizes, runs, ours, theirs, batch, dtype)
    del ours, theirs
    gc.collect()
    return rows + _training(sizes, runs)


def networks(config: TransformerConfig) -> tuple[Transformer, Any]:
    """Return our network and transformers', who reads the weights that we write."""
    torch.manual_seed(0)
    ours = Transformer(config).eval()
    nn.init.normal_(ours.output_matrix, std=0.02)  # it starts at zero, which would make every drawn id a tie
    theirs = transformers_model("ImageGPTForCausalImageModeling", ours, "image")
    ids = torch.randint(config.vocabulary, (1, 8))
    with torch.no_grad():
        difference = (theirs(input_ids=ids).logits - ours(ids)).abs().max().item()
    assert difference < 1e-3, f"the same weights give logits that differ by {difference}"
    return ours, theirs


def _sampling(sizes: Sizes, runs: int, ours: Transformer, theirs: Any, batch: int, dtype: torch.dtype) -> list[Row]:
    config = sizes.config
    torch.manual_seed(batch)
    ids = torch.randint(config.vocabulary - 1, (batch, sizes.known + 1))
    ids[:, 0] = config.vocabulary - 1
    contestants = {
        "zoo": partial(our_speed, ours, ids, sizes.new),
        version("transformers"): partial(their_speed, theirs, ids, sizes.new),
    }
    limit, source = _sampling_limit(sizes, runs, batch, dtype)
    kind = str(dtype).removeprefix("torch.")
    name = f"{sizes.name}, sampling, batch {batch}, {kind}"
    return [
        row(name, who, "tokens/s", figures, limit, f"{name}: {source}")
        for who, figures in in_turn(contestants, runs).items()
    ]


def our_speed(network: Transformer, ids: Tensor, new: int) -> float:
    """Return tokens/s over the batch, from the first new id to the last."""
    steps = Sampler(cast(Network, network), list(ids), SamplingSettings(max_new_tokens=new + 1))
    steps.step()
    return len(ids) * new / seconds_of(lambda: [steps.step() for _ in range(new)])


def their_speed(model: Any, ids: Tensor, new: int) -> float:
    """Return tokens/s over the batch, from the first new id to the last: their generate says when it has one."""
    times: list[float] = []

    def tick(ids: Tensor, scores: Tensor, **kwargs: Any) -> Tensor:
        times.append(time.perf_counter())
        return torch.zeros(len(ids), dtype=torch.bool)

    options = {"do_sample": True, "top_k": 0, "pad_token_id": 0, "use_cache": True, "stopping_criteria": [tick]}
    with torch.inference_mode():
        model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=new + 1, **options)
    assert len(times) == new + 1, f"{len(times)} ids instead of {new + 1}"
    return len(ids) * new / (times[-1] - times[0])


def _sampling_limit(sizes: Sizes, runs: int, batch: int, dtype: torch.dtype) -> tuple[float, str]:
    """Return the tokens/s that memory and matrix products allow, whichever is less."""
    config = sizes.config
    size = int(decoding_bytes(config, batch, sizes.known + sizes.new / 2, dtype))
    reading = size / max(read_bandwidth(size, runs))
    products = 12 * config.depth * config.width**2 + config.vocabulary * config.width
    # The machine's, of large products: torch's for so few rows is not what the processor can do.
    rate = max(product_rate(1024, config.width, 4 * config.width, dtype, runs))
    multiplying = 2 * products * batch / rate if batch > 1 else 0.0
    what = "multiplying by its matrices" if multiplying > reading else "reading its matrices and caches once a step"
    return batch / max(reading, multiplying), f"{what}, measured now"


def _training(sizes: Sizes, runs: int) -> list[Row]:
    config = sizes.config
    torch.manual_seed(0)
    ids = torch.randint(config.vocabulary - 1, (sizes.pictures, config.context + 1))
    batch = Batch(ids=ids[:, :-1], targets=ids[:, 1:], indices=torch.arange(sizes.pictures))
    tokens = sizes.updates * batch.targets.numel()
    ours, theirs = networks(config)
    module, name = Unpacked(theirs), version("transformers")
    steps = {
        "zoo": our_update(ours, batch, "auto"),
        "zoo, float32": our_update(ours, batch, "float32"),
        name: their_update(module, batch, "float32"),
        f"{name}, bfloat16": their_update(module, batch, "bfloat16"),
    }

    def speed(update: Callable[[], object]) -> float:
        return tokens / seconds_of(lambda: [update() for _ in range(sizes.updates)])

    for update in steps.values():
        update()
    figures = in_turn({who: partial(speed, update) for who, update in steps.items()}, runs)
    name = f"{sizes.name}, training, batch {sizes.pictures}"
    dtype = torch.bfloat16 if precision.choose("auto", ours) == "bfloat16" else torch.float32
    limit = batch.targets.numel() / step_seconds(config, sizes.pictures, runs, dtype)
    kind = str(dtype).removeprefix("torch.")
    source = f"{name}: the matrix products alone, forward and backward, {kind}, measured now"
    return [row(name, who, "tokens/s", rates, limit, source) for who, rates in figures.items()]


class Unpacked(nn.Module):
    """A model of transformers that returns its logits alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits (batch, time, colours) of ids (batch, time)."""
        logits: Tensor = self.model(input_ids=ids, use_cache=False).logits
        return logits


def our_update(network: Transformer, batch: Batch, dtype: str) -> Callable[[], object]:
    """Return an update as the training loop makes it: its objective, its choice of numbers, its optimizer."""
    optimizer, objective = AdamW().build(network), CrossEntropy()
    autocast = precision.autocast(precision.choose(dtype, network), torch.device("cpu"))

    def update() -> float:
        network.train()
        optimizer.zero()
        with autocast():
            (nats,) = objective.losses(network, batch)
            loss = nats / batch.targets.numel()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(optimizer.parameters, 1.0)
        optimizer.step(1e-5)
        return loss.item()

    return update


def their_update(network: nn.Module, batch: Batch, dtype: precision.Name) -> Callable[[], object]:
    """Return an update in a plain loop, with PyTorch's fused AdamW."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5, fused=True)
    autocast = precision.autocast(dtype, torch.device("cpu"))

    def update() -> float:
        network.train()
        optimizer.zero_grad(set_to_none=True)
        with autocast():
            loss = nn.functional.cross_entropy(network(batch.ids).flatten(0, 1), batch.targets.flatten())
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return update
