"""A network and data so small that hundreds of runs fit into a test."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.architecture import build_network
from zoo.data.base import Batch, TokenData
from zoo.settings import to_mapping
from zoo.train.loop import Trainer
from zoo.train.settings import TrainSettings
from zoo.transformer.config import TransformerConfig
from zoo.weights.folder import Contents

VOCABULARY, CONTEXT = 11, 8
CONFIG = TransformerConfig(vocabulary=VOCABULARY, context=CONTEXT, width=8, depth=1, heads=2, dropout=0.1)


class CountingData(TokenData):
    """Rows that count upwards modulo the vocabulary from a random start: soon learnt, and easily checked."""

    def __init__(self, windows: int = 6) -> None:
        self.train_tokens = 0
        self.windows = windows

    def batch(self, *, step: int, size: int, seed: int) -> Batch:
        generator = torch.Generator().manual_seed(1_000_003 * seed + step)
        return self._rows(torch.randint(VOCABULARY, (size,), generator=generator))

    def held_out(self, size: int) -> Iterator[Batch]:
        for starts in torch.arange(self.windows).split(size):
            yield self._rows(starts)

    def metrics(self, nats: float, tokens: int) -> dict[str, Any]:
        return {"bits_per_id": nats / tokens / 0.6931471805599453}

    def _rows(self, starts: torch.Tensor) -> Batch:
        ids = (starts[:, None] + torch.arange(CONTEXT + 1)) % VOCABULARY
        return Batch(ids=ids[:, :-1], targets=ids[:, 1:], indices=starts)


def network(seed: int = 0, *, dropout: float = CONFIG.dropout) -> nn.Module:
    torch.manual_seed(seed)
    return build_network(dataclasses.replace(CONFIG, dropout=dropout))


def settings(**changes: Any) -> TrainSettings:
    values = {"steps": 20, "batch": 4, "learning_rate": 1e-2, "save_every": 5, "evaluate_every": 5, "log_every": 1}
    return TrainSettings(**(values | changes))


def contents(**card: Any) -> Contents:
    return Contents(
        family="transformer",
        modality="text",
        network=to_mapping(CONFIG),
        tokenizer=None,
        recipe={"name": "text/counting"},
        card={"name": "counting", **card},
    )


def trainer(out: Path, train: TrainSettings | None = None, **options: Any) -> Trainer:
    options = {"contents": contents(), "network": network(), "data": CountingData()} | options
    return Trainer(options.pop("network"), options.pop("data"), train or settings(), out=out, **options)
