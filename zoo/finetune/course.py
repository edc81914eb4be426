"""How long and how fast a trained network goes on learning: settings that look at the network and its new data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from zoo.errors import ZooError
from zoo.train.objective import CrossEntropy
from zoo.train.optimizer import AdamW, OptimizerSettings
from zoo.train.schedule import Linear
from zoo.train.settings import AnyObjective, TrainSettings

RATE, RATE_WIDTH = 6.25e-5, 768
"""GPT-1's learning rate in fine-tuning, and its width (Radford et al. 2018, section 4.1)."""
FASTEST = 1e-3
"""Rate of narrow networks. Measured: checkpoints/shakespeare (width 192) on 130 kB of Alice, 120 updates of 8 x 256:

    rate           6.25e-5   2.5e-4   1e-3
    bits per byte    2.138    1.946   1.828

Where norms come after each half (GPT-1, BERT) the rate grows more slowly, with 768 / width and not its square: 1e-3
made a text/bert of width 128 forget (8,000 sentences, two labels: 62 to 80 % right from one evaluation to the next;
88 to 91 % at 3e-4).
"""
NEXT_ID = CrossEntropy()
EVALUATIONS, FARTHEST = 10, 500
"""Evaluations in a run, and most updates between two."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """The training of a fine-tuning run; the optimizer's values are GPT-1's (Radford et al. 2018, section 4.1).

    Attributes:
        epochs: how often as many ids are read as the training part has.
        steps: updates instead of ``epochs``.
        batch: rows in one forward pass.
        accumulation: forward passes in an update.
        learning_rate: at its peak, from where it falls to 0 in a straight line. None for GPT-1's 6.25e-5 at its width
            of 768; it grows with the square of 768 / width, up to 1e-3, which is reached at a width of 192, or with
            768 / width where norms come after each half of a block.
        warmup: part of the updates in which the rate rises.
        optimizer: AdamW, Muon or RMSprop.
        clip: largest norm of all gradients together; 0 switches clipping off.
        average: decay of a running average of the weights, which is then evaluated and published; 0 = none.
        dtype: of the matrix products; ``auto`` takes bfloat16 where that gains.
        patience: stop after so many evaluations without a new best held-out loss; 0 = never. The best is published.
        evaluate_every: updates between evaluations, None for ten in the run.
        save_every: updates between states to resume from.
        log_every: updates between log entries.
        compile: use torch.compile.
        workers: threads that prepare batches ahead.
        tensorboard: also write TensorBoard curves.
    """

    epochs: float = 3.0
    steps: int | None = None
    batch: int = 8
    accumulation: int = 1
    learning_rate: float | None = None
    warmup: float = 0.002
    optimizer: OptimizerSettings = AdamW(betas=(0.9, 0.999), weight_decay=0.01)
    clip: float = 1.0
    average: float = 0.0
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    patience: int = 3
    evaluate_every: int | None = None
    save_every: int = 250
    log_every: int = 10
    compile: bool = False
    workers: int = 0
    tensorboard: bool = False

    def __post_init__(self) -> None:
        if not 0.0 < self.epochs < math.inf:
            raise ZooError(f"train.epochs is more than 0, got {self.epochs:g}")
        if not 0.0 <= self.warmup <= 1.0:
            raise ZooError(f"train.warmup is a part of the updates between 0 and 1, got {self.warmup}")
        self.settings(tokens=1, context=1, width=RATE_WIDTH)  # refuses everything else now, before anything is read

    def settings(
        self,
        *,
        tokens: int,
        context: int,
        width: int,
        post_norm: bool = False,
        objective: AnyObjective = NEXT_ID,
        rate: Callable[[float], float] = lambda usual: usual,
        stops: bool = True,
    ) -> TrainSettings:
        """Return the settings of the training loop.

        Args:
            tokens: ids of the training part, or samples.
            context: ids in a row; 1 where samples are counted.
            width: of the network.
            post_norm: its norms come after each half of a block.
            objective: what is minimised.
            rate: from the usual learning rate to that of the method; one that was asked for stays as it is.
            stops: there is a part to stop by; else the run goes to its end, and is evaluated there.
        """
        steps = self.steps
        if steps is None:
            steps = max(1, math.ceil(self.epochs * tokens / max(1, self.batch * self.accumulation * context)))
        every = self.evaluate_every
        if every is None:
            every = min(FARTHEST, math.ceil(steps / EVALUATIONS))
        usual = min(FASTEST, RATE * (RATE_WIDTH / width) ** (1 if post_norm else 2))
        return TrainSettings(
            steps=steps,
            batch=self.batch,
            accumulation=self.accumulation,
            learning_rate=rate(usual) if self.learning_rate is None else self.learning_rate,
            optimizer=self.optimizer,
            schedule=Linear(warmup=round(self.warmup * steps)),
            objective=objective,
            clip=self.clip,
            average=self.average,
            dtype=self.dtype,
            evaluate_every=every if stops else 0,
            save_every=self.save_every,
            log_every=self.log_every,
            patience=self.patience if stops else 0,
            compile=self.compile,
            workers=self.workers,
            tensorboard=self.tensorboard,
        )
