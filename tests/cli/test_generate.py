"""``zoo generate``: prompts to the letter, the same text from the same seed."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Zoo
from zoo.cli.generate import probability_table

NASTY = "a,b 'c' \"d\" {e=f} ${oc.env:HOME} [1,2] \\n $x é 🤗 --json\n"


def test_text_goes_to_standard_output_only(zoo: Zoo, checkpoint: Path) -> None:
    done = zoo("generate", checkpoint, "prompt=12 green", "max_new_tokens=8", "seed=3")
    assert done.code == 0, done.err
    assert done.err == ""
    assert done.out.startswith("12 green")
    assert done.out.endswith("\n")


def test_json_agrees_with_the_stream(zoo: Zoo, checkpoint: Path) -> None:
    words = ("generate", checkpoint, "prompt=12 green", "max_new_tokens=8", "seed=3", "count=2")
    samples = zoo(*words, "--json").document["samples"]
    assert [list(sample) for sample in samples] == [["index", "seed", "prompt", "text", "ids"]] * 2
    assert [(sample["index"], sample["seed"]) for sample in samples] == [(0, 3), (1, 4)]
    assert all(len(sample["ids"]) <= 16 for sample in samples)
    shown = zoo(*words)
    assert shown.out == "".join(f"{sample['text']}\n" for sample in samples)
    assert shown.err == "-- 1 of 2, seed 3\n-- 2 of 2, seed 4\n"
    alone = zoo("generate", checkpoint, "prompt=12 green", "max_new_tokens=8", "seed=4", "--json").document
    assert alone["samples"][0]["ids"] == samples[1]["ids"]


def test_a_prompt_is_taken_to_the_letter(
    zoo: Zoo, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p=q, r.txt").write_bytes(NASTY.encode())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(NASTY.encode())))
    for word in (f"prompt={NASTY}", "prompt_file=p=q, r.txt", "prompt=-"):
        sample = zoo("generate", checkpoint, word, "max_new_tokens=0", "truncate=left", "--json").document["samples"][0]
        assert sample["prompt"] == sample["text"] == NASTY
        assert bytes(sample["ids"]) == NASTY.encode()


def test_words_that_mean_nothing_elsewhere_mean_themselves(zoo: Zoo, checkpoint: Path) -> None:
    for text in ("none", "null", "true", "1e3", "--help", "{", "=", " "):
        done = zoo("generate", checkpoint, f"prompt={text}", "max_new_tokens=1", "--json")
        assert done.document["samples"][0]["prompt"] == text


def test_an_empty_prompt_begins_from_nothing(zoo: Zoo, checkpoint: Path) -> None:
    words = ("generate", checkpoint, "max_new_tokens=5", "--json")
    assert zoo(*words).document["samples"] == zoo(*words, "prompt=").document["samples"]


def test_samples_file(zoo: Zoo, checkpoint: Path) -> None:
    words = ("generate", checkpoint, "prompt=x", "max_new_tokens=4", "out=some/where")
    done = zoo(*words, "--json")
    assert json.loads(Path("some/where/samples.json").read_text()) == done.document
    refused = zoo(*words)
    assert refused.code == 2
    assert "samples.json is there already; add resume=true, overwrite=true" in refused.err
    assert zoo(*words, "overwrite=true").out == f"{done.document['samples'][0]['text']}\n"
    assert [path.name for path in Path("some/where").iterdir()] == ["samples.json"]


def test_missing_samples_are_drawn_and_kept_ones_are_not(zoo: Zoo, checkpoint: Path, tmp_path: Path) -> None:
    words = ("generate", checkpoint, "prompt=12 green", "max_new_tokens=8", "out=drawn", "--json")
    whole = zoo(*words[:-2], "out=whole", "count=3", "--json").document["samples"]
    first = zoo(*words, "count=1").document["samples"]
    file = tmp_path / "drawn" / "samples.json"
    file.write_text(file.read_text().replace(json.dumps(first[0]["text"], ensure_ascii=False), '"kept"'))
    resumed = zoo(*words, "count=3", "resume=true").document["samples"]
    assert [sample["text"] for sample in resumed] == ["kept", whole[1]["text"], whole[2]["text"]]
    assert [sample["seed"] for sample in resumed] == [0, 1, 2]
    other = zoo(*words, "count=3", "resume=true", "temperature=0.5")
    assert other.code == 2
    assert "was drawn with temperature=1.0, not 0.5" in other.err
    assert "say out=DIR" in zoo("generate", checkpoint, "resume=true").err


def test_probabilities(zoo: Zoo, checkpoint: Path) -> None:
    words = ("generate", checkpoint, "prompt=12 gree", "show=probabilities")
    found = zoo(*words, "--json").document["probabilities"]
    assert len(found) == 15
    assert list(found[0]) == ["id", "text", "probability"]
    values = [one["probability"] for one in found]
    assert values == sorted(values, reverse=True)
    assert 0 < sum(values) <= 1
    shown = zoo(*words).out.splitlines()
    assert len(shown) == 16
    assert shown[0].split("  ")[0].strip().startswith('"')
    assert shown[-1].startswith("all others: ")
    sharper = zoo(*words, "temperature=0.5", "--json").document["probabilities"]
    assert sharper[0]["probability"] > values[0]


def test_probability_table_is_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert probability_table([(" the", 0.5), ("\n", 0.25), ("日", 0.25)]).splitlines() == [
        '" the"   50.0%  ████████████████████████',
        '"⏎"      25.0%  ████████████',
        '"日"     25.0%  ████████████',
    ]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("temperature=-1", "temperature: must be 0"),
        ("temperature=hot", "temperature: expected a number, got 'hot'"),
        ("temperature=nan", "temperature: must be a number, got nan"),
        ("temperature=inf", "temperature: must be a finite number"),
        ("top_p=1.5", "top_p: must lie in (0, 1]"),
        ("count=0", "count must be at least 1"),
        ("temprature=1", "unknown setting 'temprature'; did you mean 'temperature'?"),
        ("show=all", "show: 'all' is not possible; choose one of: text, probabilities"),
        ("prompt_file=nowhere.txt", "prompt_file: cannot read 'nowhere.txt': No such file or directory"),
        ("prompt=" + "x" * 100, "truncate=left"),
        ("dtype=float64", "dtype: 'float64' is not possible"),
    ],
)
def test_bad_settings(zoo: Zoo, checkpoint: Path, word: str, message: str) -> None:
    done = zoo("generate", checkpoint, word)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "words", [("--json",), ("out=there",), ("beams=2",), ("show=probabilities",), ("temperature=-1", "--json")], ids=str
)
def test_no_samples_are_an_error_wherever_they_go(zoo: Zoo, checkpoint: Path, words: tuple[str, ...]) -> None:
    done = zoo("generate", checkpoint, "count=0", *words)
    assert (done.code, done.out, done.err) == (2, "", "zoo: error: count must be at least 1, got 0\n")
    assert not Path("there").exists()


def test_prompts_that_cannot_be(zoo: Zoo, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    assert "latin is not UTF-8 text (byte 3)" in zoo("generate", checkpoint, "prompt_file=latin").err
    assert "give prompt= or prompt_file=, not both" in zoo("generate", checkpoint, "prompt_file=latin", "prompt=a").err


def test_checkpoints_are_found_by_name(zoo: Zoo, checkpoint: Path, tmp_path: Path, zoo_home: Path) -> None:
    (zoo_home / "checkpoints").mkdir(parents=True)
    (zoo_home / "checkpoints" / "bottles").symlink_to(checkpoint)
    assert zoo("generate", "bottles", "max_new_tokens=1").code == 0
    near = zoo("generate", "botles")
    assert near.code == 2
    assert "did you mean 'bottles'?" in near.err
