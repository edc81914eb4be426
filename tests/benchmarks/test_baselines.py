"""Simple classifiers, on samples that they can tell apart and on some that nobody can."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import baselines
from zoo.errors import ZooError


def accuracies(sizes: baselines.Sizes) -> dict[str, float]:
    return {row.peer: row.median for row in baselines.measure(sizes, 1)}


def test_texts_are_told_apart_by_their_words(tmp_path: Path) -> None:
    file = tmp_path / "texts.csv"
    lines = [f"the {word} is {'kind' if word == 'cat' else 'loud'} today,{word}" for word in ("cat", "dog") * 30]
    file.write_text("text,kind\n" + "\n".join(lines) + "\n")
    found = accuracies(replace(baselines.FULL, samples=str(file), label="kind"))
    assert found == {"words, logistic regression": 1.0, "characters, logistic regression": 1.0}


def test_pictures_are_told_apart_by_their_pixels(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(88) % 2
    pictures = generator.integers(0, 100, (88, 64, 64, 3)) + 120 * labels[:, None, None, None]
    np.savez(tmp_path / "pictures.npz", x=pictures.astype(np.uint8), y=labels)
    sizes = replace(baselines.FULL, samples=str(tmp_path / "pictures.npz"), kind="image", epochs=12)
    found = accuracies(sizes)
    assert found["pixels, logistic regression"] == 1.0
    assert found["AlexNet of torchvision, from scratch"] >= 0.75


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
