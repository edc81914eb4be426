"""``zoo generate`` with pictures: files, grids by class, sheets of completions, and everything that can be wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from tests.cli.conftest import Zoo
from tests.faults.test_image_fuzz import bomb, on_linux
from zoo.cli.main import main
from zoo.cli.sheet import BLANK
from zoo.loading import load
from zoo.model import Model
from zoo.tokenizers.image.gray_levels import GrayLevelsTokenizer
from zoo.transformer.config import TransformerConfig
from zoo.transformer.model import Transformer
from zoo.transformer.patterns import Dense

SIDE = 8
ROOT = Path(__file__).resolve().parents[2]
NASTY = "a,b 'c' {e=f} <script> 日.png"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint that has seen a few digits, and to which their classes mean much."""
    out = tmp_path_factory.mktemp("digits") / "digits"
    assert main(["train", "image/digits", "size=tiny", "train.steps=40", "train.evaluate_every=0", f"out={out}"]) == 0
    model = load(out)
    assert isinstance(model.network, Transformer)
    assert model.network.embedding.classes is not None
    model.network.embedding.classes.weight.data.normal_(generator=torch.Generator().manual_seed(0))
    model.save(out, overwrite=True)
    return out


@pytest.fixture(scope="module")
def inpainter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint that sees both sides of a pixel."""
    torch.manual_seed(0)
    config = TransformerConfig(
        vocabulary=4, context=SIDE**2, width=16, depth=1, heads=2, tied=False, patterns=(Dense(causal=False),)
    )
    out = tmp_path_factory.mktemp("inpainter") / "both"
    Model(Transformer(config), GrayLevelsTokenizer(levels=4, rows=SIDE, columns=SIDE)).save(out)
    return out


@pytest.fixture
def pictures(zoo: Zoo) -> Path:
    """Return a folder with three pictures, one of them with a name that no grammar may trip over."""
    folder = Path("in")
    folder.mkdir()
    for seed, name in enumerate(("a.png", "b.jpg", NASTY)):
        pixels = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Pillow.fromarray(pixels).save(folder / name)
    return folder


def pixels(path: str | Path) -> np.ndarray:
    return np.asarray(Pillow.open(path))


def test_pictures_go_into_files(zoo: Zoo, digits: Path) -> None:
    done = zoo("generate", digits, "count=3", "out=there", "seed=5", "--json")
    assert done.code == 0, done.err
    assert done.err == ""
    assert json.loads(Path("there/samples.json").read_text()) == done.document
    samples = done.document["samples"]
    assert [list(sample) for sample in samples] == [["index", "seed", "prompt", "file", "ids"]] * 3
    assert [(sample["index"], sample["seed"], sample["prompt"]) for sample in samples] == [
        (0, 5, ""), (1, 6, ""), (2, 7, ""),
    ]  # fmt: skip
    model = load(digits)
    expected = model.generate(count=3, seed=5)
    for index, (sample, picture) in enumerate(zip(samples, expected, strict=True)):
        assert Path(sample["file"]) == Path(f"there/{index:03d}.png")
        with Pillow.open(sample["file"]) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "L", (SIDE, SIDE))
            assert image.tobytes() == picture.tobytes() == model.tokenizer.decode(sample["ids"]).tobytes()
    assert sorted(os.listdir("there")) == ["000.png", "001.png", "002.png", "grid.png", "samples.json"]
    assert done.document["grid"] == "there/grid.png"


def test_people_are_told_where_and_how_large(zoo: Zoo, digits: Path) -> None:
    done = zoo("generate", digits)
    assert done.out == "outputs/images/grid.png\n"
    assert done.err == ("1 picture of 8 x 8 pixels in outputs/images; on the sheets they are enlarged 14 times\n")
    grid = pixels("outputs/images/grid.png")
    assert grid.shape[2] == 3
    first = pixels("outputs/images/000.png")
    enlarged = grid[16 : 16 + 14 * SIDE, 16 : 16 + 14 * SIDE]
    assert np.array_equal(enlarged[..., 0], first.repeat(14, axis=0).repeat(14, axis=1))


def test_a_row_for_every_class(zoo: Zoo, digits: Path) -> None:
    words = ("generate", digits, "seed=3", "guidance=2", "--json")
    every = zoo(*words, "label=all", "count=2", "out=all").document["samples"]
    assert [(sample["prompt"], sample["seed"]) for sample in every] == [
        (str(number), seed) for number in range(10) for seed in (3, 4)
    ]
    seven = zoo(*words, "label=7", "count=2", "out=seven").document["samples"]
    assert [sample["ids"] for sample in seven] == [sample["ids"] for sample in every[14:16]]
    expected = load(digits).draw(count=2, conditions={"label": "7"}, guidance=2.0, seed=3)
    assert [sample["ids"] for sample in seven] == [one.ids.tolist() for one in expected]
    grid = pixels("all/grid.png")
    left = grid.shape[1] - 16 - 2 * 112 - 6
    for place, sample in enumerate(every):
        row, column = divmod(place, 2)
        y, x = 16 + row * 118, left + column * 118
        assert np.array_equal(grid[y : y + 112 : 14, x : x + 112 : 14, 0], pixels(sample["file"]))
    assert (grid[16 : 16 + 112, :left] < 128).any()  # the title of the first row


def test_guidance_and_labels_change_the_pictures(zoo: Zoo, digits: Path) -> None:
    drawn = {
        name: zoo("generate", digits, *words, f"out={name}", "--json").document["samples"][0]["ids"]
        for name, words in {"none": (), "seven": ("label=7",), "more": ("label=7", "guidance=9")}.items()
    }
    assert len({tuple(ids) for ids in drawn.values()}) == 3


def test_completions_keep_the_top_and_stand_beside_the_original(zoo: Zoo, digits: Path, pictures: Path) -> None:
    done = zoo("generate", digits, f"image={pictures}", "keep_rows=3", "count=2", "out=out", "--json")
    assert done.code == 0, done.err
    samples = done.document["samples"]
    assert [Path(sample["prompt"]).name for sample in samples] == sorted(["a.png", "b.jpg", NASTY] * 2)
    assert [sample["seed"] for sample in samples] == [0, 1] * 3
    model = load(digits)
    for sample in samples:
        whole = model.tokenizer.encode(Pillow.open(sample["prompt"]).convert("RGB")).tolist()
        assert sample["ids"][: 3 * SIDE] == whole[: 3 * SIDE]
        assert len(sample["ids"]) == SIDE**2
        assert sample["ids"] != whole
    sheet = pixels("out/sheet.png")
    top, first = 16 + 15 + 12, (16, 16 + 118 + 18, 16 + 2 * 118 + 18, 16 + 3 * 118 + 2 * 18)
    for row, begin in enumerate(range(0, 6, 2)):
        tiles = [sheet[top + row * 118 :, x:][:112:14, :112:14] for x in first]
        original = np.asarray(model.tokenizer.decode(model.tokenizer.encode(Pillow.open(samples[begin]["prompt"]))))
        assert np.array_equal(tiles[0][:3, :, 0], original[:3])
        assert (tiles[0][3:] == BLANK).all()
        for tile, sample in zip(tiles[1:3], samples[begin : begin + 2], strict=True):
            assert np.array_equal(tile[..., 0], pixels(sample["file"]))
        assert np.array_equal(tiles[3][..., 0], original)
    alone = zoo("generate", digits, f"image={pictures / 'b.jpg'}", "keep_rows=3", "out=alone", "--json").document
    assert alone["samples"][0]["prompt"] == str(pictures / "b.jpg")
    assert alone["samples"][0]["ids"] == samples[2 + 2 * (sorted(["a.png", "b.jpg", NASTY]).index("b.jpg") - 1)]["ids"]


@pytest.mark.parametrize(("rows", "kept"), [(None, 4), (0, 0), (7, 7), (8, 8)])
def test_how_many_rows_are_kept(zoo: Zoo, digits: Path, pictures: Path, rows: int | None, kept: int) -> None:
    word = [] if rows is None else [f"keep_rows={rows}"]
    done = zoo("generate", digits, f"image={pictures / 'a.png'}", *word, "--json", "out=out")
    assert done.code == 0, done.err
    ids = done.document["samples"][0]["ids"]
    whole = load(digits).tokenizer.encode(Pillow.open(pictures / "a.png")).tolist()
    assert len(ids) == SIDE**2
    assert ids[: kept * SIDE] == whole[: kept * SIDE]
    assert (ids == whole) == (kept == SIDE)
    if kept == 0:
        assert ids == zoo("generate", digits, "--json").document["samples"][0]["ids"]


def test_a_glob_and_labels_for_each_picture(zoo: Zoo, digits: Path, pictures: Path) -> None:
    done = zoo("generate", digits, f"image={pictures}/*.jpg", "label=all", "out=out", "--json")
    assert [sample["label"] for sample in done.document["samples"]] == [str(number) for number in range(10)]
    assert {sample["prompt"] for sample in done.document["samples"]} == {str(pictures / "b.jpg")}
    assert list(done.document["samples"][0]) == ["index", "seed", "prompt", "label", "file", "ids"]


def test_pictures_that_are_missing_are_drawn_and_others_kept(zoo: Zoo, digits: Path) -> None:
    words = ("generate", digits, "label=3", "--json")
    whole = zoo(*words, "count=4", "out=whole").document["samples"]
    zoo(*words, "count=2", "out=grown")
    before = Path("grown/000.png").stat().st_mtime_ns
    Path("grown/001.png").unlink()
    refused = zoo(*words, "count=4", "out=grown")
    assert refused.code == 2
    assert "grown/samples.json is there already; add resume=true, overwrite=true" in refused.err
    grown = zoo(*words, "count=4", "out=grown", "resume=true").document["samples"]
    assert [sample["ids"] for sample in grown] == [sample["ids"] for sample in whole]
    assert Path("grown/000.png").stat().st_mtime_ns == before
    assert Path("grown/001.png").read_bytes() == Path("whole/001.png").read_bytes()
    other = zoo(*words, "count=4", "out=grown", "resume=true", "label=4")
    assert "was drawn with label='3', not '4'" in other.err
    assert zoo(*words, "count=1", "out=grown", "overwrite=true").code == 0
    assert sorted(os.listdir("grown")) == ["000.png", "grid.png", "samples.json"]


def test_stopped_in_the_middle_it_goes_on(zoo: Zoo, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.cli.pictures.AT_ONCE", 3)
    words = ("generate", digits, "label=all", "count=2", "seed=4", "--json")
    whole = zoo(*words, "out=whole").document["samples"]
    real, calls = Model.draw, []

    def draw(self: Model, *prompts: object, **settings: object) -> object:
        calls.append(settings)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(self, *prompts, **settings)

    monkeypatch.setattr(Model, "draw", draw)
    assert zoo(*words, "out=half").code == 130
    there = json.loads(Path("half/samples.json").read_text())["samples"]
    assert len(there) == 6
    assert sorted(path.name for path in Path("half").glob("0*.png")) == [f"{index:03d}.png" for index in range(6)]
    monkeypatch.setattr(Model, "draw", real)
    resumed = zoo(*words, "out=half", "resume=true").document["samples"]
    assert [sample["ids"] for sample in resumed] == [sample["ids"] for sample in whole]
    assert [sample["seed"] for sample in resumed] == [4, 5] * 10


def test_hidden_pixels_are_drawn_and_others_kept(zoo: Zoo, inpainter: Path, pictures: Path) -> None:
    hole = np.zeros((SIDE, SIDE), dtype=np.uint8)
    hole[2:6, 3:5] = 255
    Pillow.fromarray(hole).save("hole.png")
    words = ("generate", inpainter, f"image={pictures / 'a.png'}", "count=3", "--json")
    model = load(inpainter)
    whole = model.tokenizer.encode(Pillow.open(pictures / "a.png")).numpy().reshape(SIDE, SIDE)
    for name, word, hidden in (("mask", "mask=hole.png", hole > 0), ("rows", "keep_rows=5", np.arange(64) >= 40)):
        done = zoo(*words, word, f"out={name}")
        assert done.code == 0, done.err
        hidden = hidden.reshape(SIDE, SIDE)
        drawn = np.array([sample["ids"] for sample in done.document["samples"]]).reshape(3, SIDE, SIDE)
        assert (drawn[:, ~hidden] == whole[~hidden]).all()
        assert len({tuple(row[hidden]) for row in drawn}) == 3
        shown = pixels(f"{name}/sheet.png")[43:, 16:][:112:14, :112:14]
        assert np.array_equal((shown == BLANK).all(axis=2), hidden)
    assert zoo(*words, "repetition_penalty=2", "out=no").err.endswith("leave out repetition_penalty\n")


def test_a_label_that_the_model_does_not_know(zoo: Zoo, digits: Path, inpainter: Path) -> None:
    refused = zoo("generate", digits, "label=cat", "out=no")
    assert (refused.code, refused.out, len(refused.err.splitlines())) == (2, "", 1)
    assert refused.err.endswith("(unknown=ok asks for no label)\n")
    assert not Path("no").exists()
    done = zoo("generate", digits, "label=cat", "unknown=ok", "count=2", "out=cat", "--json")
    assert done.code == 0
    assert "was not told of the label 'cat'" in done.err
    plain = zoo("generate", digits, "count=2", "out=plain", "--json")
    ids = [[sample["ids"] for sample in one.document["samples"]] for one in (done, plain)]
    assert ids[0] == ids[1]
    assert all("label" not in sample for sample in done.document["samples"])
    again = zoo("generate", digits, "label=cat", "unknown=ok", "count=3", "out=cat", "resume=true", "--json")
    assert [sample["ids"] for sample in again.document["samples"]][:2] == ids[0]
    known = zoo("generate", digits, "label=7", "unknown=ok", "out=known", "--json")
    assert known.document["samples"][0]["prompt"] == "7"
    assert known.err == ""
    guided = zoo("generate", digits, "label=cat", "unknown=ok", "guidance=2", "out=guided")
    assert (guided.code, Path("guided").exists()) == (2, False)
    none = zoo("generate", inpainter, "label=cat", "out=none")
    assert (none.code, none.err) == (
        2, "zoo: error: label: this model was told of no labels, got 'cat' (unknown=ok asks for no label)\n"
    )  # fmt: skip
    assert zoo("generate", inpainter, "label=cat", "unknown=ok", "out=none").code == 0
    assert "'maybe'" in zoo("generate", digits, "label=1", "unknown=maybe").err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("label=11",), "unknown label '11'; did you mean '1'?"),
        (("label=cat",), "unknown label 'cat'; choose one of: 0, 1, 2"),
        (("label=1,2",), "unknown label '1,2'"),
        (("guidance=2",), "compares pictures with a label to those without; say label=NAME, for example label=0"),
        (("label=1", "guidance=-1"), "guidance: must be 0"),
        (("label=1", "guidance=nan"), "guidance: must be a number, got nan"),
        (("keep_rows=2",), "keep_rows: says what is kept of a picture; say which with image=FILE"),
        (("mask=in/a.png",), "mask: says what is kept of a picture; say which with image=FILE"),
        (("image=in/a.png", "keep_rows=9"), "keep_rows: must lie in [0, 8], the rows of this model's pictures, got 9"),
        (("image=in/a.png", "keep_rows=-1"), "keep_rows: must be 0 or more, got -1"),
        (("image=in/a.png", "keep_rows=half"), "keep_rows: expected a whole number, got 'half'"),
        (("image=in/a.png", "mask=in/a.png"), "mask: this model draws from the top down; give keep_rows instead"),
        (("image=in/a.png", "mask=in/a.png", "keep_rows=1"), "give keep_rows= or mask=, not both"),
        (("image=",), "image is empty; name a file, a folder or a glob"),
        (("image=in/c.png",), "in/c.png: no such file or folder"),
        (("image=in/*.gif",), "in/*.gif: no files match"),
        (("image=broken.png",), "broken.png: not a readable image"),
        (("image=in/a.png", "mask=broken.png"), "broken.png: not a readable image"),
        (("image=words",), "no images there, only .txt"),
        (("prompt=A seven",), "prompt: belongs to models of text; this one makes pictures: image=FILE completes one"),
        (("show=probabilities",), "show: belongs to models of text"),
        (("stop=x",), "stop: belongs to models of text"),
        (("beams=2", "count=3"), "count: 3 samples from beams=2"),
        (("count=0",), "count must be at least 1"),
        (("max_new_tokens=0",), "a picture has 1 to 64 ids"),
        (("temperature=-1",), "temperature: must be 0"),
    ],
)  # fmt: skip
def test_bad_input(zoo: Zoo, digits: Path, pictures: Path, words: tuple[str, ...], message: str) -> None:
    Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    Path("words").mkdir()
    Path("words/a.txt").write_text("a")
    before = sorted(os.listdir())
    done = zoo("generate", digits, *words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert sorted(os.listdir()) == before


def test_models_of_text_make_no_pictures(zoo: Zoo, checkpoint: Path, pictures: Path) -> None:
    for word, whose in ((f"image={pictures / 'a.png'}", "pictures"), ("label=7", "pictures or music")):
        done = zoo("generate", checkpoint, word)
        assert (done.code, done.out) == (2, "")
        assert f"belongs to models of {whose}, and this one makes text; leave it out" in done.err
    assert "this model knows no labels" in zoo("generate", checkpoint, "guidance=2").err


def test_a_folder_with_something_in_it_is_left_alone(zoo: Zoo, digits: Path) -> None:
    Path("mine").mkdir()
    Path("mine/000.png").write_text("mine")
    done = zoo("generate", digits, "out=mine")
    assert done.code == 2
    assert "mine/000.png is there already" in done.err
    Path("file").write_text("")
    assert "cannot write file/000.png" in zoo("generate", digits, "out=file").err
    shutil.rmtree("mine")
    assert zoo("generate", digits, "out=mine").code == 0
    Path("mine/samples.json").write_text('{"samples": [{"ids": ["a"]}], "settings": {}}')
    for document in ('{"samples": [{"ids": ["a"]}], "settings": {}}', "{", '{"samples": 3}'):
        Path("mine/samples.json").write_text(document)
        assert zoo("generate", digits, "out=mine", "resume=true").err.count("\n") == 1


@on_linux
def test_pictures_are_checked_before_torch_is_there(zoo: Zoo, digits: Path, pictures: Path) -> None:
    """A decompression bomb is refused in one line and stays under 500 MB."""
    Path("bomb.png").write_bytes(bomb(30_000, 30_000))
    code = (
        "import re, sys; from pathlib import Path; from zoo.cli.main import main\n"
        "code = main(sys.argv[1:]); assert 'torch' not in sys.modules\n"
        "print(code, re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1])"
    )
    words = ["generate", str(digits), "image=bomb.png"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=environment)
    assert "bomb.png" in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    code, memory = done.stdout.split()
    assert code == "2"
    assert int(memory) < 500_000
