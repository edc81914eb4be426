"""``zoo finetune``: a checkpoint learns the style of another text, and says how well."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

import zoo as library
from tests.cli.conftest import Zoo
from zoo.architecture import build_network
from zoo.cli.main import main
from zoo.model import Model
from zoo.tokenizers.text.byte import ByteTokenizer
from zoo.transformer.config import TransformerConfig
from zoo.transformer.patterns import Dense

ROOT = Path(__file__).resolve().parents[2]
FEW = ("train.steps=4", "train.evaluate_every=0", "train.patience=0", "max_new_tokens=8", "threads=1")


@pytest.fixture(scope="session")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 7 kB in a style of its own."""
    path = tmp_path_factory.mktemp("song") / "song, {a=b} 'x'.txt"
    path.write_text("".join(f"<< LA LA {'LI ' * (number % 3)}LO! >>\n" for number in range(320)))
    return path


@pytest.fixture(scope="session")
def letters(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> Path:
    """Return a checkpoint that knows the characters of its own text only."""
    out = tmp_path_factory.mktemp("letters") / "letters"
    words = ["train", "text/file", "size=tiny", "tokenizer=char", f"data.path={text_file}", f"out={out}"]
    assert main([*words, "train.steps=2", "train.evaluate_every=0"]) == 0
    return out


def weights(folder: str | Path) -> dict[str, Any]:
    return load_file(Path(folder) / "model.safetensors")


def test_it_learns_the_style_and_says_so(zoo: Zoo, checkpoint: Path, song: Path) -> None:
    words = ("finetune", checkpoint, f"data.path={song}", "head=language_model", "out=mine", "threads=1", "seed=5")
    done = zoo(*words, "train.epochs=6", "train.learning_rate=3e-3", "count=2", "max_new_tokens=40", "--json")
    assert done.code == 0, done.err
    document = done.document
    assert list(document) == ["checkpoint", "step", "tokens", "seconds", "metrics", "before", "after"]
    before, after = document["before"], document["after"]
    assert after["metrics"] == document["metrics"]
    assert after["metrics"]["bits_per_byte"] < before["metrics"]["bits_per_byte"] - 2
    assert after["metrics"]["loss"] < 1.0 < 4.0 < before["metrics"]["loss"]
    assert [(sample["seed"], sample["prompt"]) for sample in before["samples"]] == [
        (sample["seed"], sample["prompt"]) for sample in after["samples"]
    ]
    assert [sample["seed"] for sample in after["samples"]] == [5, 6]
    assert all(" LA" in sample["text"][len(sample["prompt"]) :] for sample in after["samples"])
    prompt = after["samples"][0]["prompt"]
    assert prompt.startswith("<< LA LA")
    again = zoo("generate", "mine", f"prompt={prompt}", "max_new_tokens=40", "temperature=0.8", "seed=5", "threads=1")
    assert again.out == f"{after['samples'][0]['text']}\n"  # what is published is what was shown


def test_the_folder_says_what_it_is_and_comes_from(zoo: Zoo, checkpoint: Path, song: Path) -> None:
    done = zoo("finetune", checkpoint, f"data.path={song}", "out=mine", *FEW, "--json")
    assert done.document["step"] == 4
    config = json.loads(Path("mine/config.json").read_text())
    assert (config["format"], config["head"], config["family"]) == ("zoo", "language_model", "transformer")
    card = yaml.safe_load(Path("mine/card.yaml").read_text())
    assert card["base"]["name"] == "bottles"
    assert card["base"]["checkpoint"] == str(checkpoint)
    assert card["base"]["license"] == "not stated"
    assert card["base"]["data"] == ["bottles, {a=b} 'x'.txt"]
    assert card["data"][0]["name"] == song.name
    assert len(card["data"][0]["sha256"]) == 64
    assert card["license"] == "not stated"
    assert (card["name"], card["head"], card["method"], card["steps"]) == ("mine", "language_model", "full", 4)
    assert card["command"].startswith("zoo finetune ")
    assert "bottles, fine-tuned on: song" in card["limits"]
    recipe = yaml.safe_load(Path("mine/recipe.yaml").read_text())
    assert recipe["train"]["schedule"] == {"type": "linear", "warmup": 0, "final_ratio": 0.0}
    assert "head" not in json.loads((checkpoint / "config.json").read_text())
    assert zoo("finetune", "mine", f"data.path={song}", "out=more", *FEW).code == 0  # and so on


def test_people_see_before_and_after(zoo: Zoo, checkpoint: Path, song: Path) -> None:
    prompt = "a ${b:c}, {d}, 'e'=f"
    done = zoo("finetune", checkpoint, f"data.path={song}", "out=my runs/one", *FEW, f"prompt={prompt}", "count=1")
    assert done.out == "my runs/one\n"
    for part in ("-- before, seed 0\n" + prompt, "-- after, seed 0\n" + prompt, "bits per byte", "accuracy"):
        assert part in done.err
    assert "zoo generate 'my runs/one' prompt=" in done.err
    assert "held-out bits per byte" in done.err
    assert shlex.quote(f"prompt={prompt}") in library.load("my runs/one", device="cpu").card["command"]


def test_the_default_folder_is_named_after_both(zoo: Zoo, checkpoint: Path, song: Path) -> None:
    done = zoo("finetune", checkpoint, f"data.path={song}", *FEW, "--json")
    assert done.document["checkpoint"] == "checkpoints/bottles-song---a-b---x-"
    assert Path(done.document["checkpoint"], "model.safetensors").is_file()


def test_a_run_that_is_resumed_ends_with_the_same_bits(zoo: Zoo, checkpoint: Path, song: Path) -> None:
    words = ("finetune", checkpoint, f"data.path={song}", "threads=1", "count=0", "train.evaluate_every=2", "--json")
    whole = zoo(*words, "out=whole", "train.steps=6").document
    assert zoo(*words, "out=part", "train.steps=3").document["step"] == 3
    assert "is not empty; add resume=true" in zoo(*words, "out=part", "train.steps=6").err
    # The rate falls over all of the steps, so a run cut short is another one; what is held to is the number of steps.
    resumed = zoo(*words, "out=part", "train.steps=6", "resume=true").document
    assert (resumed["step"], resumed["before"]["metrics"]) == (6, whole["before"]["metrics"])
    again = zoo(*words, "out=whole", "train.steps=6", "resume=true").document
    assert again["metrics"] == whole["metrics"]


def test_a_signal_saves_and_resume_ends_as_if_nothing_had_happened(
    zoo: Zoo, tmp_path: Path, checkpoint: Path, song: Path
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    words = ["finetune", str(checkpoint), f"data.path={song}", "train.steps=60", "train.evaluate_every=0"]
    words += ["train.patience=0", "count=0", "threads=1"]
    command = [sys.executable, "-m", "zoo", *words, f"out={tmp_path / 'cut'}"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (tmp_path / "cut" / "metrics.jsonl").exists():
        assert time.monotonic() < deadline, "the run did not begin"
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert b"stopped and saved" in err
    state = json.loads(next((tmp_path / "cut" / "training").glob("step-*/state.json")).read_text())
    assert state["progress"]["step"] < 60
    assert zoo(*words, f"out={tmp_path / 'cut'}", "resume=true").code == 0
    assert zoo(*words, f"out={tmp_path / 'whole'}").code == 0
    cut, whole = weights(tmp_path / "cut"), weights(tmp_path / "whole")
    assert all(torch.equal(cut[name], whole[name]) for name in whole)


def test_a_run_goes_on_only_as_what_it_is(zoo: Zoo, checkpoint: Path, letters: Path, song: Path) -> None:
    words = (f"data.path={song}", "out=mine", *FEW)
    assert zoo("finetune", checkpoint, *words).code == 0
    other = zoo("finetune", checkpoint, *words, "method=last", "method.blocks=1", "resume=true")
    assert other.code == 2
    assert "mine was trained with method.type 'full' (now 'last')" in other.err
    more = zoo("train", "text/file", "size=tiny", "tokenizer=byte", f"data.path={song}", "out=else", "train.steps=1")
    assert more.code == 0
    elsewhere = zoo("finetune", "else", *words, "resume=true")
    assert elsewhere.code == 2
    assert "mine was trained with base '" in elsewhere.err


def test_the_last_blocks_alone_learn(zoo: Zoo, checkpoint: Path, song: Path) -> None:
    words = ("finetune", checkpoint, f"data.path={song}", "method=last", "method.blocks=1", "out=mine", *FEW)
    done = zoo(*words, "train.learning_rate=1e-2")
    assert done.code == 0, done.err
    assert "of them learn" in done.err
    old, new = weights(checkpoint), weights("mine")
    assert old.keys() == new.keys()
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed == {name for name in old if name.startswith(("blocks.1.", "final_norm."))}


def test_unknown_characters_are_rewritten_left_out_and_counted(zoo: Zoo, letters: Path, tmp_path: Path) -> None:
    text = "".join(
        f"“{number}” bóttles — fall\u00a0off the wall, on the hanging wall ☃\n" for number in range(100, 400)
    )
    (tmp_path / "winter.txt").write_text(text)
    done = zoo("finetune", letters, "data.path=winter.txt", "out=mine", *FEW, "count=1")
    assert done.code == 0, done.err
    assert "of its characters are left out, since the tokenizer does not know them: '—', '“', '”', '☃'" in " ".join(
        done.err.split()
    )
    metrics = yaml.safe_load(Path("mine/card.yaml").read_text())["metrics"]
    assert metrics["lossless"] is False
    entry = yaml.safe_load(Path("mine/card.yaml").read_text())["data"][0]
    assert (entry["characters_replaced"], entry["characters_dropped"]) == (600, 1200)
    assert library.load("mine").tokenizer.spec.lossless
    refused = zoo("finetune", letters, "data.path=winter.txt", "out=other", "unknown=refuse")
    assert refused.code == 2
    assert "winter.txt: the tokenizer of letters (char, " in refused.err
    assert "does not know " in refused.err
    assert not Path("other").exists()


def test_any_form_of_text_will_do(zoo: Zoo, checkpoint: Path, tmp_path: Path) -> None:
    rows = "".join(f"{number},row {number} of a table of texts\n" for number in range(200))
    (tmp_path / "table.csv").write_text("number,body\n" + rows)
    words = ("finetune", checkpoint, "data.path=table.csv", "out=mine", *FEW)
    assert zoo(*words, "data.columns.text=body", "--json").document["step"] == 4
    assert "no column 'text'" in zoo(*words, "overwrite=true").err


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("data.path=absent.txt", "absent.txt: no such file or folder"),
        ("data.path=", "which data? Say data.path=PATH"),
        ("head=languge_model", "head: 'languge_model' is not among those there are; did you mean 'language_model'?"),
        ("head=bagging", "head: 'bagging' is not among those there are; choose one of: classification, "),
        ("method=ful", "method: 'ful' is not among those there are; did you mean 'full'?"),
        ("method.blocks=2", "unknown setting 'method.blocks'"),
        ("train.epochs=0", "train.epochs is more than 0, got 0"),
        ("train.epochs=-1", "train.epochs is more than 0, got -1"),
        ("train.epochs=many", "train.epochs: expected a number, got 'many'"),
        ("train.steps=0", "train.steps is at least 1, got 0"),
        ("train.learning_rate=-1", "train.learning_rate is positive, got -1"),
        ("train.epoch=3", "unknown setting 'train.epoch'; did you mean 'epochs'?"),
        ("train.optimizer=adam", "train.optimizer: unknown type 'adam'; did you mean 'adamw'?"),
        ("tran.epochs=3", "unknown setting 'tran.epochs'; did you mean 'train.epochs'?"),
        ("epochs=3", "unknown setting 'epochs'; did you mean 'train.epochs'?"),
        ("data.held_out=2", "held_out must be between 0 and 1, got 2"),
        ("context=33", "context: bottles sees at most 32 tokens, got 33"),
        ("count=-1", "count must be 0 or more, got -1"),
        ("temperature=-1", "temperature: must be 0"),
        ("seed=-1", "seed: must lie in [0, 2**62), got -1"),
        ("device=gpu", "device: 'gpu' is not available here"),
        ("threads=0", "threads must lie in 1..1024, got 0"),
        ("model.width=3", "unknown setting 'model.width'"),
        ("prompt_file=absent", "prompt_file: cannot read 'absent'"),
        (f"prompt={'far too long ' * 9}", "more than the model's context of 32"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    zoo: Zoo, checkpoint: Path, song: Path, word: str, message: str
) -> None:
    done = zoo("finetune", checkpoint, f"data.path={song}", "out=run", *FEW, word)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("zoo: error: ")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert list(Path().iterdir()) == []


def test_too_little_text_and_the_least_that_will_do(zoo: Zoo, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("la la la\n")
    done = zoo("finetune", checkpoint, "data.path=short.txt", "out=run", *FEW)
    assert done.code == 2
    assert "short.txt: 9 bytes of text are too little to learn from and to hold some out; give at least 320" in done.err
    (tmp_path / "line.txt").write_text("la la lo li\n" * 8)  # windows of the checkpoint's 32 tokens would be too few
    done = zoo("finetune", checkpoint, "data.path=line.txt", "out=run", *FEW, "count=1", "--json")
    assert done.code == 0, done.err
    assert yaml.safe_load(Path("run/recipe.yaml").read_text())["context"] == 21


def test_which_checkpoints_can_go_on_with_text(zoo: Zoo, song: Path) -> None:
    both_ways = TransformerConfig(
        vocabulary=257, context=16, width=8, depth=1, heads=1, patterns=(Dense(causal=False),)
    )
    Model(build_network(both_ways), ByteTokenizer(), card={"name": "bert"}).save("bert")
    done = zoo("finetune", "bert", f"data.path={song}", "out=run")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "bert reads both ways, so it cannot go on with text; head=language_model needs a causal model" in done.err
    missing = zoo("finetune", "absent", f"data.path={song}", "out=run")
    assert "no checkpoint 'absent'" in missing.err
    assert "which checkpoint? For example: zoo finetune" in zoo("finetune", f"data.path={song}").err
    assert not Path("run").exists()


def test_a_tokenizer_that_hardly_knows_the_text_is_refused(zoo: Zoo, letters: Path, tmp_path: Path) -> None:
    (tmp_path / "russian.txt").write_text("Все счастливые семьи похожи друг на друга.\n" * 50)
    done = zoo("finetune", letters, "data.path=russian.txt", "out=run")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "russian.txt: the tokenizer of letters (char, " in done.err
    assert "% of its characters, such as 'с', " in done.err
    assert not Path("run").exists()


def test_help_shows_the_keys(zoo: Zoo) -> None:
    page = zoo("finetune", "--help").out
    for part in ("head=language_model", "data.path=PATH", "train.epochs=X", "zoo finetune shakespeare"):
        assert part in page
    assert "finetune" in zoo("--help").out


def test_words_that_the_tokenizer_does_not_know_are_counted(zoo: Zoo, text_file: Path, song: Path) -> None:
    words = ("train", "text/file", "size=tiny", "tokenizer=word", f"data.path={text_file}", "out=words")
    assert zoo(*words, "train.steps=1", "train.evaluate_every=0").code == 0
    done = zoo("finetune", "words", f"data.path={song}", "out=mine", *FEW, "count=0")
    assert done.code == 0, done.err
    shares = re.findall(
        r"([\d.]+)% of its tokens are words that the tokenizer does not know", " ".join(done.err.split())
    )
    assert len(shares) == 1
    assert 50 < float(shares[0]) <= 100
    assert yaml.safe_load(Path("mine/card.yaml").read_text())["metrics"]["lossless"] is False


def test_hugging_faces_folders_will_do(zoo: Zoo, text_file: Path, song: Path) -> None:
    words = ("train", "text/gpt2", "size=tiny", f"data.path={text_file}", "out=small", "train.steps=1")
    assert zoo(*words, "tokenizer=bpe", "tokenizer.vocabulary=300", "train.evaluate_every=0").code == 0
    assert zoo("convert", "small", "out=theirs", "to=huggingface").code == 0
    assert "format" not in json.loads(Path("theirs/config.json").read_text())
    done = zoo("finetune", "theirs", f"data.path={song}", "out=mine", *FEW, "train.steps=20", "--json")
    assert done.code == 0, done.err
    before, after = done.document["before"]["metrics"], done.document["after"]["metrics"]
    assert after["bits_per_byte"] < before["bits_per_byte"]
    assert json.loads(Path("mine/config.json").read_text())["head"] == "language_model"
    assert Path("mine/tokenizer/merges.txt").is_file()
    (Path("theirs") / "merges.txt").unlink()
    for name in ("vocab.json", "tokenizer.json"):
        (Path("theirs") / name).unlink(missing_ok=True)
    refused = zoo("finetune", "theirs", f"data.path={song}", "out=other", *FEW)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "theirs has no tokenizer, so it reads no text" in refused.err
