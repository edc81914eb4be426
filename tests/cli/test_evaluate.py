"""``zoo evaluate``: the contract's report, a page on which nothing runs, and one line for bad input."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Zoo
from tests.cli.test_demo import HOSTILE, Tags
from zoo.cli.report import exhibited, report
from zoo.cli.svg import lines
from zoo.evaluate import outcome


def test_a_text(zoo: Zoo, checkpoint: Path, text_file: Path) -> None:
    done = zoo("evaluate", str(checkpoint), f"data.path={text_file}", "out=found", "threads=1", "--json")
    assert done.code == 0, done.err
    document = done.document
    assert document == json.loads(Path("found/report.json").read_text())
    assert document["checkpoint"] == str(checkpoint)
    assert document["data"] == text_file.name
    assert (document["samples"], document["part"]) == (1, "held_out")
    assert document["tokens"] > 1000
    assert {"loss", "perplexity", "bits_per_byte", "strided_bits_per_byte"} <= set(document["metrics"])
    page = Path("found/report.html").read_text()
    assert "<td>bits per byte</td>" in page
    assert "bottles" in page
    again = zoo("evaluate", str(checkpoint), f"data.path={text_file}", "out=found")
    assert again.code == 2
    assert "found/report.json is there already" in again.err
    people = zoo(
        "evaluate", str(checkpoint), f"data.path={text_file}", "out=found", "overwrite=true", "task.stride=0",
        "task=likelihood", "data.part=all", "data.limit=300",
    )  # fmt: skip
    assert people.out.strip() == "found/report.json"
    assert "1 sample, 300 tokens" in people.err
    assert "strided" not in people.err


def test_the_figures_are_those_of_training(zoo: Zoo, checkpoint: Path, text_file: Path) -> None:
    card = (checkpoint / "card.yaml").read_text()
    stated = float(re.findall(r"^  bits_per_byte: ([\d.]+)$", card, re.MULTILINE)[0])
    done = zoo("evaluate", str(checkpoint), f"data.path={text_file}", "threads=1", "--json")
    assert done.document["metrics"]["bits_per_byte"] == pytest.approx(stated, rel=1e-5)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "which data? Say data.path=PATH"),
        (["data.path=gone.txt"], "gone.txt: no such file or folder"),
        (["data.path=empty.txt"], "empty.txt: is empty"),
        (
            ["data.path=x.txt", "task=perplexity"],
            "task: 'perplexity' is not among those there are; choose one of: auto",
        ),
        (["data.path=x.txt", "task.strid=3"], "unknown setting 'task.strid'; did you mean 'stride'?"),
        (["data.path=x.txt", "data.part=test"], "data.part: 'test' is not possible"),
        (["data.path=x.txt", "data.parts=all"], "unknown setting 'data.parts'; did you mean 'data.part'?"),
        (["data.path=x.txt", "data.limit=few"], "data.limit: expected a whole number, got 'few'"),
        (["data.path=x.txt", "data.part=all", "task.stride=9999"], "stride must be 1 to"),
        (["data.path=pictures"], "no text or tables there, only .png"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(zoo: Zoo, checkpoint: Path, words: list[str], line: str) -> None:
    Path("x.txt").write_text("some words that are long enough to be looked at\n" * 40)
    Path("empty.txt").write_text("")
    Path("pictures").mkdir()
    Path("pictures/a.png").write_bytes(b"\x89PNG")
    done = zoo("evaluate", str(checkpoint), *words)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert line in done.err
    assert not Path("outputs").exists()


def test_nothing_on_a_report_runs_or_loads() -> None:
    import numpy as np
    from PIL import Image as Pillow

    from zoo.tokenizers.audio.waveform import Audio

    exhibits: list[outcome.Exhibit] = [
        outcome.Texts(title=HOSTILE, entries=[(HOSTILE, HOSTILE * 2)]),
        outcome.Surprise(title=HOSTILE, pieces=[(HOSTILE, 1.0)]),
        outcome.Pictures(title=HOSTILE, entries=[(HOSTILE, Pillow.new("L", (2, 2)))]),
        outcome.Sounds(title=HOSTILE, entries=[(HOSTILE, Audio(samples=np.zeros(8, np.float32), rate=8000))]),
        outcome.Table(title=HOSTILE, head=[HOSTILE], rows=[[HOSTILE]]),
        outcome.Histogram(title=HOSTILE, across=HOSTILE, groups={HOSTILE: np.arange(5.0)}),
        outcome.Matrix(title=HOSTILE, labels=[HOSTILE, "b"], counts=np.array([[3, 1], [0, 0]])),
    ]
    found = outcome.Outcome(
        data=HOSTILE, sha256="0", samples=1, tokens=1, metrics={HOSTILE: HOSTILE}, notes=[HOSTILE], exhibits=exhibits
    )
    text = report(HOSTILE, HOSTILE, [(HOSTILE, HOSTILE)], found)
    tags = Tags(text).found
    assert not {"script", "iframe", "link", "object", "a", "textarea"} & {tag for tag, _ in tags}
    for tag, attributes in tags:
        assert not any(name.startswith("on") for name in attributes)
        if "src" in attributes:
            assert str(attributes["src"]).startswith("data:image/png;" if tag == "img" else "data:audio/wav;")
        assert "href" not in attributes
    assert "default-src 'none'" in text
    assert "\u202e" not in text
    assert re.search(r"https?://", text) is None
    assert text.count("\\u202e") > 20  # each mark is shown


def test_exhibits_show_what_they_hold() -> None:
    import numpy as np

    matrix = exhibited(outcome.Matrix(title="t", labels=["cat", "dog"], counts=np.array([[3, 1], [0, 4]])))
    assert ">3</td>" in matrix
    assert "rgba(var(--heat),0.75)" in matrix  # all dogs are named so
    many = outcome.Matrix(title="t", labels=[str(n) for n in range(70)], counts=np.zeros((70, 70), np.int64))
    assert "70 classes are too many" in exhibited(many)
    curves = lines({"a": [(0, 0.5), (4, 1.0)]}, across="layer", up="accuracy")
    assert 'points="52.0,246.0 710.0,12.0"' in curves
