"""Simple classifiers, on samples that they can tell apart and on some that nobody can."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import baselines
from zoo.data.labelled import read_labelled
from zoo.errors import ZooError


def accuracies(sizes: baselines.Sizes) -> dict[str, float]:
    return {row.peer: row.median for row in baselines.measure(sizes, 1)}


def test_texts_are_told_apart_by_their_words(tmp_path: Path) -> None:
    file = tmp_path / "texts.csv"
    lines = [f"the {word} is {'kind' if word == 'cat' else 'loud'} today,{word}" for word in ("cat", "dog") * 30]
    file.write_text("text,kind\n" + "\n".join(lines) + "\n")
    found = accuracies(replace(baselines.FULL, samples=str(file), label="kind"))
    assert found == {"words, logistic regression": 1.0, "characters, logistic regression": 1.0}


def pictures(folder: Path) -> baselines.Sizes:
    generator = np.random.default_rng(0)
    labels = np.arange(88) % 2
    shades = generator.integers(0, 100, (88, 64, 64, 3)) + 120 * labels[:, None, None, None]
    np.savez(folder / "pictures.npz", x=shades.astype(np.uint8), y=labels)
    return replace(baselines.FULL, samples=str(folder / "pictures.npz"), kind="image", epochs=12)


def test_pictures_are_told_apart_by_their_pixels(tmp_path: Path) -> None:
    records = read_labelled(str(pictures(tmp_path).samples), "image")
    (score,) = baselines.CONTESTANTS["image"](baselines.FULL, 1)["pixels, logistic regression"]
    assert score(records) == 1.0


@pytest.mark.slow
def test_alexnet_learns_to_tell_pictures_apart(tmp_path: Path) -> None:
    assert accuracies(pictures(tmp_path))["AlexNet of torchvision, from scratch"] >= 0.75


def test_sounds_are_told_apart_by_their_cepstra(tmp_path: Path) -> None:
    time = np.arange(4000) / 8000
    for name, frequency in (("low", 200), ("high", 1500)):
        (tmp_path / name).mkdir()
        for number in range(22):
            tone = 0.5 * np.sin(2 * np.pi * (frequency + number) * time)
            soundfile.write(tmp_path / name / f"{number:02d}.wav", tone, 8000)
    sizes = replace(baselines.FULL, samples=str(tmp_path), kind="music")
    assert accuracies(sizes) == {"MFCC, logistic regression": 1.0}


def test_samples_are_asked_for() -> None:
    with pytest.raises(ZooError, match="--samples is missing"):
        baselines.measure(baselines.FULL, 1)
