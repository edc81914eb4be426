"""What each of two processes does in ``test_ranks``: train together, and write down what it has seen."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.train import small
from zoo.data.base import IGNORED, Batch
from zoo.errors import ZooError
from zoo.train.loop import Interrupted
from zoo.train.optimizer import AdamW
from zoo.train.ranks import here, joined
from zoo.train.settings import TrainSettings
from zoo.weights.tensors import named_weights, write_tensors


class Uneven(small.CountingData):
    """Rows that predict different numbers of ids; ``event`` happens where the rows of ``step`` are asked for."""

    def __init__(self, step: int = -1, event: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.step, self.event = step, event

    def batch(self, *, step: int, size: int, seed: int) -> Batch:
        if step == self.step:
            self.event()
        batch = super().batch(step=step, size=size, seed=seed)
        targets = batch.targets.clone()
        for row, cut in enumerate(torch.randint(small.CONTEXT, (size,), generator=torch.Generator().manual_seed(step))):
            targets[row, :cut] = IGNORED
        return dataclasses.replace(batch, targets=targets)


def settings(**changes: Any) -> TrainSettings:
    # an epsilon at which gradients that are zero but for rounding (those of key biases) stay without effect
    values = {"steps": 8, "batch": 5, "accumulation": 2, "save_every": 3, "average": 0.5, "optimizer": AdamW(eps=1e-3)}
    return small.settings(**(values | changes))


def train(
    out: Path, data: Uneven, *, network: nn.Module | None = None, name: str = "", **options: Any
) -> dict[str, Any]:
    """Return what became of a run, all in plain values; its weights go to ``NAME.RANK.safetensors`` beside ``out``."""
    network = network if network is not None else small.network()
    report: dict[str, Any] = {"error": None, "signal": None, "metrics": None}
    try:
        result = small.trainer(out, settings(), network=network, data=data, **options).run()
        report |= {"metrics": result.metrics, "tokens": result.tokens}
    except ZooError as error:
        report["error"] = str(error)
    except Interrupted as stop:
        report["signal"] = stop.signal
    write_tensors(out.with_name(f"{name or out.name}.{here().rank}.safetensors"), named_weights(network))
    return report


def spoilt(step: int) -> nn.Module:
    """Return a network whose logits are no numbers from forward pass ``step`` of training on."""
    network, seen = small.network(), [0]

    def hook(module: nn.Module, arguments: object, logits: Tensor) -> Tensor:
        seen[0] += module.training
        return logits * float("nan") if module.training and seen[0] > step else logits

    network.register_forward_hook(hook)
    return network


def main(folder: Path) -> None:
    """Do everything in turn; ``folder/RANK.json`` tells."""
    with joined():
        rank = here().rank
        found: dict[str, Any] = {}

        def there(event: Callable[[], None]) -> Callable[[], None]:
            return event if rank == 1 else lambda: None

        def refuse() -> None:
            raise ZooError("song 7 is broken")

        stop = there(lambda: os.kill(os.getpid(), signal.SIGTERM))
        found["exact"] = train(folder / "exact", Uneven(), network=small.network(dropout=0.0))
        found["whole"] = train(folder / "whole", Uneven())
        found["cut"] = train(folder / "cut", Uneven(9, stop))
        found["resumed"] = train(folder / "cut", Uneven(), resume=True)
        found["again"] = train(folder / "whole", Uneven(), name="again")
        found["data"] = train(folder / "data", Uneven(9, there(refuse)))
        found["loss"] = train(folder / "loss", Uneven(), network=spoilt(6) if rank == 1 else small.network())
        (folder / f"{rank}.json").write_text(json.dumps(found))
        dead = train(folder / "dead", Uneven(9, there(lambda: os._exit(3))))
        (folder / "dead.json").write_text(json.dumps(dead))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
