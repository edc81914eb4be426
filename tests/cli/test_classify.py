"""``zoo finetune`` with a head, and ``zoo classify``: labelled samples to a classifier, and what it says."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

import zoo as library
from tests.cli.conftest import Zoo
from zoo.cli.main import main
from zoo.errors import ZooError

ROOT = Path(__file__).resolve().parents[2]
GOOD, BAD = ("great", "lovely", "fine"), ("awful", "poor", "dull")
LEARN = ("head=classification", "threads=1", "train.epochs=4", "train.learning_rate=3e-3", "generative=0")


def reviews(path: Path, *, count: int = 132, labels: tuple[str, str] = ("good", "bad")) -> Path:
    """Write a table of short texts with one of two labels each."""
    rows = [["text", "label"]]
    for number in range(count):
        side = number * 7 % 2
        rows.append([f"a {(GOOD, BAD)[side][number % 3]} {('film', 'book', 'song')[number % 5 % 3]}", labels[side]])
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a table of labelled texts."""
    return reviews(tmp_path_factory.mktemp("reviews") / "reviews.csv")


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, table: Path) -> Path:
    """Return a checkpoint that was fine-tuned on the table."""
    out = tmp_path_factory.mktemp("judge") / "judge"
    assert main(["finetune", str(checkpoint), f"data.path={table}", f"out={out}", *LEARN]) == 0
    return out


def test_it_learns_to_tell_labels_apart(zoo: Zoo, checkpoint: Path, table: Path) -> None:
    done = zoo("finetune", checkpoint, f"data.path={table}", "out=mine", *LEARN, "--json")
    assert done.code == 0, done.err
    document = done.document
    assert set(document) == {
        "checkpoint", "step", "tokens", "seconds", "metrics", "validation", "samples", "classes", "confusion",
    }  # fmt: skip
    assert document["samples"] == 12
    assert document["metrics"]["accuracy"] == 1.0
    assert document["metrics"]["macro_f1"] == 1.0
    assert document["metrics"]["calibration_error"] < 0.2
    assert [one["label"] for one in document["classes"]] == ["bad", "good"]
    assert document["confusion"] == [[6, 0], [0, 6]]
    assert document["tokens"] == document["step"] * 8  # what is counted is samples


def test_the_folder_holds_the_head_and_the_figures(judge: Path) -> None:
    config = json.loads((judge / "config.json").read_text())
    assert config["head"] == "classification"
    assert config["network"]["head"]["labels"] == ["bad", "good"]
    assert config["network"]["vocabulary"] == library.load(judge).tokenizer.spec.vocabulary_size + 3  # GPT-1's ids
    card = yaml.safe_load((judge / "card.yaml").read_text())
    assert card["metrics"]["accuracy"] == 1.0
    assert {"macro_f1", "calibration_error", "validation_accuracy"} <= set(card["metrics"])
    assert card["parameters"] == config["parameters"]
    report = json.loads((judge / "report.json").read_text())
    assert report["samples"] == 12
    with Image.open(judge / "confusion.png") as picture:
        assert picture.width > 100
    assert not any(path.name.endswith(".tmp") for path in judge.rglob("*"))


def test_classify_says_a_row_for_each_sample(zoo: Zoo, judge: Path, table: Path) -> None:
    done = zoo("classify", judge, "text=a lovely film", "--json")
    (row,) = done.document["rows"]
    assert row["input"] == "a lovely film"
    assert row["label"] == "good"
    assert set(row["probabilities"]) == {"good", "bad"}
    assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert row["probability"] == row["probabilities"]["good"] > 0.5
    lines = list(csv.DictReader(zoo("classify", judge, table, "format=csv").out.splitlines()))
    assert len(lines) == 132
    assert lines[0]["input"].endswith("reviews.csv:2")
    assert sum(line["label"] == ("good", "bad")[number * 7 % 2] for number, line in enumerate(lines)) == 132
    shown = json.loads(zoo("classify", judge, table, "format=json").out)
    assert shown["rows"][3]["label"] == lines[3]["label"]
    text = zoo("classify", judge, "text=a dull song")
    assert "bad" in text.out.splitlines()[1]
    Path("one.txt").write_text("a great book\n")
    assert zoo("classify", judge, "one.txt", "--json").document["rows"][0]["label"] == "good"


def test_a_sample_is_the_same_alone_and_among_others(judge: Path) -> None:
    model = library.load(judge)
    texts = ["a fine film", "a poor book, and so on", "a dull song"]
    together = model.classify(texts)
    for text, found in zip(texts, together, strict=True):
        (alone,) = model.classify([text])
        assert alone.label == found.label
        assert alone.probability == pytest.approx(found.probability, abs=1e-5)


def test_saving_keeps_the_head(judge: Path, tmp_path: Path) -> None:
    model = library.load(judge)
    model.save(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "config.json").read_text())["head"] == "classification"
    assert library.load(tmp_path / "again").classify(["a fine film"]) == model.classify(["a fine film"])


