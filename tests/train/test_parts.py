"""The smaller parts of training: averages, the objective, the feed, number formats, the log and the settings."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.train import small
from zoo import settings as plain
from zoo.data.base import IGNORED, Batch
from zoo.errors import ZooError
from zoo.train import precision
from zoo.train.average import Average
from zoo.train.feed import Feed
from zoo.train.log import Log
from zoo.train.objective import CrossEntropy
from zoo.train.optimizer import Muon
from zoo.train.ranks import Ranks
from zoo.train.schedule import WarmupStableDecay
from zoo.train.settings import TrainSettings


def test_the_average_is_the_recursive_mean_and_changes_places_with_the_weights() -> None:
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(0.0)
    average = Average(network, 0.5)
    expected = 0.0
    for step in range(1, 12):
        network.weight.data.fill_(float(step))
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    with average.applied():
        assert network.weight.item() == pytest.approx(expected, rel=1e-6)
    assert network.weight.item() == 11.0
    assert average.state()["weight"].item() == pytest.approx(expected, rel=1e-6)


def test_the_objective_sums_nats_where_something_is_predicted() -> None:
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.bfloat16)
    targets = torch.tensor([[1, IGNORED, 4], [IGNORED, IGNORED, 0]])
    batch = Batch(ids=targets, targets=targets, indices=torch.arange(2))
    objective = CrossEntropy()
    (nats,) = objective.losses(lambda ids, *, lengths, conditioning: logits, batch)
    probabilities = torch.softmax(logits.double(), -1)
    expected = -sum(math.log(probabilities[place]) for place in ((0, 0, 1), (0, 2, 4), (1, 2, 0)))
    assert nats.dtype == torch.float32
    assert nats.item() == pytest.approx(expected, rel=1e-5)
    assert objective.counts(batch) == (3,)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_feed_gives_the_same_batches_with_any_number_of_workers(workers: int) -> None:
    feed = Feed(small.CountingData(), size=4, seed=5, first=3, end=30, workers=workers, ranks=Ranks())
    for number in range(3, 30):
        wanted = small.CountingData().batch(step=number, size=4, seed=5)
        assert torch.equal(feed.take().ids, wanted.ids)
    feed.close()


def test_the_feed_says_how_long_it_was_waited_for() -> None:
    class Slow(small.CountingData):
        def batch(self, *, step: int, size: int, seed: int) -> Batch:
            time.sleep(0.02)
            return super().batch(step=step, size=size, seed=seed)

    feed = Feed(Slow(), size=4, seed=5, first=0, end=9, workers=0, ranks=Ranks())
    for _ in range(5):
        feed.take()
    assert feed.waited >= 0.1


def test_a_worker_makes_batches_ahead() -> None:
    made: list[int] = []

    class Counting(small.CountingData):
        def batch(self, *, step: int, size: int, seed: int) -> Batch:
            made.append(step)
            return super().batch(step=step, size=size, seed=seed)

    ahead = Feed(Counting(), size=4, seed=5, first=0, end=9, workers=1, ranks=Ranks())
    ahead.take()
    deadline = time.monotonic() + 60
    while len(made) < 2:  # though nobody asks for the second
        assert time.monotonic() < deadline
        time.sleep(0.01)
    ahead.close()


@pytest.mark.parametrize("has", [True, False])
def test_automatic_precision_is_a_fixed_choice_for_a_width(monkeypatch: pytest.MonkeyPatch, has: bool) -> None:
    monkeypatch.setattr(precision, "cpu_multiplies_bfloat16", lambda: has)

    def network(width: int) -> nn.Module:
        return nn.Sequential(nn.Embedding(5000, width), nn.Linear(width, 4 * width, device="meta"))

    narrow, wide = network(64), network(256)
    assert (precision.width(narrow), precision.width(wide)) == (64, 256)
    assert precision.choose("auto", narrow) == "float32"
    assert precision.choose("auto", wide) == ("bfloat16" if has else "float32")
    assert precision.choose("float16", narrow) == "float16"


def test_the_loss_scale_halves_on_overflow_and_doubles_after_2000_good_updates() -> None:
    scale = precision.LossScale("float16")
    scale.update(finite=False)
    assert scale.factor == 32768.0
    for _ in range(2000):
        scale.update(finite=True)
    assert scale.factor == 65536.0
    other = precision.LossScale("float16")
    other.load(json.loads(json.dumps(scale.state())))
    assert (other.factor, other.good) == (scale.factor, scale.good)
    for _ in range(30):
        scale.update(finite=False)
    with pytest.raises(ZooError, match="overflow float16"):
        scale.update(finite=False)
    assert precision.LossScale("bfloat16").factor == 1.0


def test_the_log_is_cut_back_to_where_a_state_was_saved(tmp_path: Path) -> None:
    log = Log(tmp_path, step=0, position=0, warn=print, tensorboard=False)
    log.add({"step": 1, "split": "train", "loss": 1.5})
    position = log.position()
    log.add({"step": 2, "split": "train", "loss": 1.25})
    with log.path.open("a") as file:
        file.write('{"step": 3, "spl')
    Log(tmp_path, step=0, position=position, warn=print, tensorboard=False)
    assert [json.loads(line) for line in log.path.read_text().splitlines()] == [
        {"step": 1, "split": "train", "loss": 1.5}
    ]


def test_tensorboard_curves_are_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    log = Log(tmp_path, step=0, position=0, warn=print, tensorboard=True)
    log.add({"step": 1, "split": "train", "loss": 1.5})
    log.close()
    assert list((tmp_path / "tensorboard").glob("events*"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "train.steps is at least 1"),
        ({"batch": -1}, "train.batch is at least 1"),
        ({"clip": -1.0}, "train.clip is not negative"),
        ({"learning_rate": 0.0}, "train.learning_rate is positive"),
        ({"learning_rate": float("inf")}, "train.learning_rate is positive"),
        ({"average": 1.0}, "train.average lies in"),
        ({"patience": 2, "evaluate_every": 0}, "train.patience needs evaluations"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ZooError, match=message):
        small.settings(**change)


def test_settings_come_from_and_go_to_plain_values() -> None:
    given = {
        "steps": 10,
        "batch": 2,
        "learning_rate": 0.1,
        "optimizer": {"type": "muon", "momentum": 0.9},
        "schedule": {"type": "warmup_stable_decay", "decay": 0.5},
    }
    built: TrainSettings = plain.build(TrainSettings, given, "train")
    assert built.optimizer == Muon(momentum=0.9)
    assert built.schedule == WarmupStableDecay(decay=0.5)
    assert plain.build(TrainSettings, json.loads(json.dumps(plain.to_mapping(built))), "train") == built
