"""Losses, accuracies and exact match against networks whose answers are known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.data.adder import Adder
from zoo.data.base import IGNORED, Batch, Problems, TokenData
from zoo.errors import ZooError
from zoo.evaluate import language_model
from zoo.evaluate.language_model import EvaluationStopped, evaluate
from zoo.network import Conditioning
from zoo.recurrent import RecurrentConfig, RecurrentNetwork
from zoo.tokenizers.text.settings import Digits


class Seen:
    """The cache of the networks here: the ids themselves."""

    def __init__(self, batch: int) -> None:
        self.ids = torch.zeros((batch, 0), dtype=torch.int64)

    @property
    def lengths(self) -> Tensor:
        return torch.full((len(self.ids),), self.ids.shape[1])

    def select(self, rows: Tensor) -> Seen:
        chosen = Seen(len(rows))
        chosen.ids = self.ids[rows]
        return chosen

    def assign(self, rows: Tensor, other: Any) -> None:
        assert torch.equal(rows, torch.arange(len(self.ids)))  # prompts of one length go in together
        self.ids = other.ids


class Counter(nn.Module):
    """Says that ``id + 1`` follows ``id``, with probability ``sure``, and the rest evenly."""

    vocabulary = output_vocabulary = 10
    context = 8

    def __init__(self, sure: float = 0.5) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.full((10, 10), math.log((1 - sure) / 9)))
        with torch.no_grad():
            self.table[torch.arange(10), (torch.arange(10) + 1) % 10] = math.log(sure)
        self.modes: list[bool] = []

    def hidden(
        self,
        ids: Tensor,
        *,
        lengths: Tensor | None = None,
        conditioning: Conditioning | None = None,
        cache: Any = None,
    ) -> Tensor:
        self.modes.append(self.training)
        return self.table[ids]

    def head(self, hidden: Tensor) -> Tensor:
        return hidden

    def forward(self, ids: Tensor, **rest: Any) -> Tensor:
        return self.head(self.hidden(ids, **rest))

    def hidden_states(
        self, ids: Tensor, *, lengths: Tensor | None = None, conditioning: Conditioning | None = None
    ) -> tuple[Tensor, ...]:
        return (self.hidden(ids),)

    def new_cache(self, batch: int, capacity: int | None = None) -> Seen:
        assert capacity is not None
        assert capacity <= self.context
        return Seen(batch)


class Rows(TokenData):
    """Fixed held-out rows."""

    train_tokens = 0

    def __init__(self, batches: list[Batch], problems: tuple[Problems, ...] = ()) -> None:
        self.batches = batches
        self._problems = problems

    def batch(self, *, step: int, size: int, seed: int) -> Batch:
        raise AssertionError("not used here")

    def held_out(self, size: int) -> Iterator[Batch]:
        return iter(self.batches)

    def metrics(self, nats: float, tokens: int) -> dict[str, Any]:
        return {"nats": nats, "tokens": tokens}

    def problems(self) -> tuple[Problems, ...]:
        return self._problems


def rows(targets: list[list[int]]) -> Batch:
    ids = torch.arange(len(targets[0])).repeat(len(targets), 1)
    return Batch(ids=ids, targets=torch.tensor(targets), indices=torch.arange(len(targets)))


def test_losses_are_means_over_all_predicted_tokens() -> None:
    data = Rows([rows([[1, 2, 3, 4], [1, 2, IGNORED, 9]]), rows([[5]])])
    metrics = evaluate(Counter(0.5), data, batch=2)
    nats = 6 * math.log(2) + 2 * math.log(18)
    assert metrics == {
        "loss": pytest.approx(nats / 8, rel=1e-6),
        "bits_per_token": pytest.approx(nats / 8 / math.log(2), rel=1e-6),
        "accuracy": 6 / 8,
        "nats": pytest.approx(nats, rel=1e-6),
        "tokens": 8,
    }


def test_the_sum_is_exact_over_many_tokens() -> None:
    class Long(Rows):
        def held_out(self, size: int) -> Iterator[Batch]:
            return (rows([[1, 2, 3, 4]] * 1000) for _ in range(50))

    network = Counter(0.9)
    loss = evaluate(network, Long([]), batch=1000)["loss"]
    single = float(nn.functional.cross_entropy(network.table[0].detach(), torch.tensor(1)))
    assert abs(loss - single) < 1e-9


def test_problems_are_solved_greedily() -> None:
    answers = torch.tensor([[4, 5, 6], [9, 0, 1], [4, 5, 7], [1, 1, 1]])
    problems = Problems(name="count", prompts=torch.tensor([[2, 3], [7, 8], [2, 3], [0, 0]]), answers=answers)
    easy = Problems(name="easy", prompts=torch.tensor([[1] * 7]), answers=torch.tensor([[2, 3]]))  # fills the context
    metrics = evaluate(Counter(), Rows([rows([[1]])], (problems, easy)), batch=3)
    assert metrics["exact_match"] == metrics["count_exact_match"] == 0.5
    assert metrics["easy_exact_match"] == 1.0


def test_evaluation_mode_lasts_as_long_as_the_evaluation() -> None:
    network = Counter().train()
    evaluate(network, Rows([rows([[1]])]), batch=1)
    assert network.modes == [False]
    assert network.training
    network.eval()
    evaluate(network, Rows([rows([[1]])]), batch=1)
    assert not network.training


def test_it_stops_between_batches_when_asked() -> None:
    network = Counter().train()
    asked: list[int] = []

    def should_stop() -> bool:
        asked.append(1)
        return len(asked) == 3

    with pytest.raises(EvaluationStopped):
        evaluate(network, Rows([rows([[1]])] * 10), batch=1, should_stop=should_stop)
    assert len(network.modes) == 2
    assert network.training
    problems = Problems(name="many", prompts=torch.zeros((500, 1), dtype=torch.int64), answers=torch.ones((500, 1)))
    asked.clear()
    with pytest.raises(EvaluationStopped):
        evaluate(network, Rows([rows([[1]])], (problems,)), batch=10, should_stop=should_stop)


def test_nothing_to_predict() -> None:
    with pytest.raises(ZooError, match="nothing to predict"):
        evaluate(Counter(), Rows([rows([[IGNORED]])]), batch=1)


def test_autocast_surrounds_every_forward_pass() -> None:
    inside: list[bool] = []

    class Watching(Counter):
        def forward(self, ids: Tensor, **rest: Any) -> Tensor:
            inside.append(torch.is_autocast_enabled("cpu"))
            return super().forward(ids, **rest).bfloat16()

    autocast = lambda: torch.autocast("cpu", dtype=torch.bfloat16)  # noqa: E731  # as the training loop makes it
    loss = evaluate(Watching(0.5), Rows([rows([[1, 2]])] * 2), batch=1, autocast=autocast)["loss"]
    assert inside == [True, True]
    assert loss == pytest.approx(math.log(2), rel=1e-2)
    assert not torch.is_autocast_enabled("cpu")


def test_greedy_decoding_with_a_cache_equals_decoding_without() -> None:
    torch.manual_seed(0)
    config = RecurrentConfig(vocabulary=10, context=6, embedding_width=8, width=16)
    network = RecurrentNetwork(config)
    data = Adder().open().encode(Digits().fit([]), 6)
    held_out = data.problems()[0]
    ids = held_out.prompts
    with torch.inference_mode():
        for _ in range(3):
            ids = torch.cat([ids, network(ids)[:, -1:].argmax(-1)], dim=1)
    right = (ids[:, 4:] == held_out.answers).all(dim=1).double().mean()
    known = Problems(name="own", prompts=held_out.prompts, answers=ids[:, 4:])
    metrics = evaluate(network, Rows(list(data.held_out(100)), (held_out, known)), batch=100)
    assert metrics["exact_match"] == pytest.approx(float(right))
    assert metrics["own_exact_match"] == 1.0
    assert metrics["loss"] == pytest.approx(math.log(10), abs=0.3)


@pytest.mark.parametrize("kept", [7, 64, 10**6])
def test_scores_in_pieces_are_those_of_all_at_once_and_ties_go_to_the_first(
    kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language_model, "IN_CACHE", kept)
    torch.manual_seed(0)
    logits, targets = torch.randint(3, (50, 6)).float(), torch.randint(6, (50,))
    score = language_model._Score()
    score.add(logits, targets)
    assert score.accuracy == (logits.argmax(-1) == targets).sum() / 50
    assert score.loss == pytest.approx(float(torch.nn.functional.cross_entropy(logits.double(), targets)), rel=1e-6)
