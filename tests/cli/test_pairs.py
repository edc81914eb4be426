"""Training on a user's table of pairs, and generating targets from sources, by command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import zoo as library
from tests.cli.conftest import Zoo
from zoo.cli.main import main

TINY = ("train", "text/seq2seq", "size=tiny", "train.steps=4", "train.evaluate_every=0", "threads=1")


def write(path: Path, *, head: str = "source\ttarget\n", rows: int = 30) -> Path:
    path.write_text(head + "".join(f"the {number} of May\t{number:02d}-05\n" for number in range(1, rows + 1)))
    return path


@pytest.fixture(scope="module")
def dates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint that has seen a user's pairs."""
    folder = tmp_path_factory.mktemp("dates")
    table = write(folder / "dates, {a=b} 'x'.tsv")
    assert main([*TINY, f"data.path={table}", f"out={folder / 'run'}", "train.steps=30"]) == 0
    return folder / "run"


def test_a_table_of_pairs_trains(zoo: Zoo, tmp_path: Path) -> None:
    table = write(tmp_path / "a.tsv", head="english\tiso\n")
    columns = ("data.columns.source=english", "data.columns.target=iso")
    done = zoo(*TINY, f"data.path={table}", *columns, "--json")
    assert done.code == 0, done.err
    metrics = done.document["metrics"]
    assert {"loss", "bits_per_byte", "exact_match", "held_out_exact_match"} <= metrics.keys()
    assert 0 <= metrics["exact_match"] <= 1
    bare = zoo(*TINY, f"data.path={write(tmp_path / 'b.tsv', head='')}", "data.header=false", "out=bare", "--json")
    assert bare.document["metrics"].keys() == metrics.keys()


def test_the_target_alone_is_written(zoo: Zoo, dates: Path) -> None:
    words = ("generate", dates, "prompt=the 3 of May", "max_new_tokens=6")
    target = library.load(dates, device="cpu").generate("the 3 of May", max_new_tokens=6)
    assert zoo(*words).out == f"{target}\n"
    (sample,) = zoo(*words, "--json").document["samples"]
    assert (sample["prompt"], sample["text"]) == ("the 3 of May", target)
    assert zoo(*words, "out=drawn").out == f"{target}\n"
    assert json.loads(Path("drawn/samples.json").read_text())["samples"] == [sample]
    several = zoo(*words, "count=3", "temperature=2", "--json").document["samples"]
    assert zoo(*words, "count=3", "temperature=2").out == "".join(f"{one['text']}\n" for one in several)


def test_beams(zoo: Zoo, dates: Path) -> None:
    words = ("generate", dates, "prompt=the 3 of May", "max_new_tokens=6", "beams=4")
    found = library.load(dates, device="cpu").generate("the 3 of May", max_new_tokens=6, beams=4, count=2)
    assert zoo(*words, "count=2").out == "".join(f"{text}\n" for text in found)


def test_what_a_target_could_begin_with(zoo: Zoo, dates: Path) -> None:
    found = zoo("generate", dates, "prompt=the 3 of May", "show=probabilities", "--json").document["probabilities"]
    assert len(found) == 15
    assert max(one["id"] for one in found) <= 257


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("seed=1", "this model turns a source into a target, and the source is empty: give prompt=TEXT"),
        ("prompt=" + "x" * 129, "has 129 ids, more than the model's context of 128; shorten it, or set truncate=left"),
    ],
)
def test_bad_prompts(zoo: Zoo, dates: Path, word: str, message: str) -> None:
    done = zoo("generate", dates, word)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert zoo("generate", dates, "prompt=" + "x" * 129, "truncate=left", "max_new_tokens=2").code == 0


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("source\tgoal\n" + "a\tb\n" * 9, (), "no column 'target'"),
        ("source\ttarget\n" + "a\tb\n" * 9 + "a\t\n", (), "a.tsv line 11: the target is empty"),
        ("source\ttarget\na\tb\n", (), "1 samples are too few to hold some out"),
        ("source\ttarget\n" + "a\tb\n" * 9, ("data.columns.goal=b",), "unknown setting 'data.columns.goal'"),
        (
            "source\ttarget\n" + f"{'a' * 200}\tb\n" * 9,
            (),
            "this source takes 200 ids, more than model.encoder.context",
        ),
        (
            "source\ttarget\n" + "a\tb\n" * 9,
            ("model.memory_width=16",),
            "the encoder's width 32 is not memory_width 16",
        ),
    ],
)
def test_bad_tables(zoo: Zoo, tmp_path: Path, text: str, words: tuple[str, ...], message: str) -> None:
    (tmp_path / "a.tsv").write_text(text)
    done = zoo(*TINY, "data.path=a.tsv", *words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.tsv"]
