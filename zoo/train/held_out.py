"""Loss on the held-out part."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

from zoo.data.base import TokenData
from zoo.train.feed import move
from zoo.train.objective import CrossEntropy


@torch.no_grad()
def evaluate(
    network: Any,
    data: TokenData,
    *,
    batch: int,
    autocast: Callable[[], AbstractContextManager[Any]],
    should_stop: Callable[[], bool],
) -> dict[str, Any]:
    """Return ``loss`` in nats per predicted id and ``data``'s own units, over every window."""
    objective, nats, tokens = CrossEntropy(), 0.0, 0
    device = next(network.parameters()).device
    for rows in data.held_out(batch):
        should_stop()
        with autocast():
            nats += objective.nats(network, move(rows, device)).item()
        tokens += objective.count(rows)
    return {"loss": nats / tokens, **data.metrics(nats, tokens)}
