"""Training nanoGPT's CPU configuration: ours, and Hugging Face's GPT-2 and PyTorch's encoder layers in a plain loop."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks import corpus
from benchmarks.limits import step_seconds
from benchmarks.measure import Row, in_turn, peer, row, version
from benchmarks.peers import TorchGpt, transformers_gpt2
from zoo.data.base import IGNORED, TokenData
from zoo.recipe import Recipe, build, compose
from zoo.run import Prepared, Run
from zoo.train.monitor import Quiet, Report
from zoo.train.settings import TrainSettings
from zoo.transformer.config import TransformerConfig

TITLE = "nanoGPT's CPU configuration: tokens/s, seconds and validation loss, beside transformers and torch.nn"


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is trained.

    Attributes:
        size: of the recipe text/shakespeare_char.
        steps: of the runs that tokens/s are taken from.
        whole: steps of the whole run, whose seconds and validation loss are reported.
        text: file to train on (tiny Shakespeare for nanoGPT's figures), None for Python's help texts.
    """

    size: str
    steps: int
    whole: int
    text: Path | None = None


FULL = Sizes(size="cpu", steps=200, whole=2000)
TINY = Sizes(size="tiny", steps=4, whole=8)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One run.

    Attributes:
        updates: seconds of its updates.
        seconds: of all of it, from the first update to the evaluation of every held-out window (and our checkpoint).
        loss: on every held-out window, nats per token.
    """

    updates: float
    seconds: float
    loss: float


Contestant = Callable[[Prepared], Outcome]


def measure(sizes: Sizes, runs: int) -> list[Row]:
    """Return tokens/s over ``runs`` short runs in turn, then seconds and loss of one whole run each."""
    peer("transformers")
    contestants: dict[str, Contestant] = {
        "zoo": ours,
        version("transformers"): partial(theirs, make=transformers_network),
        version("torch"): partial(theirs, make=TorchGpt),
    }
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        text.write_text(corpus.read(sizes.text), encoding="utf-8")
        first = prepare(text, sizes.size, sizes.steps)
        config, batch = shape(first), first.run.recipe.train.batch
        tokens = batch * config.context
        limit = tokens / step_seconds(config, batch, runs)

        def speed(train: Contestant) -> float:
            return sizes.steps * tokens / train(prepare(text, sizes.size, sizes.steps)).updates

        speeds = in_turn({who: partial(speed, train) for who, train in contestants.items()}, runs)
        source = "matrix products of a step alone, forward and backward, float32, measured now"
        rows = [row("tokens/s", who, "tokens/s", rates, limit, source) for who, rates in speeds.items()]
        for who, train in contestants.items():
            outcome = train(prepare(text, sizes.size, sizes.whole))
            rows.append(row(f"{sizes.whole} steps and evaluation", who, "s", [outcome.seconds]))
            rows.append(row(f"held-out loss after {sizes.whole} steps", who, "nats/token", [outcome.loss]))
    return rows


def prepare(text: Path, size: str, steps: int) -> Prepared:
    """Return a run of the recipe on ``text``, made as ``zoo train`` makes it."""
    changes = {
        "data.path": str(text),
        "train.steps": str(steps),
        "train.log_every": str(steps),
        "train.evaluate_every": "0",
        "train.save_every": "0",
    }
    recipe = build(compose("text/shakespeare_char", changes, size=size))
    assert isinstance(recipe, Recipe)
    return Run(recipe=recipe, out=Path(tempfile.mkdtemp(dir=text.parent)) / "run", device="cpu").prepare()


def shape(prepared: Prepared) -> TransformerConfig:
    """Return the network's settings, vocabulary included."""
    config = prepared.network.config
    assert isinstance(config, TransformerConfig)
    return config


class Stopwatch(Quiet):
    """Times the updates of a run that reports only its last one."""

    def __init__(self) -> None:
        self.began = self.seconds = 0.0

    def on_start(self, step: int, steps: int) -> None:
        self.began = time.perf_counter()

    def on_step(self, report: Report) -> None:
        self.seconds = time.perf_counter() - self.began


def ours(prepared: Prepared) -> Outcome:
    """Train with the library's loop, which also logs and writes a checkpoint."""
    watch, start = Stopwatch(), time.perf_counter()
    result = prepared.train(watch)
    return Outcome(updates=watch.seconds, seconds=time.perf_counter() - start, loss=float(result.metrics["loss"]))


def transformers_network(config: TransformerConfig) -> nn.Module:
    """Return Hugging Face's GPT-2 as a module from ids to logits."""
    return Unpacked(transformers_gpt2(config))


class Unpacked(nn.Module):
    """A Hugging Face model that returns its logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits (batch, time, vocabulary) of ids (batch, time)."""
        logits: Tensor = self.model(input_ids=ids, use_cache=False).logits
        return logits


def theirs(prepared: Prepared, make: Callable[[TransformerConfig], nn.Module]) -> Outcome:
    """Train a peer's network in a plain loop: the same rows, the same learning rates, PyTorch's fused AdamW."""
    torch.manual_seed(0)
    network, train, seed = make(shape(prepared)), prepared.run.recipe.train, prepared.run.seed
    optimizer, rates = _adamw(network, train), train.schedule
    start = time.perf_counter()
    network.train()
    for step in range(train.steps):
        batch = prepared.data.batch(step=step, size=train.batch, seed=seed)
        for group in optimizer.param_groups:
            group["lr"] = train.learning_rate * rates.factor(step, train.steps)
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(network(batch.ids).flatten(0, 1), batch.targets.flatten())
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), train.clip)
        optimizer.step()
    updates = time.perf_counter() - start
    held_out = _loss(network, prepared.data, train.batch)
    return Outcome(updates=updates, seconds=time.perf_counter() - start, loss=held_out)


def _adamw(network: nn.Module, train: TrainSettings) -> torch.optim.Optimizer:
    """Return AdamW as nanoGPT sets it up: decay on matrices only."""
    parameters = list(network.parameters())
    groups = [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1], "weight_decay": 0.1},
        {"params": [parameter for parameter in parameters if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=train.learning_rate, betas=(0.9, 0.99), fused=True)


@torch.no_grad()
def _loss(network: nn.Module, data: TokenData, size: int) -> float:
    """Return nats per token over every held-out window."""
    network.eval()
    nats, tokens = 0.0, 0
    for batch in data.held_out(size):
        logits, targets = network(batch.ids).flatten(0, 1), batch.targets.flatten()
        nats += nn.functional.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum").item()
        tokens += int((targets != IGNORED).sum())
    return nats / tokens