def test_a_run_that_is_killed_ends_with_the_same_bits(zoo: Zoo, tmp_path: Path, checkpoint: Path, table: Path) -> None:
    words = ["finetune", str(checkpoint), f"data.path={table}", "head=classification", "train.steps=60", "threads=1"]
    words += ["train.evaluate_every=10", "train.save_every=5"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "zoo", *words, f"out={tmp_path / 'cut'}"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "cut" / "training").glob("step-*[0-9]")):
        assert time.monotonic() < deadline, "the run did not begin"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert zoo(*words, f"out={tmp_path / 'cut'}", "resume=true").code == 0
    assert zoo(*words, f"out={tmp_path / 'whole'}").code == 0
    cut, whole = (load_file(tmp_path / name / "model.safetensors") for name in ("cut", "whole"))
    assert all(torch.equal(cut[name], whole[name]) for name in whole)
    assert (
        json.loads((tmp_path / "cut" / "report.json").read_text())["metrics"]
        == (json.loads((tmp_path / "whole" / "report.json").read_text())["metrics"])
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("pool=frist",), "head.pool: 'frist' is not possible; did you mean 'first'"),
        (("pool=first",), "pool=first: the first position of a causal network has seen nothing"),
        (("layer=9",), "layer: bottles has layers 0 to "),
        (("dropout=1",), "dropout must lie in [0, 1)"),
        (("generative=-1",), "generative must not be negative"),
        (("data.validation=1",), "validation must lie in [0, 1)"),
        (("data.per_class=0",), "per_class must be at least 1"),
        (("data.columns.label=lable",), "no column 'lable'; did you mean 'label'?"),
        (("data.label=genre",), "label=genre is a column of a sound folder's metadata.csv"),
        (("unknown=adapt",), "unknown setting 'head.unknown'"),
        (("method=lora", "method.rank=0"), "method.rank is at least 1"),
        (("method=head", "ids=own"), "ids=own: needs a causal transformer of text"),
    ],
)
def test_bad_settings_are_one_line_and_leave_nothing(
    zoo: Zoo, checkpoint: Path, table: Path, words: tuple[str, ...], message: str
) -> None:
    done = zoo("finetune", checkpoint, f"data.path={table}", "head=classification", "out=run", *words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert list(Path().iterdir()) == []


def test_bad_samples_are_one_line_and_leave_nothing(zoo: Zoo, checkpoint: Path, tmp_path: Path) -> None:
    def refused(rows: list[str], message: str, *words: str) -> None:
        (tmp_path / "rows.csv").write_text("\n".join(rows) + "\n")
        done = zoo("finetune", checkpoint, "data.path=rows.csv", "head=classification", "out=run", *words)
        assert (done.code, done.out) == (2, "")
        assert message in done.err
        assert done.err.count("\n") == 1
        assert [path.name for path in Path().iterdir()] == ["rows.csv"]

    some = [f"text number {number},{'ab'[number % 2]}" for number in range(20)]
    refused(["text", *(row.split(",")[0] for row in some)], "rows.csv: has no labels")
    refused(["text,label", *some, "more,"], "rows.csv:22: has no label")
    refused(["text,label", *(row.replace(",b", ",a") for row in some)], "every sample is labelled 'a'")
    refused(["text,label", *some[:6], "new,c", *some[7:]], "the label 'c' is only in the held-out part")
    refused(["text,label", *some, "  ,a"], "rows.csv:22: the text is empty")
    refused(["text,label", *some], "no column 'text_b'", "head=pair")


def test_files_of_another_kind_are_refused(zoo: Zoo, judge: Path) -> None:
    Image.new("L", (8, 8)).save("a.png")
    for words, message in (
        ((judge, "a.png"), "a.png: expected texts, but '.png' files are images"),
        ((judge, "absent.txt"), "absent.txt: no such file or folder"),
        ((judge,), "which files?"),
        ((judge, "text=  "), "the text is empty"),
        ((), "which checkpoint, and which files?"),
    ):
        done = zoo("classify", *words)
        assert (done.code, done.out) == (2, "")
        assert message in done.err
        assert done.err.count("\n") == 1


def test_a_checkpoint_without_a_head_says_so(zoo: Zoo, checkpoint: Path) -> None:
    done = zoo("classify", checkpoint, "text=a film")
    assert done.code == 2
    assert "this model has no head that classifies; give it one with 'zoo finetune" in done.err
    with pytest.raises(ZooError, match="no head that classifies"):
        library.load(checkpoint).classify(["a film"])


def test_rows_are_kept_in_a_folder_and_not_replaced_unasked(zoo: Zoo, judge: Path) -> None:
    words = ("classify", judge, "text=a great film", "out=said", "seed=3", "threads=1")
    done = zoo(*words, "--json")
    assert done.code == 0, done.err
    assert json.loads(Path("said/classes.json").read_text()) == done.document
    assert done.document["rows"][0]["label"] == "good"
    again = zoo(*words)
    assert again.code == 2
    assert "said/classes.json is there already" in again.err
    assert zoo(*words, "overwrite=true").code == 0
