"""Several processes train one network: the same batches, the same update, one folder, one voice."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train import ranked, small
from zoo.data.base import Batch
from zoo.errors import ZooError
from zoo.network import Conditioning
from zoo.train.feed import Feed
from zoo.train.ranks import Ranks, here
from zoo.weights.tensors import read_tensors

ROOT = Path(__file__).resolve().parents[2]


def start(*words: str, count: int = 2) -> list[subprocess.Popen[str]]:
    """Start ``python WORDS`` as torchrun does, in processes that find each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    known = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, *words],
            env={**os.environ, **known, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


Told = list[dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Told]:
    folder = tmp_path_factory.mktemp("ranks")
    processes = start("-m", "tests.train.ranked", str(folder))
    said = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 3], said
    return folder, [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def weights(folder: Path, name: str, rank: int) -> dict[str, torch.Tensor]:
    return dict(read_tensors(folder / f"{name}.{rank}.safetensors"))


@pytest.mark.parametrize("name", ["exact", "whole", "cut", "loss"])
def test_all_processes_end_with_the_same_bits(trained: tuple[Path, Told], name: str) -> None:
    folder, _ = trained
    mine, other = (weights(folder, name, rank) for rank in range(2))
    for key, value in mine.items():
        assert torch.equal(value, other[key]), key


def test_two_processes_do_what_one_does(trained: tuple[Path, Told], tmp_path: Path) -> None:
    folder, told = trained
    alone = ranked.train(tmp_path / "exact", ranked.Uneven(), network=small.network(dropout=0.0))
    for key, value in weights(tmp_path, "exact", 0).items():
        torch.testing.assert_close(weights(folder, "exact", 0)[key], value, atol=2e-6, rtol=1e-4)
    assert told[0]["exact"] == told[1]["exact"]
    assert told[0]["exact"]["tokens"] == alone["tokens"]
    assert told[0]["exact"]["metrics"]["loss"] == pytest.approx(alone["metrics"]["loss"], abs=1e-6)
    kept = [
        [json.loads(line) for line in (path / "exact" / "metrics.jsonl").read_text().splitlines()]
        for path in (folder, tmp_path)
    ]
    assert [record["step"] for record in kept[0]] == [record["step"] for record in kept[1]]
    for mine, theirs in zip(*kept, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], abs=1e-5)


def test_a_signal_to_one_stops_all_and_the_run_goes_on_to_the_same_bits(trained: tuple[Path, Told]) -> None:
    folder, told = trained
    assert [each["cut"]["signal"] for each in told] == [signal.SIGTERM] * 2
    assert told[0]["resumed"]["metrics"] == told[0]["whole"]["metrics"]
    whole = weights(folder, "whole", 0)
    for key, value in weights(folder, "cut", 0).items():
        assert torch.equal(value, whole[key]), key
    published = (folder / name / "model.safetensors" for name in ("whole", "cut"))
    assert len({path.read_bytes() for path in published}) == 1


def test_what_one_process_refuses_all_refuse_in_the_same_words(trained: tuple[Path, Told]) -> None:
    _, told = trained
    assert [each["data"]["error"] for each in told] == ["song 7 is broken"] * 2
    assert "whole is not empty" in told[0]["again"]["error"]
    assert told[1]["again"] == told[0]["again"]
    assert told[1]["loss"] == told[0]["loss"]
    # forward passes 0 to 5 are those of three updates; of five rows the second process has the last two
    rows = [ranked.Uneven().batch(step=step, size=5, seed=0).indices[3:].tolist() for step in (6, 7)]
    named = ", ".join(str(row) for row in rows[0] + rows[1])
    assert told[0]["loss"]["error"].startswith(f"stopped before update 4: the loss is nan on the rows at {named};")


def test_a_process_that_dies_is_missed(trained: tuple[Path, Told]) -> None:
    folder, _ = trained
    assert json.loads((folder / "dead.json").read_text())["error"].startswith("another process of this run has stopped")


def test_parts_of_a_batch_are_the_batch() -> None:
    conditioning = Conditioning(classes=torch.arange(5), source=torch.arange(10).view(5, 2))
    batch = Batch(
        ids=torch.arange(15).view(5, 3), targets=torch.arange(15).view(5, 3), indices=torch.arange(5),
        conditioning=conditioning,
    )  # fmt: skip
    parts = [batch.part(index, 3) for index in range(3)]
    assert [len(part.ids) for part in parts] == [2, 2, 1]
    assert torch.equal(torch.cat([part.ids for part in parts]), batch.ids)
    told = [part.conditioning for part in parts]
    assert [each.classes.tolist() for each in told if each is not None and each.classes is not None] == [
        [0, 1],
        [2, 3],
        [4],
    ]
    assert parts[2].lengths is None


def test_a_batch_without_a_row_for_each_is_refused() -> None:
    ranks = Ranks()
    ranks.count = 3
    with pytest.raises(ZooError, match=r"train\.batch=2 has no row for each of 3 processes"):
        Feed(small.CountingData(), size=2, seed=0, first=0, end=1, workers=0, ranks=ranks)


def test_alone_is_alone() -> None:
    ranks = here()
    assert (ranks.first, ranks.count, ranks.sums([1.5, 2]), ranks.from_first(lambda: 3)) == (True, 1, [1.5, 2], 3)


def torchrun(*words: str) -> list[tuple[int, str, str]]:
    """Return exit code, output and messages of each process of ``zoo WORDS``."""
    processes = start("-m", "zoo", *words)
    said = [process.communicate(timeout=300) for process in processes]
    return [(process.returncode, *each) for process, each in zip(processes, said, strict=True)]


def test_a_codec_is_trained_by_two_and_told_of_by_one(tmp_path: Path) -> None:
    words = [
        "train",
        "music/vqvae",
        "size=tiny",
        "train.steps=3",
        f"out={tmp_path / 'codec'}",
        "--json",
    ]
    (code, output, _), other = torchrun(*words)
    assert (code, *other) == (0, 0, "", "")
    document = json.loads(output)
    assert (document["step"], document["tokens"]) == (3, 3 * 4 * 4096)
    assert document["metrics"]["loss"] > 0
    (code, output, message), other = torchrun(*words)
    assert (code, output, *other) == (2, "", 2, "", "")
    assert message.startswith("zoo: error: ")
    assert "codec is not empty" in message
    assert message.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe",
    ["text/topics", "text/bert", "text/seq2seq", "text/fables_lstm", "image/digits", "image/vqvae", "music/wave"],
)
def test_every_kind_of_recipe_is_trained_by_two(tmp_path: Path, recipe: str) -> None:
    data = () if recipe not in ("text/bert", "text/fables_lstm") else (f"data.path={ROOT / 'docs'}",)
    words = ["size=tiny", "train.steps=3", "train.batch=4", *data, f"out={tmp_path / 'out'}", "--json"]
    (code, output, message), other = torchrun("train", recipe, *words)
    assert (code, *other) == (0, 0, "", ""), message
    assert json.loads(output)["step"] == 3
