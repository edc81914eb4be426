"""Samples beside held-out pictures: a model that copies is told from one that does not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.evaluate.models import random_model
from tests.evaluate.test_likelihood import painter
from zoo.errors import ZooError
from zoo.evaluate.drawn_whole import log_mel
from zoo.evaluate.outcome import Pictures, Texts
from zoo.evaluate.part import Data
from zoo.evaluate.sample_kinds import Features
from zoo.evaluate.samples import Samples, compared
from zoo.tokenizers.audio.waveform import Audio
from zoo.transformer.config import TransformerConfig
from zoo.transformer.patterns import Dense


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (66, 4, 4)).astype(np.uint8)
    np.savez(tmp_path / "noise.npz", x=pixels)
    return tmp_path / "noise.npz"


def written(folder: Path, pixels: np.ndarray) -> str:
    folder.mkdir()
    for number, picture in enumerate(pixels):
        Pillow.fromarray(picture).save(folder / f"{number:02d}.png")
    return str(folder)


def test_copies_are_found(noise: Path, tmp_path: Path) -> None:
    model, data = painter(), Data(path=str(noise))
    pixels = np.load(noise)["x"]
    learned = [number for number in range(66) if number % 11 != 6]
    copied = Samples(path=written(tmp_path / "copies", pixels[learned[:12]])).run(model, data)
    assert copied.metrics["copies"] == 1.0
    assert copied.metrics["nearest_training_distance"] == pytest.approx(0.0, abs=1e-5)
    fresh = np.random.default_rng(1).integers(0, 256, (12, 4, 4)).astype(np.uint8)
    found = Samples(path=written(tmp_path / "fresh", fresh)).run(model, data)
    assert found.metrics["copies"] < 0.5
    assert found.metrics["nearest_training_distance"] > 0.01
    black = Samples(path=written(tmp_path / "black", np.zeros((12, 4, 4), np.uint8))).run(model, data)
    assert black.metrics["diversity"] == pytest.approx(0.0, abs=1e-4)
    assert black.metrics["frechet_distance"] > 3 * found.metrics["frechet_distance"]
    assert black.metrics["recall"] < found.metrics["recall"] + 1e-9


def test_copies_are_found_where_held_out_pictures_have_twins(noise: Path, tmp_path: Path) -> None:
    pixels = np.load(noise)["x"]
    pixels[6] = pixels[7]  # a held-out picture, and one that is learned from
    np.savez(tmp_path / "twins.npz", x=pixels)
    folder = written(tmp_path / "copies", pixels[[0, 1, 2, 3, 4, 5]])
    Pillow.fromarray(np.zeros((40, 40), np.uint8)).save(Path(folder) / "grid.png")
    listed = [{"file": f"elsewhere/{number:02d}.png"} for number in range(6)]
    (Path(folder) / "samples.json").write_text(json.dumps({"samples": listed}))
    found = Samples(path=folder).run(painter(), Data(path=str(tmp_path / "twins.npz")))
    assert (found.samples, found.metrics["copies"]) == (6, 1.0)


def test_perfect_samples_are_as_far_as_the_training_figure_says() -> None:
    random = np.random.default_rng(0)
    made, real, learned = (random.normal(size=(count, 16)) for count in (40, 100, 2000))
    found = compared(Features(made=made, real=real, learned=learned, like=range(40)))
    assert found["frechet_distance"] == pytest.approx(found["frechet_distance_training"], rel=0.3)


def test_samples_are_drawn_by_class(noise: Path) -> None:
    model = painter(("cat", "dog"))
    found = Samples(count=5).run(model, Data(path=str(noise)))
    assert (found.samples, found.tokens) == (5, 80)
    pictures = found.exhibits[0]
    assert isinstance(pictures, Pictures)
    assert [name for name, _ in pictures.entries] == ["000 cat", "001 dog", "002 cat", "003 dog", "004 cat"]
    assert found.metrics == Samples(count=5).run(model, Data(path=str(noise))).metrics


def test_what_cannot_be_compared(noise: Path, tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="at least 4 samples"):
        Samples(count=3)
    few = written(tmp_path / "few", np.zeros((2, 4, 4), np.uint8))
    with pytest.raises(ZooError, match="2 samples are too few"):
        Samples(path=few).run(painter(), Data(path=str(noise)))


def test_levels_of_bands() -> None:
    time = np.arange(16_000) / 16_000
    low, high = (np.sin(2 * np.pi * hertz * time).astype(np.float32) for hertz in (200, 4000))
    found = [log_mel(Audio(samples=sound, rate=16_000))[:64] for sound in (low, high)]
    assert found[0].argmax() < 10
    assert found[1].argmax() > 35


def text_file(folder: Path, sentences: int) -> Path:
    words = np.random.default_rng(0).choice(["sun", "moon", "star", "sky", "sea", "tree"], sentences * 8)
    (folder / "words.txt").write_text(" ".join(words))
    return folder / "words.txt"


def test_passages_of_text_are_compared(tmp_path: Path) -> None:
    path = text_file(tmp_path, 400)
    model, data = random_model(), Data(path=str(path))
    drawn = Samples(count=6, given=4, max_new_tokens=12)
    found = drawn.run(model, data)
    assert found.samples == 6
    assert found.metrics["longest_copy"] < found.metrics["longest_copy_held_out"]
    assert found.metrics == drawn.run(model, data).metrics
    texts = found.exhibits[0]
    assert isinstance(texts, Texts)
    held_out = path.read_text()[-path.stat().st_size // 10 :]
    assert all(given in held_out and whole.startswith(given) for given, whole in texts.entries)
    assert len({whole[len(given) :] for given, whole in texts.entries}) == 6


def test_copied_text_is_found(tmp_path: Path) -> None:
    path = text_file(tmp_path, 400)
    model, data = random_model(), Data(path=str(path))
    (tmp_path / "copies").mkdir()
    for number in range(5):
        (tmp_path / "copies" / f"{number}.txt").write_text(path.read_text()[100 * number : 100 * number + 40])
    found = Samples(path=str(tmp_path / "copies"), max_new_tokens=30).run(model, data)
    assert (found.metrics["longest_copy"], found.metrics["longest_copy_of_all"]) == (30.0, 30)
    assert found.tokens == 150


def test_what_writes_no_text_is_refused(tmp_path: Path) -> None:
    path = text_file(tmp_path, 40)
    with pytest.raises(ZooError, match="too few for four passages of 80"):
        Samples(max_new_tokens=64).run(random_model(), Data(path=str(path)))
    with pytest.raises(ZooError, match="leave data"):
        Samples().run(random_model(), Data(path=str(path), part="all"))
    few = tmp_path / "few.npz"
    np.savez(few, x=np.zeros((22, 4, 4), np.uint8))
    with pytest.raises(ZooError, match="2 samples of its held-out part are too few"):
        Samples().run(painter(), Data(path=str(few)))
    masked = TransformerConfig(vocabulary=257, context=32, width=16, depth=1, heads=2, patterns=(Dense(causal=False),))
    with pytest.raises(ZooError, match="writes no text of its own"):
        Samples().run(random_model(config=masked), Data(path=str(path)))
