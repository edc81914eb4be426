"""``zoo reconstruct``: what comes back, and the figures of how near it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.cli.codecs import RATE, save_codec, write_sound
from tests.cli.conftest import Zoo
from zoo.cli.reconstruct import stems
from zoo.weights.files import files_below


def test_a_sound_by_every_level_of_a_codec(zoo: Zoo, tmp_path: Path) -> None:
    save_codec(tmp_path / "codec")
    write_sound(tmp_path / "song.wav", 1.3)
    done = zoo("reconstruct", "song.wav", "tokenizer=codec", "out=heard", "--json")
    assert done.code == 0, done.err
    assert files_below(tmp_path / "heard") == ["report.json", "song.level_0.wav", "song.level_1.wav", "song.png"]
    report = json.loads((tmp_path / "heard" / "report.json").read_text())
    assert done.document == {**report, "report": "heard/report.json"}
    assert (report["modality"], report["rate"], report["samples"], report["lossless"]) == ("music", RATE, 1, False)
    assert [row["hop"] for row in report["levels"]] == [4, 16]
    metrics = report["levels"][1]["metrics"]
    assert list(metrics) == [
        "spectral_convergence_db", "si_sdr_db", "log_mel_distance_db", "bits_per_second", "codebook_usage"
    ]  # fmt: skip
    assert metrics["bits_per_second"] == RATE / 16 * 5
    assert 0 < metrics["codebook_usage"] <= 1
    assert report["metrics"] == report["levels"][0]["metrics"] == report["files"][0]["levels"][0]["metrics"]
    for level in range(2):
        samples, rate = soundfile.read(tmp_path / "heard" / f"song.level_{level}.wav")
        assert (len(samples), rate) == (10_400, RATE)  # as long as the original
    with Image.open(tmp_path / "heard" / "song.png") as picture:
        assert picture.width > 3 * 120


def test_figures_of_mu_law_are_those_of_its_definition(zoo: Zoo, tmp_path: Path) -> None:
    write_sound(tmp_path / "a.wav", 2.0)
    write_sound(tmp_path / "b.wav", 1.0, seed=3)
    few, many = (
        zoo(
            "reconstruct", "a.wav", "b.wav", "tokenizer=mu_law", f"tokenizer.levels={levels}", f"out={levels}", "--json"
        )
        for levels in (16, 4096)
    )
    assert few.document["metrics"]["bits_per_second"] == 4 * RATE
    assert many.document["metrics"]["bits_per_second"] == 12 * RATE
    near, far = many.document["metrics"], few.document["metrics"]
    assert near["si_sdr_db"] > 55 > 25 > far["si_sdr_db"] > 10
    assert near["spectral_convergence_db"] < -50 < far["spectral_convergence_db"] < -10
    assert near["log_mel_distance_db"] < 0.2 < far["log_mel_distance_db"]
    assert far["codebook_usage"] > 0.8
    both = [row["levels"][0]["metrics"]["si_sdr_db"] for row in few.document["files"]]
    assert far["si_sdr_db"] == pytest.approx(sum(both) / 2)  # a mean over clips
    assert files_below(tmp_path / "16") == ["a.png", "a.wav", "b.png", "b.wav", "report.json"]


def test_silence_has_figures_too(zoo: Zoo, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(3), RATE)
    done = zoo("reconstruct", "a.wav", "tokenizer=mu_law", "--json")
    assert done.code == 0, done.err
    metrics = done.document["metrics"]
    assert (metrics["spectral_convergence_db"], metrics["si_sdr_db"]) == (-100, None)
    assert 0 < metrics["log_mel_distance_db"] < 10  # mu-law's quietest level is not 0
    assert zoo("reconstruct", "a.wav", "tokenizer=mu_law", "overwrite=true").code == 0


def test_pictures_and_texts(zoo: Zoo, tmp_path: Path) -> None:
    levels = np.tile(np.arange(0, 256, 16, dtype=np.uint8), (16, 1))
    Image.fromarray(levels + 4).save(tmp_path / "a.png")
    done = zoo("reconstruct", "a.png", "tokenizer=gray_levels", "tokenizer.levels=16", "out=seen", "--json")
    metrics = done.document["metrics"]
    with Image.open(tmp_path / "seen" / "a.png") as picture:
        change = np.sqrt(np.mean((np.asarray(picture, float) - levels - 4) ** 2))
    assert metrics["quantization_rmse"] == pytest.approx(change)
    assert metrics["psnr_db"] == pytest.approx(20 * np.log10(255 / change))
    assert (metrics["bits_per_pixel"], metrics["codebook_usage"]) == (4.0, 1.0)
    whole = zoo("reconstruct", "a.png", "tokenizer=gray_levels", "out=whole", "--json").document
    assert (whole["metrics"]["quantization_rmse"], whole["metrics"]["psnr_db"], whole["lossless"]) == (0, None, True)

    text = "zoo\r\n\N{ELEPHANT} \x00?"
    (tmp_path / "a.txt").write_bytes(text.replace("\x00", "").encode())
    done = zoo("reconstruct", "a.txt", "tokenizer=byte", "out=read", "--json")
    assert done.document["metrics"]["lossless"] is True
    assert (tmp_path / "read" / "a.txt").read_bytes() == (tmp_path / "a.txt").read_bytes()
    lossy = zoo("reconstruct", "a.txt", "tokenizer=wordpiece", "out=lossy", "--json").document
    assert lossy["metrics"]["lossless"] is False
    assert zoo("reconstruct", "a.txt", "tokenizer=byte", "out=read").err == (
        "zoo: error: read/report.json is there already; add overwrite=true or choose another out=DIR\n"
    )


def test_a_table_for_people(zoo: Zoo, tmp_path: Path) -> None:
    write_sound(tmp_path / "a.wav", 0.5)
    done = zoo("reconstruct", "a.wav", "tokenizer=mu_law")
    assert done.out == "reconstructed/report.json\n"
    assert done.err.startswith("level  spectral convergence db  si sdr db  log mel distance db  bits per second")


def test_names_are_safe_and_each_is_there_once() -> None:
    assert stems(["a", "A", "a", "..", "x/y:z", "é" * 200, ""]) == [
        "a", "A-2", "a-3", "file", "x-y-z", "é" * 80, "file-2"
    ]  # fmt: skip


def test_a_broken_file_leaves_no_report(zoo: Zoo, tmp_path: Path) -> None:
    write_sound(tmp_path / "a.wav", 0.5)
    (tmp_path / "b.wav").write_bytes(b"RIFF")
    done = zoo("reconstruct", "a.wav", "b.wav", "tokenizer=mu_law")
    assert done.code == 2
    assert done.err.startswith("zoo: error: b.wav: not a readable sound file")
    assert not (tmp_path / "reconstructed" / "report.json").exists()
