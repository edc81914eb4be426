"""How well a network predicts the held-out part: every window of it, and problems solved greedily."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from zoo.data.base import IGNORED, Batch, Problems, TokenData
from zoo.errors import ZooError
from zoo.generate.sampler import evaluation_mode, generate_ids
from zoo.generate.settings import SamplingSettings
from zoo.network import Conditioning, Network

Autocast = Callable[[], AbstractContextManager[Any]]
ShouldStop = Callable[[], bool]
IN_CACHE = 2**22
"""Logits scored together on a CPU: what passes between the caches and the memory takes half the time."""


class EvaluationStopped(Exception):  # noqa: N818  # not an error: someone asked for it
    """The evaluation was asked to stop; there is no result."""


def evaluate(
    network: Network,
    data: TokenData,
    *,
    batch: int,
    autocast: Autocast | None = None,
    should_stop: ShouldStop | None = None,
) -> dict[str, Any]:
    """Evaluate on every window of the held-out part.

    Args:
        network: put into evaluation mode for the time, if it is a module.
        data: encoded; its targets' device is chosen by the network's parameters.
        batch: rows in a forward pass.
        autocast: makes the context of a forward pass; None for the weights' own precision.
        should_stop: asked between forward passes.

    Returns:
        ``loss`` (nats per predicted token, their mean over all of them), ``bits_per_token``, ``accuracy`` (of the most
        likely token), what ``data.metrics`` adds, and where there are problems the part that is solved exactly:
        ``exact_match`` of the first kind and ``<name>_exact_match`` of each. Where rows have labels, the loss and the
        accuracy of the network's head on them: ``next_sentence_loss`` and ``next_sentence_accuracy`` of masked text.

    Raises:
        EvaluationStopped: ``should_stop`` said so.
        ZooError: the held-out part predicts nothing.
    """
    run = _Run(network, autocast or contextlib.nullcontext, should_stop or (lambda: False))
    with evaluation_mode(network), torch.inference_mode():
        ids, labels = run.windows(data, batch)
        if not ids.count:
            raise ZooError("the held-out part has nothing to predict; give more data")
        metrics = {
            "loss": ids.loss,
            "bits_per_token": ids.loss / math.log(2),
            "accuracy": ids.accuracy,
            **data.metrics(ids.nats, ids.count),
        }
        if labels.count:
            metrics |= {f"{data.label_name}_loss": labels.loss, f"{data.label_name}_accuracy": labels.accuracy}
        # Problems are short and only their last position meets the vocabulary, so more rows fit than in training.
        solved = {f"{problems.name}_exact_match": run.solve(problems, batch * 8) for problems in data.problems()}
    return metrics | ({"exact_match": next(iter(solved.values())), **solved} if solved else {})


class _Score:
    """Sums of what was predicted: nats (in float64), right ones, all."""

    def __init__(self) -> None:
        self._nats = torch.zeros((), dtype=torch.float64)
        self._correct = 0
        self.count = 0

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """Take logits (count, classes) and the right ones (count,)."""
        size = max(1, IN_CACHE // logits.shape[-1]) if logits.is_cpu else max(1, len(logits))
        for some, right in zip(torch.split(logits, size), torch.split(targets, size), strict=True):
            losses = nn.functional.cross_entropy(some.float(), right, reduction="none")
            self._nats += losses.double().sum().cpu()
            self._correct += _count_correct(some, right)
        self.count += len(targets)

    @property
    def nats(self) -> float:
        return float(self._nats)

    @property
    def loss(self) -> float:
        return self.nats / self.count

    @property
    def accuracy(self) -> float:
        return self._correct / self.count


def _count_correct(logits: Tensor, targets: Tensor) -> int:
    """Return how often the first of the largest logits is the right one's; which one it is is asked only of few."""
    largest = logits.amax(-1) == logits.gather(-1, targets[:, None])[:, 0]
    return int((logits[largest].argmax(-1) == targets[largest]).sum())


class _Run:
    """One evaluation: where it computes, in what precision, and who may stop it."""

    def __init__(self, network: Network, autocast: Autocast, should_stop: ShouldStop) -> None:
        self.network = network
        self.autocast = autocast
        self.should_stop = should_stop
        parameters = network.parameters() if isinstance(network, nn.Module) else iter(())
        self.device = next((parameter.device for parameter in parameters), torch.device("cpu"))

    def windows(self, data: TokenData, size: int) -> tuple[_Score, _Score]:
        """Return how well ids and labels are predicted over the held-out part."""
        ids, labels = _Score(), _Score()
        for host_rows in data.held_out(size):
            self.poll()
            rows = host_rows.to(self.device)
            wanted = rows.targets != IGNORED
            with self.autocast():
                logits, classes = self.logits(rows, wanted)
            ids.add(logits, rows.targets[wanted])
            if classes is not None and rows.labels is not None:
                labels.add(classes, rows.labels)
        return ids, labels

    def logits(self, rows: Batch, wanted: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the logits of the wanted positions, (wanted, vocabulary), and those of the rows' labels."""
        if rows.labels is None and wanted.all():
            return self.network(rows.ids, lengths=rows.lengths, conditioning=rows.conditioning).flatten(0, 1), None
        hidden = self.network.hidden(rows.ids, lengths=rows.lengths, conditioning=rows.conditioning)
        logits = self.network.head(hidden[wanted][None])[0]  # the vocabulary is dear: only where something is predicted
        return logits, None if rows.labels is None else self.network.classify(hidden, lengths=rows.lengths)

    def solve(self, problems: Problems, size: int) -> float:
        """Return the part of the problems whose whole answer is the greedy continuation of the prompt."""
        right = 0
        for first in range(0, len(problems.prompts), size):
            self.poll()
            answers = list(problems.answers[first : first + size])
            drawn = self.continue_greedily(problems, slice(first, first + size), max(map(len, answers)))
            right += sum(torch.equal(new[: len(answer)], answer) for new, answer in zip(drawn, answers, strict=True))
        return right / len(problems.prompts)

    def continue_greedily(self, problems: Problems, rows: slice, count: int) -> list[Tensor]:
        """Return the most likely ids after the prompts of ``rows``, one after another: ``count`` or up to the end id.

        On the CPU. In the weights' own precision, which the cache has too.
        """
        greedy = SamplingSettings(max_new_tokens=count, temperature=0.0)
        sources, ends = problems.sources, () if problems.end_id is None else (problems.end_id,)
        told = None if sources is None else Conditioning.of_sources(sources[rows])
        return generate_ids(self.network, list(problems.prompts[rows]), greedy, end_ids=ends, conditioning=told)

    def poll(self) -> None:
        if self.should_stop():
            raise EvaluationStopped
