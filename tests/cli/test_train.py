"""``zoo train``: from a command line to a checkpoint folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import zoo as library
from tests.cli.conftest import Zoo
from zoo.train.loop import Trainer

ROOT = Path(__file__).resolve().parents[2]
TINY = ("text/file", "size=tiny", "tokenizer=byte", "train.steps=4", "train.evaluate_every=0", "threads=1")


def test_a_run_gives_a_checkpoint_with_a_card(zoo: Zoo, text_file: Path) -> None:
    done = zoo("train", *TINY, f"data.path={text_file}", "seed=7", "--json")
    assert done.code == 0, done.err
    document = done.document
    assert list(document) == ["checkpoint", "step", "tokens", "seconds", "metrics"]
    assert (document["checkpoint"], document["step"], document["tokens"]) == ("checkpoints/text-file", 4, 4 * 16 * 32)
    assert 0 < document["metrics"]["loss"] < 8
    assert document["metrics"]["bits_per_byte"] > 0
    folder = Path("checkpoints/text-file")
    card = yaml.safe_load((folder / "card.yaml").read_text())
    assert card["data"][0]["name"] == text_file.name
    assert len(card["data"][0]["sha256"]) == 64
    expected = {"name": "text-file", "modality": "text", "recipe": "text/file", "seed": 7, "steps": 4}
    assert {key: card[key] for key in expected} == expected
    assert card["command"].startswith("zoo train text/file size=tiny")
    assert card["metrics"] == document["metrics"]
    assert card["parameters"] > 0
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    assert recipe["model"]["vocabulary"] == 257
    assert recipe["train"]["steps"] == 4


def test_paths_are_taken_to_the_letter_from_training_to_conversion(zoo: Zoo, text_file: Path) -> None:
    name = "${oc.env:HOME}, {a=b}"
    Path(f"{name}.txt").write_bytes(text_file.read_bytes())
    words = ("train", *TINY, f"data.path={name}.txt", f"out={name}", "--json")
    assert zoo(*words).document["checkpoint"] == name
    assert zoo(*words, "resume=true").document["step"] == 4
    assert zoo("convert", name, f"out={name} in half", "dtype=bfloat16", "--json").code == 0
    model = library.load(f"{name} in half", device="cpu")
    assert model.recipe["data"]["path"] == f"{name}.txt"
    assert (model.card["name"], model.card["data"][0]["name"]) == (name, f"{name}.txt")
    assert f"'out={name}'" in model.card["command"]
    assert f"'out={name} in half'" in model.card["converted"]


def test_people_get_the_folder_and_the_next_command(zoo: Zoo, text_file: Path) -> None:
    done = zoo("train", *TINY, f"data.path={text_file}", "out=my runs/one")
    assert done.out == "my runs/one\n"
    assert "zoo generate 'my runs/one'" in done.err
    assert "bits per byte" in done.err
    words = ("train", *TINY, f"data.path={text_file}", "overwrite=true", "out=checkpoints/one")
    assert "zoo generate one" in zoo(*words).err
    Path("one").mkdir()  # somebody's folder hides no checkpoint
    assert "zoo generate one" in zoo(*words).err
    (Path("one") / "config.json").write_text("{}")  # what a name means first is a checkpoint in a folder of that name
    assert "zoo generate checkpoints/one" in zoo(*words).err


def test_a_taken_folder_is_refused_resumed_or_replaced(zoo: Zoo, text_file: Path) -> None:
    words = ("train", *TINY, f"data.path={text_file}", "out=run", "--json")
    assert zoo(*words).code == 0
    refused = zoo(*words)
    assert refused.code == 2
    assert "run is not empty; add resume=true" in refused.err
    assert zoo(*words, "resume=true", "train.steps=6").document["step"] == 6
    assert zoo(*words, "overwrite=true").document["step"] == 4


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("data.path=absent.txt", "absent.txt: no such file or folder"),
        ("data.path=", "data.path is empty"),
        ("seed=-1", "seed: must lie in [0, 2**62), got -1"),
        ("seed=99999999999999999999", "seed: must lie in [0, 2**62)"),
        ("init=absent", "no checkpoint 'absent'"),
        ("device=gpu", "device: 'gpu' is not available here"),
    ],
)
def test_bad_input_is_the_one_line_on_standard_error(zoo: Zoo, text_file: Path, word: str, message: str) -> None:
    words = [own for own in TINY if not (word.startswith("init") and own.startswith("tokenizer"))]
    done = zoo("train", *words, f"data.path={text_file}", word, "out=run")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("zoo: error: ")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not Path("run").exists()


def test_init_goes_on_from_a_checkpoint_with_its_tokenizer(zoo: Zoo, text_file: Path, checkpoint: Path) -> None:
    words = ("train", "text/topics", "size=tiny", f"data.path={text_file}", f"init={checkpoint}", "train.steps=1")
    fresh = zoo("train", *TINY, f"data.path={text_file}", "train.steps=1", "out=fresh", "--json").document
    warm = zoo(*words, "train.learning_rate=1e-9", "out=warm", "--json").document
    assert warm["metrics"]["loss"] < fresh["metrics"]["loss"] - 0.1
    assert yaml.safe_load(Path("warm/card.yaml").read_text())["init"] == str(checkpoint)
    refused = zoo(*words, "tokenizer=char", "out=other")
    assert refused.code == 2
    assert "init brings its own tokenizer; leave out tokenizer=" in refused.err


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("train.steps=0", "train.steps is at least 1, got 0"),
        ("train.steps=many", "train.steps: expected a whole number, got 'many'"),
        ("train.step=5", "unknown setting 'train.step'; did you mean 'steps'?"),
        ("steps=5", "unknown setting 'steps'; did you mean 'train.steps'?"),
        ("size=huge", "text/file has no size 'huge'; choose one of: tiny"),
        ("resume=maybe", "resume: expected true or false, got 'maybe'"),
        ("threads=0", "threads must lie in 1..1024, got 0"),
        ("threads=999999", "threads must lie in 1..1024, got 999999"),
        ("tokenizer=wordpeice", "unknown tokenizer 'wordpeice'; did you mean 'wordpiece'?"),
        ("model.heads=5", "model: the attention width 192 (width 192 x 1.0) is not a multiple of heads 5"),
        ("data.path=no such file", "no such file"),
        ("device=abacus", "device: 'abacus' is not available here; use device=auto or device=cpu"),
        ("init=nothing", "no checkpoint 'nothing'"),
    ],
)
def test_bad_settings_leave_nothing_behind(zoo: Zoo, text_file: Path, word: str, message: str) -> None:
    done = zoo("train", "text/file", f"data.path={text_file}", word)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("zoo: error: ") == 1
    assert list(Path().iterdir()) == []


def test_sizes_with_dots_and_hyphens(zoo: Zoo, text_file: Path) -> None:
    refused = zoo("train", "text/gpt3", "size=6.7")
    assert refused.err == "zoo: error: text/gpt3 has no size '6.7'; did you mean '6.7b'?\n"
    refused = zoo("train", "text/gpt3", "size=6.7b", "data.path=nowhere.txt")  # too large, or without its data
    assert re.search("6,658,404,352 parameters need 99 GiB|nowhere.txt: no such file", refused.err)
    done = zoo("train", "text/mingpt", "size=gpt-nano", f"data.path={text_file}", "train.steps=1", "train.batch=1")
    assert done.code == 0, done.err


def test_an_unknown_recipe_lists_them_all(zoo: Zoo) -> None:
    done = zoo("train", "text/shakespear_char")
    assert "did you mean 'text/shakespeare_char'?" in done.err
    assert "text/adder" in done.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_resume_goes_on(tmp_path: Path, text_file: Path, number: int, code: int) -> None:
    words = [sys.executable, "-m", "zoo", "train", *TINY, f"data.path={text_file}", f"out={tmp_path / 'run'}"]
    words += ["train.steps=100000", "train.save_every=0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "metrics.jsonl").exists():
        assert time.monotonic() < deadline, "the run did not begin"
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (code, "")
    assert f"stopped and saved in {tmp_path / 'run'}; the same command with resume=true goes on" in err
    assert "Traceback" not in err
    assert (tmp_path / "run" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("batch", "mend"),
    [
        ("train.batch=6", "train.batch=6; say train.batch=3 train.accumulation=2, for the same updates"),
        ("train.batch=9", "train.batch=9; say train.batch=3 train.accumulation=3, for the same updates"),
        ("train.batch=1", "train.batch=1; take a smaller model or context"),
    ],
)
def test_too_little_memory_is_answered_with_a_batch_that_takes_less(
    zoo: Zoo, text_file: Path, monkeypatch: pytest.MonkeyPatch, batch: str, mend: str
) -> None:
    def exhausted(trainer: Trainer) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")

    monkeypatch.setattr(Trainer, "_update", exhausted)
    done = zoo("train", *TINY, f"data.path={text_file}", "out=run", batch)
    assert done.code == 2
    assert f"zoo: error: out of memory with {mend}" in done.err
