"""Held-out rows of any data, counted and measured."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from zoo.data.base import Batch, TokenData
from zoo.errors import ZooError
from zoo.evaluate.language_model import evaluate
from zoo.model import Model


class Limited(TokenData):
    """The held-out rows of other data, counted, and no more of them than are asked for.

    Args:
        data: whose rows.
        rows: most of them; None for all.

    Attributes:
        tokens: ids that were predicted, once all rows are read.
    """

    train_tokens = 0

    def __init__(self, data: TokenData, rows: int | None) -> None:
        self._data, self._most = data, rows
        self.label_name = data.label_name
        self.tokens = 0

    def batch(self, *, step: int, size: int, seed: int) -> Batch:
        """Refuse: nothing is learned here."""
        raise ZooError("these rows are for evaluation")

    def held_out(self, size: int) -> Iterator[Batch]:
        """Yield the rows."""
        seen = 0
        for batch in self._data.held_out(size):
            if self._most is not None and seen >= self._most:
                return
            seen += len(batch.ids)
            yield batch

    def metrics(self, nats: float, tokens: int) -> dict[str, Any]:
        """Return the other data's units."""
        self.tokens = tokens
        return self._data.metrics(nats, tokens)

    def problems(self) -> Any:
        """Return the other data's problems."""
        return self._data.problems()


def measured(model: Model, data: TokenData, batch: int) -> dict[str, Any]:
    """Return the metrics of held-out rows, perplexity beside the loss."""
    metrics = evaluate(model.network, data, batch=batch)
    return {"loss": metrics.pop("loss"), "perplexity": math.exp(min(metrics["bits_per_token"] * math.log(2), 700.0)),
            **metrics}  # fmt: skip


def one_to_learn(records: Any) -> Any:
    """Return records of which one sample only is to be learned from: nothing is, and each would be encoded."""
    return dataclasses.replace(records, train=list(records.train[:1]) or list(records.held_out[:1]))
