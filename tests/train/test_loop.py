"""The training loop: it learns, it adds up, and its folder says what it did."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.train import small
from zoo.data.base import IGNORED, Batch
from zoo.errors import ZooError
from zoo.evaluate.language_model import evaluate
from zoo.train.loop import Trainer
from zoo.train.monitor import Bar, Lines, Quiet
from zoo.train.optimizer import AdamW, Muon, OptimizerSettings
from zoo.train.schedule import Constant
from zoo.weights.folder import read
from zoo.weights.tensors import named_weights


@pytest.mark.parametrize("optimizer", [AdamW(), Muon()])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_it_learns_to_count(tmp_path: Path, optimizer: OptimizerSettings, dtype: str) -> None:
    train = small.settings(
        steps=150, batch=16, learning_rate=2e-2, schedule=Constant(warmup=10), optimizer=optimizer, dtype=dtype,
        evaluate_every=50, save_every=0, average=0.9,
    )  # fmt: skip
    result = small.trainer(tmp_path / "out", train).run()
    assert result.metrics["loss"] < 0.1
    assert result.metrics["accuracy"] == 1.0
    assert result.metrics["bits_per_id"] == pytest.approx(result.metrics["loss"] / math.log(2))


def test_one_update_is_the_textbook_one(tmp_path: Path) -> None:
    """Clipping, the mean over all micro-batches, and the learning rate, against a plain loop."""
    adamw = AdamW(
        eps=1e-3
    )  # so that gradients that are zero but for rounding (those of key biases) stay without effect
    train = small.settings(steps=3, accumulation=4, clip=0.5, schedule=Constant(), learning_rate=1e-2, optimizer=adamw)
    network, plain = (small.network(dropout=0.0) for _ in range(2))
    small.trainer(tmp_path / "out", train, network=network, data=Uneven()).run()
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in plain.parameters() if p.ndim > 1], "weight_decay": 0.1},
            {"params": [p for p in plain.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=1e-2,
        betas=(0.9, 0.99),
        eps=1e-3,
    )
    plain.train()
    for step in range(3):
        rows = [Uneven().batch(step=4 * step + index, size=4, seed=0) for index in range(4)]
        logits = plain(torch.cat([row.ids for row in rows]))
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), torch.cat([row.targets for row in rows]).flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        optimizer.step()
    for name, weight in named_weights(network).items():
        torch.testing.assert_close(weight, named_weights(plain)[name], atol=2e-6, rtol=1e-4)


class Uneven(small.CountingData):
    """Micro-batches that predict different numbers of ids."""

    def batch(self, *, step: int, size: int, seed: int) -> Batch:
        batch = super().batch(step=step, size=size, seed=seed)
        targets = batch.targets.clone()
        targets[:, : step % 4] = IGNORED
        return dataclasses.replace(batch, targets=targets)


def test_the_folder_tells_what_happened(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = small.trainer(out, small.settings(steps=12, log_every=4)).run()
    assert (result.step, result.tokens) == (12, 12 * 4 * small.CONTEXT)
    assert result.seconds > 0
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [(record["split"], record["step"]) for record in records] == [
        ("train", 4), ("validation", 5), ("train", 8), ("validation", 10), ("train", 12), ("validation", 12),
    ]  # fmt: skip
    keys = {"step", "tokens", "seconds", "split", "loss", "learning_rate", "tokens_per_second", "waiting_for_data"}
    assert set(records[0]) == keys
    assert {"step", "tokens", "seconds", "split", "loss", "accuracy", "bits_per_id"} <= set(records[1])
    assert records[0]["tokens"] == 4 * 4 * small.CONTEXT
    assert records[0]["learning_rate"] == pytest.approx(1e-2 * 4 / 101)
    card = read(out).card
    assert card["name"] == "counting"
    assert (card["steps"], card["parameters"]) == (12, 1040)
    assert card["metrics"] == result.metrics
    assert records[-1]["loss"] == result.metrics["loss"]
    assert sorted(path.name for path in (out / "training").iterdir()) == ["step-00000010", "step-00000012"]


def test_published_weights_are_the_evaluated_ones(tmp_path: Path) -> None:
    for average in (0.0, 0.9):
        network, fresh = small.network(), small.network(5)
        out = tmp_path / str(average)
        result = small.trainer(out, small.settings(average=average), network=network).run()
        fresh.load_state_dict(read(out).tensors())
        assert evaluate(fresh, small.CountingData(), batch=4)["loss"] == pytest.approx(result.metrics["loss"], abs=1e-6)
        same = torch.equal(fresh.state_dict()["final_norm.weight"], network.state_dict()["final_norm.weight"])
        assert same is (average == 0.0)


def test_patience_stops_and_keeps_the_best_weights(tmp_path: Path) -> None:
    out = tmp_path / "out"
    train = small.settings(steps=200, learning_rate=5e-1, schedule=Constant(), evaluate_every=2, patience=3, clip=0.0)
    result = small.trainer(out, train).run()
    losses = [
        json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines() if "validation" in line
    ]
    assert result.step < 200
    assert result.metrics["loss"] == min(losses)
    assert min(losses[-3:]) >= min(losses) == losses[-4]
    assert read(out).card["steps"] == result.step - 6
    fresh = small.network(5)
    fresh.load_state_dict(read(out).tensors())
    assert evaluate(fresh, small.CountingData(), batch=4)["loss"] == pytest.approx(min(losses), abs=1e-6)


def test_a_finished_run_can_be_lengthened(tmp_path: Path) -> None:
    out = tmp_path / "out"
    small.trainer(out, small.settings(steps=10, schedule=Constant())).run()
    notes: list[str] = []

    class Listening(Quiet):
        def note(self, text: str) -> None:
            notes.append(text)

    result = small.trainer(out, small.settings(steps=20, schedule=Constant()), resume=True, monitor=Listening()).run()
    alone = small.trainer(tmp_path / "alone", small.settings(steps=20, schedule=Constant())).run()
    assert result.metrics == alone.metrics
    assert notes == ["going on with other training settings; before: steps 10 (now 20)"]
    assert small.trainer(out, small.settings(steps=20, schedule=Constant()), resume=True).run().step == 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, r"trained with seed 0 \(now 1\)"),
        ({"settings": {"optimizer": Muon()}}, r"optimizer 'adamw' \(now 'muon'\)"),
        ({"settings": {"average": 0.9}}, r"averaging False \(now True\)"),
        ({"contents": small.contents(data=[{"sha256": "f" * 64}])}, r"data \[\] \(now \['ffff"),
    ],
)
def test_another_run_is_not_resumed(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    small.trainer(tmp_path / "out", small.settings(steps=3)).run()
    train = small.settings(steps=6, **change.pop("settings", {}))
    with pytest.raises(ZooError, match=message):
        small.trainer(tmp_path / "out", train, resume=True, **change).run()


def test_rows_without_targets_are_named(tmp_path: Path) -> None:
    class Nothing(small.CountingData):
        def batch(self, *, step: int, size: int, seed: int) -> Batch:
            batch = super().batch(step=step, size=size, seed=seed)
            return dataclasses.replace(batch, targets=torch.full_like(batch.targets, IGNORED))

    with pytest.raises(ZooError, match="before update 1: nothing to predict in the rows at"):
        small.trainer(tmp_path / "out", data=Nothing()).run()


def test_monitors_say_the_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small.trainer(tmp_path / "lines", monitor=Lines(seconds=0.0)).run()
    small.trainer(tmp_path / "bar", monitor=Bar()).run()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "training for 20 steps\nstep 1/20  loss 2.4" in shown.err
    assert shown.err.count("step 20  held-out: loss 2.2") == 2


def test_the_seed_decides_and_nothing_else(tmp_path: Path) -> None:
    def losses(name: str, **options: Any) -> Mapping[str, Any]:
        torch.manual_seed(len(name))
        return small.trainer(tmp_path / name, **options).run().metrics

    assert losses("a") == losses("bb")
    assert losses("ccc", seed=1) != losses("dddd", seed=2)
    assert isinstance(small.trainer(tmp_path / "e"), Trainer)
