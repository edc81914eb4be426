"""``zoo compare``: a row per tokenizer, in units that survive the swap."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
from PIL import Image

from tests.cli.conftest import Zoo
from tests.tokenizers.test_neural import network
from zoo.cli.compare import show

WORDS = ("compare", "text/file", "size=tiny", "train.steps=3", "train.evaluate_every=0", "threads=1")


def test_rows_per_tokenizer(zoo: Zoo, text_file: Path) -> None:
    done = zoo(*WORDS, f"data.path={text_file}", "tokenizer=byte,char", "train.log_every=1", "out=both", "--json")
    assert done.code == 0, done.err
    rows = done.document["rows"]
    assert [row["tokenizer"] for row in rows] == ["byte", "char"]
    for row in rows:
        assert {"metrics", "tokens_per_second", "seconds", "sample"} <= row.keys()
        assert row["tokens_per_second"] > 0
        assert abs(row["metrics"]["bits_per_byte"] - row["metrics"]["loss"] / 0.6931) < 0.2 * row["metrics"]["loss"]
    assert rows[0]["vocabulary"] == 257
    assert Path("both/char/model.safetensors").is_file()
    again = zoo(*WORDS, f"data.path={text_file}", "tokenizer=byte,char", "out=both", "resume=true", "--json")
    assert [row["metrics"] for row in again.document["rows"]] == [row["metrics"] for row in rows]


def test_all_tokenizers_are_checked_before_the_first_run(zoo: Zoo, text_file: Path) -> None:
    done = zoo(*WORDS, f"data.path={text_file}", "tokenizer=byte,chr")
    assert done.code == 2
    assert "unknown tokenizer 'chr'; did you mean 'char'?" in done.err
    assert list(Path().iterdir()) == []


def test_a_text_that_one_tokenizer_refuses_costs_no_training(zoo: Zoo, text_file: Path, tmp_path: Path) -> None:
    done = zoo("compare", "text/file", f"data.path={text_file}", "size=tiny", "tokenizer=byte,digits", "out=runs")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_the_table_ranks_by_bits_per_byte_and_marks_lossy_ones() -> None:
    def row(name: str, bits: float, **more: bool) -> dict[str, object]:
        metrics = {"loss": 1.0, "bits_per_byte": bits, **more}
        facts = {"vocabulary": 9, "parameters": 10, "tokens_per_second": 5.0, "seconds": 1.0, "sample": f"{name} text"}
        return {"tokenizer": name, "metrics": metrics, **facts}

    lines = show([row("byte", 2.5), row("word", 2.25, lossless=False)]).splitlines()
    assert lines[0].split() == ["tokenizer", "ids", "parameters", "bits/byte", "nats/token", "tokens/s", "seconds"]
    assert lines[1].split()[:4] == ["word", "9", "10", "2.250*"]
    assert lines[2].split()[:4] == ["byte", "9", "10", "2.500"]
    assert lines[3].startswith("* this tokenizer drops part of the text")


def test_pictures_are_compared_in_bits_of_a_dimension(zoo: Zoo) -> None:
    words = ("compare", "image/digits", "size=tiny", "train.steps=3", "threads=1", "out=both")
    done = zoo(*words, "tokenizer=gray_levels,pixel_clusters", "--json")
    assert done.code == 0, done.err
    levels, clusters = done.document["rows"]
    per_pixel = levels["metrics"]["bits_per_pixel"]
    assert abs(levels["metrics"]["bits_per_dimension"] - 4 - per_pixel) < 1e-9  # 16 of 256 levels
    assert clusters["metrics"]["bits_per_dimension"] is None
    assert clusters["metrics"]["bits_per_pixel"] > 0
    assert (levels["vocabulary"], clusters["vocabulary"]) == (17, 18)  # the data has 17 levels, all in the palette
    assert clusters["metrics"]["quantization_rmse"] == 0
    for row in (levels, clusters):
        assert Image.open(row["sample"]).size == (8, 8)


def test_the_table_of_pictures_puts_what_is_not_comparable_last() -> None:
    def row(name: str, dimension: float | None, pixel: float) -> dict[str, object]:
        metrics = {"loss": 1.0, "bits_per_dimension": dimension, "bits_per_pixel": pixel, "quantization_rmse": 2.0}
        facts = {"vocabulary": 9, "parameters": 10, "tokens_per_second": 5.0, "seconds": 1.0, "sample": f"{name}.png"}
        return {"tokenizer": name, "metrics": metrics, **facts}

    lines = show([row("coarse", 6.5, 2.5), row("palette", None, 1.5), row("fine", 6.25, 4.5)]).splitlines()
    assert lines[0].split()[3:7] == ["bits/dim", "bits/pixel", "rmse", "nats/token"]
    assert lines[1].split()[:6] == ["fine", "9", "10", "6.250", "4.500", "2.000"]
    assert [line.split()[0] for line in lines[2:4]] == ["coarse", "palette"]
    assert lines[3].split()[3] == "-"
    assert "at an equal rmse" in lines[5]


def test_music_in_bits_per_second(zoo: Zoo) -> None:
    network("dac").save_pretrained("codec")
    words = (
        "compare",
        "music/wave",
        "size=tiny",
        "train.steps=2",
        "threads=1",
        "data.seconds=1",
        "tokenizer=mu_law,dac",
    )
    done = zoo(*words, "tokenizer.path=codec", "tokenizer.books=2", "out=runs", "--json")
    assert done.code == 0, done.err
    raw, codec = done.document["rows"]
    assert (raw["vocabulary"], codec["vocabulary"]) == (256, 64)
    for row, per_second in ((raw, 8_000), (codec, 2_000)):
        assert row["metrics"]["bits_per_second"] == pytest.approx(
            row["metrics"]["bits_per_token"] * per_second, rel=1e-6
        )
        samples, rate = soundfile.read(row["sample"])
        assert (len(samples), rate) == (16_000, 8_000)
    table = show(done.document["rows"]).splitlines()
    assert "bits/second" in table[0]
    assert "listen to the samples" in "".join(table)
