"""Every form of labelled data, on checkpoints of each modality."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import soundfile
import torch
from PIL import Image

from tests.cli.conftest import Zoo
from zoo.architecture import build_network
from zoo.model import Model
from zoo.tokenizers.audio.mu_law import MuLawTokenizer
from zoo.tokenizers.image.gray_levels import GrayLevelsTokenizer
from zoo.tokenizers.text.byte import ByteTokenizer
from zoo.transformer.config import TransformerConfig

LEARN = ("head=classification", "train.steps=40", "train.learning_rate=3e-3", "threads=1", "generative=0")


def save(model: Model, name: str) -> str:
    model.save(name)
    return name


def of_pictures() -> Model:
    torch.manual_seed(0)
    tokenizer = GrayLevelsTokenizer(levels=4, rows=4, columns=4)
    config = TransformerConfig(
        vocabulary=tokenizer.spec.vocabulary_size, output_vocabulary=4, context=16, width=16, depth=1, heads=2,
        tied=False,
    )  # fmt: skip
    return Model(build_network(config), tokenizer, card={"name": "pictures"})


def of_sounds() -> Model:
    torch.manual_seed(0)
    tokenizer = MuLawTokenizer(levels=16, rate=1000)
    config = TransformerConfig(vocabulary=16, context=64, width=16, depth=1, heads=2)
    return Model(build_network(config), tokenizer, card={"name": "sounds"})


def of_texts() -> Model:
    torch.manual_seed(0)
    tokenizer = ByteTokenizer()
    config = TransformerConfig(vocabulary=tokenizer.spec.vocabulary_size, context=32, width=16, depth=1, heads=2)
    return Model(build_network(config), tokenizer, card={"name": "texts"})


def picture(bright: bool, number: int) -> np.ndarray:
    noise = np.random.default_rng(number).integers(0, 60, (4, 4))
    return (noise + 180 * bright).astype(np.uint8)


def arrays(count: int) -> tuple[np.ndarray, np.ndarray]:
    return np.stack([picture(n % 2 == 1, n) for n in range(count)]), np.arange(count) % 2


def test_pictures_in_every_form(zoo: Zoo, tmp_path: Path) -> None:
    checkpoint = save(of_pictures(), "pictures")
    x, y = arrays(66)
    np.savez("flat.npz", x=x, y=y)
    np.savez("parts.npz", x_train=x[:44], y_train=y[:44], x_test=x[44:], y_test=y[44:])
    for number in range(66):
        folder = Path("classes", ("dark", "light")[int(y[number])])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(x[number]).save(folder / f"{number:02}.png")
    Path("idx").mkdir()
    for part, rows in (("train", slice(0, 44)), ("t10k", slice(44, 66))):
        head = np.array([2051, len(x[rows]), 4, 4], dtype=">i4").tobytes()
        Path(f"idx/{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + x[rows].tobytes()))
        head = np.array([2049, len(x[rows])], dtype=">i4").tobytes()
        Path(f"idx/{part}-labels-idx1-ubyte").write_bytes(head + y[rows].astype(np.uint8).tobytes())
    for path, held_out in (("flat.npz", 6), ("parts.npz", 22), ("classes", 6), ("idx", 22)):
        done = zoo("finetune", checkpoint, f"data.path={path}", f"out=from-{path}", *LEARN, "--json")
        assert done.code == 0, done.err
        assert (done.document["samples"], done.document["metrics"]["accuracy"]) == (held_out, 1.0)
    rows = zoo("classify", "from-classes", "classes", "--json").document["rows"]
    assert [row["label"] for row in rows] == ["dark"] * 33 + ["light"] * 33
    assert rows[0]["input"] == "classes/dark/00.png"
    rows = zoo("classify", "from-flat.npz", "flat.npz", "classes/light/01.png", "--json").document["rows"]
    assert len(rows) == 67
    assert (rows[0]["input"], rows[-1]["label"]) == ("flat.npz:0", "1")


def test_sounds_with_a_table_beside_them(zoo: Zoo) -> None:
    checkpoint = save(of_sounds(), "sounds")
    Path("clips").mkdir()
    lines = ["file,label,genre"]
    for number in range(44):
        loud = number % 2
        time = np.arange(40 + number % 5) / 1000
        soundfile.write(f"clips/{number:02}.wav", (0.05 + 0.8 * loud) * np.sin(2 * np.pi * 40 * time), 1000)
        lines.append(f"{number:02}.wav,{('soft', 'loud')[loud]},{('folk', 'rock')[loud]}")
    Path("clips/metadata.csv").write_text("\n".join(lines) + "\n")
    done = zoo("finetune", checkpoint, "data.path=clips", "out=by-label", *LEARN, "pool=mean", "--json")
    assert done.code == 0, done.err
    assert done.document["metrics"]["accuracy"] == 1.0
    assert zoo("classify", "by-label", "clips/01.wav", "--json").document["rows"][0]["label"] == "loud"
    done = zoo("finetune", checkpoint, "data.path=clips", "data.label=genre", "out=by-genre", *LEARN, "--json")
    assert [one["label"] for one in done.document["classes"]] == ["folk", "rock"]


def test_texts_in_class_folders_and_renamed_columns(zoo: Zoo) -> None:
    checkpoint = save(of_texts(), "texts")
    rows = []
    for number in range(44):
        side = number % 2
        folder = Path("texts-by-class", ("down", "up")[side])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:02}.txt").write_text(f"{('low', 'high')[side]} {number % 3}\n")
        rows.append({"body": f"{('low', 'high')[side]} {number % 3}", "side": side})
    Path("rows.jsonl.gz").write_bytes(gzip.compress("\n".join(json.dumps(row) for row in rows).encode()))
    Path("rows.tsv").write_text("body\tside\n" + "".join(f"{row['body']}\t{row['side']}\n" for row in rows))
    names = ("data.columns.text=body", "data.columns.label=side")
    for path, words in (("texts-by-class", ()), ("rows.jsonl.gz", names), ("rows.tsv", names)):
        done = zoo("finetune", checkpoint, f"data.path={path}", f"out=from-{path}", *LEARN, *words, "--json")
        assert done.code == 0, done.err
        assert done.document["metrics"]["accuracy"] == 1.0
    done = zoo("classify", "from-rows.tsv", "rows.tsv", "data.columns.text=body", "--json")
    assert [row["label"] for row in done.document["rows"][:4]] == ["0", "1", "0", "1"]


def test_texts_that_are_too_long_are_cut_and_counted(zoo: Zoo) -> None:
    checkpoint = save(of_texts(), "texts")
    rows = [f"{('low', 'high')[n % 2]}{' and so on' * (n % 4)},{n % 2}" for n in range(44)]
    Path("rows.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    done = zoo("finetune", checkpoint, "data.path=rows.csv", "out=run", *LEARN)
    assert done.code == 0, done.err
    assert "11 of 44 are longer than 32 tokens: the end of those is left out" in " ".join(done.err.split())


def test_uneven_labels_are_said_and_can_be_balanced(zoo: Zoo) -> None:
    checkpoint = save(of_texts(), "texts")
    rows = [f"word {n},{'rare' if n % 10 in (0, 6) and n % 3 == 0 else 'often'}" for n in range(110)]
    Path("rows.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    done = zoo("finetune", checkpoint, "data.path=rows.csv", "out=run", *LEARN)
    assert "'often' has " in done.err
    assert "balance=true" in done.err
    done = zoo("finetune", checkpoint, "data.path=rows.csv", "out=even", *LEARN, "balance=true")
    assert done.code == 0
    assert "balance=true weighs" not in done.err


def test_an_empty_label_is_one_line(zoo: Zoo) -> None:
    checkpoint = save(of_texts(), "texts")
    rows = [json.dumps({"text": "low", "label": ("", "plain")[n % 2]}) for n in range(44)]
    Path("rows.jsonl").write_text("\n".join(rows) + "\n")
    done = zoo("finetune", checkpoint, "data.path=rows.jsonl", "out=run", *LEARN)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "rows.jsonl:1: has no label" in done.err
    assert not Path("run").exists()


def test_a_model_of_one_kind_refuses_data_of_another(zoo: Zoo) -> None:
    texts, pictures = save(of_texts(), "texts"), save(of_pictures(), "pictures")
    x, y = arrays(22)
    np.savez("some.npz", x=x, y=y)
    Path("mixed/a").mkdir(parents=True)
    Path("mixed/b").mkdir()
    for number in range(8):
        Image.fromarray(x[number]).save(f"mixed/{'ab'[number % 2]}/{number}.png")
        soundfile.write(f"mixed/{'ab'[number % 2]}/{number}.wav", np.zeros(40), 1000)
    for words, message in (
        ((texts, "data.path=some.npz"), "expected text, but '.npz' files are arrays"),
        ((pictures, "data.path=mixed"), "mixes images and sounds"),
        ((pictures, "data.path=some.npz", "head=pair"), "head=pair reads texts, and pictures makes image"),
        ((pictures, "data.path=absent"), "absent: no such file or folder"),
    ):
        done = zoo("finetune", *words, "out=run", *LEARN[1:], *(() if words[-1] == "head=pair" else LEARN[:1]))
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), done.err
        assert message in done.err
        assert not Path("run").exists()
