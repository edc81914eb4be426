"""Questions and LAMBADA through the tasks of ``zoo evaluate``: protocols told apart, and said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.evaluate.models import knowing
from zoo.errors import ZooError
from zoo.evaluate.forms import Write
from zoo.evaluate.part import Data
from zoo.evaluate.questions import Lambada, Questions

CAPITALS = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo"}


def answer(told: str) -> str:
    """Know a capital once a question has been asked, letter by letter."""
    question, mark, written = told.rpartition("\nAnswer:")
    if not mark:
        return ""
    land = question.rpartition("\n")[2]
    return (" " + CAPITALS.get(land, "?") + "\n")[len(written) :]


@pytest.fixture
def capitals(tmp_path: Path) -> Path:
    rows = [f"{land},{city}" for _ in range(6) for land, city in CAPITALS.items()]
    path = tmp_path / "capitals.csv"
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    return path


def test_the_likeliest_of_all_labels(capitals: Path) -> None:
    found = Questions().run(knowing(answer), Data(path=str(capitals), part="all"))
    assert found.metrics["accuracy"] == 1.0
    assert found.samples == 24
    assert set(found.rows[0]["values"]) == set(CAPITALS.values())
    some = Questions(shots=2).run(knowing(answer), Data(path=str(capitals), part="all", limit=5))
    assert some.samples == 5
    assert all(row["prompt"].count("Answer:") == 3 for row in some.rows)
    assert "2 shots" in some.notes[0]


def test_shots_from_a_file_of_their_own(capitals: Path, tmp_path: Path) -> None:
    shots = tmp_path / "shots.csv"
    shots.write_text("text,label\n" + "".join(f"Land {number},City {number}\n" for number in range(9)))
    task = Questions(shots=1, shots_path=str(shots), form=Write(max_new_tokens=8), separator="\\n---\\n")
    found = task.run(knowing(answer), Data(path=str(capitals), part="all", limit=3))
    assert found.metrics["exact_match"] == 1.0
    assert all(row["prompt"].startswith("Land ") and "\n---\n" in row["prompt"] for row in found.rows)


def lambada(folder: Path) -> str:
    passages = ["He looked for the cat and found the cat", "She gave the bone to the dog", "I know that it is a lion"]
    path = folder / "passages.jsonl"
    path.write_text("".join(json.dumps({"text": passage}) + "\n" for passage in passages))
    return str(path)


def last_word(told: str) -> str:
    """Say cats after one passage; after the second 'the' where a dog is expected; a lion."""
    for passage, word in (("found the", " cats."), ("to the", " the."), ("is a", " lion.")):
        _, mark, written = told.rpartition(passage)
        if mark and word.startswith(written):
            return word[len(written) :]
    return ""


def test_the_harness_and_the_raw_protocol_differ_and_say_so(tmp_path: Path) -> None:
    data = Data(path=lambada(tmp_path), part="all")
    harness = Lambada().run(knowing(last_word), data)
    assert harness.samples == 3
    assert harness.metrics["accuracy"] == pytest.approx(2 / 3)  # 'cat' is the beginning of 'cats'
    assert "lambada_openai" in harness.notes[0]
    raw = Lambada(protocol="raw", stop_words=False).run(knowing(last_word), data)
    assert raw.metrics["accuracy"] == pytest.approx(1 / 3)
    assert raw.metrics["token_accuracy"] == pytest.approx(2 / 3)
    assert "stop words are kept" in raw.notes[1]
    skipping = Lambada(protocol="raw").run(knowing(last_word), data)
    assert skipping.metrics["accuracy"] == pytest.approx(1 / 3)
    assert "stop words are skipped" in skipping.notes[1]


def test_the_cloze_form(tmp_path: Path) -> None:
    found = Lambada(protocol="cloze").run(knowing(lambda told: ""), Data(path=lambada(tmp_path), part="all"))
    assert found.rows[0]["prompt"].endswith("found the ____. ->")
    with pytest.raises(ZooError, match="only protocol=cloze has any"):
        Lambada(shots=3)


def test_passages_one_a_line(tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("He found the cat\n\nIt is a lion\n")
    found = Lambada().run(knowing(last_word), Data(path=str(tmp_path / "two.txt"), part="all"))
    assert found.samples == 2
    (tmp_path / "bad.txt").write_text("He found the cat\nlion\n")
    with pytest.raises(ZooError, match="a passage has at least two words"):
        Lambada().run(knowing(last_word), Data(path=str(tmp_path / "bad.txt"), part="all"))
