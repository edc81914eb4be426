"""Labelled samples of every form, and one clear line where there is nothing to learn from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from zoo.data.labelled import read_labelled
from zoo.data.write_sound import write_wav
from zoo.errors import ZooError
from zoo.tokenizers.audio.waveform import Audio
from zoo.tokenizers.base import Modality


def table(folder: Path, rows: list[str], name: str = "animals.csv") -> str:
    (folder / name).write_text("text,label\n" + "\n".join(rows) + "\n")
    return str(folder / name)


def pictures(folder: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 8) -> str:
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Pillow.new("L", (4, 4), 10 * number).save(folder / name / f"{number}.png")
    return str(folder)


def test_texts_pictures_and_sounds(tmp_path: Path) -> None:
    texts = read_labelled(table(tmp_path, [f"roar {n},{'ab'[n % 2]}" for n in range(20)]), "text")
    assert texts.label_names == ("a", "b")
    assert texts[3].text == "roar 3"
    images = read_labelled(pictures(tmp_path / "images"), "image")
    assert images.label_names == ("cat", "dog")
    assert images[9].shape == (4, 4, 1)
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number in range(16):
        write_wav(folder / f"{number:02d}.wav", Audio(samples=np.zeros(100, np.float32), rate=8000))
    rows = [f"{number:02d}.wav,{['jazz', 'rock'][number % 2]}" for number in range(16)]
    (folder / "metadata.csv").write_text("file,genre\n" + "\n".join(rows) + "\n")
    sounds = read_labelled(str(folder), "music", field="genre")
    assert sounds.labels[:3] == ["jazz", "rock", "jazz"]
    assert sounds[0].rate == 8000
    with pytest.raises(ZooError, match="no column 'artist' with entries"):
        read_labelled(str(folder), "music", field="artist")
    with pytest.raises(ZooError, match="has no labels"):
        read_labelled(str(folder), "music")


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ([f"roar {n},a" for n in range(20)], "every sample is labelled 'a'; there must be two classes"),
        ([f"roar {n},{'ab'[n % 2] if n != 7 else ''}" for n in range(20)], "animals.csv:9: has no label"),
        (
            [f"roar {n},{'abc'[n % 2 if n != 6 else 2]}" for n in range(20)],
            "the label 'c' is only in the held-out part",
        ),
        (["roar,a", "tweet,b"], "2 samples are too few to hold some out"),
        ([], "has a header but no rows"),
    ],
)
def test_what_cannot_be_learned_from(tmp_path: Path, rows: list[str], line: str) -> None:
    with pytest.raises(ZooError, match=line.replace("(", r"\(")):
        read_labelled(table(tmp_path, rows), "text")


def test_other_kinds_of_data_are_named(tmp_path: Path) -> None:
    path = pictures(tmp_path / "images")
    modalities: list[tuple[Modality, str]] = [("text", "no text there"), ("music", "no sounds there")]
    for modality, line in modalities:
        with pytest.raises(ZooError, match=line):
            read_labelled(path, modality)
    write_wav(tmp_path / "images" / "meow.wav", Audio(samples=np.zeros(100, np.float32), rate=8000))
    with pytest.raises(ZooError, match=r"mixes images and sounds \('meow.wav'\); give a folder of one kind"):
        read_labelled(path, "image")
    bare = tmp_path / "flat"
    bare.mkdir()
    for number in range(8):
        Pillow.new("L", (4, 4), number).save(bare / f"{number}.png")
    with pytest.raises(ZooError, match="flat: has no labels; give a column 'label' or one folder per class"):
        read_labelled(str(bare), "image")
