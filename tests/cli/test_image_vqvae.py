"""``image_vqvae`` on the command line: a codec trained by itself or on the spot, and what models make of its codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.cli.conftest import Zoo
from zoo.cli.main import main
from zoo.loading import load
from zoo.weights.folder import read

SPOT = ("tokenizer=image_vqvae", "tokenizer.steps=10", "tokenizer.width=8", "tokenizer.codes=16")
FEW = ("size=tiny", "train.steps=4", "train.evaluate_every=0")


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint of a codec that has seen a few digits."""
    out = tmp_path_factory.mktemp("codec") / "codec"
    assert main(["train", "image/vqvae", "size=tiny", "train.steps=10", f"out={out}"]) == 0
    return out


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, codec: Path) -> Path:
    """Return a checkpoint of a network that has read a few codes."""
    out = tmp_path_factory.mktemp("model") / "model"
    words = ["train", "image/digits", "tokenizer=image_vqvae", f"tokenizer.path={codec}", *FEW, f"out={out}"]
    assert main(words) == 0
    return out


def test_a_codec_trains_and_says_how_its_codes_are_used(zoo: Zoo) -> None:
    done = zoo("train", "image/vqvae", "size=tiny", "train.steps=10", "train.log_every=5", "out=codec", "--json")
    assert done.code == 0, done.err
    metrics = done.document["metrics"]
    assert {"loss", "pixels", "commitment", "quantization_rmse", "codebook_usage"} <= metrics.keys()
    assert "bits_per_dimension" not in metrics
    assert 0 < metrics["quantization_rmse"] < 255
    first, *_ = [json.loads(line) for line in Path("codec/metrics.jsonl").read_text().splitlines()]
    assert {"usage", "used_now", "entropy", "dead", "restarts"} <= first.keys()


def test_a_codec_that_stops_ends_with_the_same_bits(zoo: Zoo) -> None:
    words = ("train", "image/vqvae", "size=tiny", "train.schedule=constant", "data.type=digits")
    assert zoo(*words, "train.steps=8", "out=whole").code == 0
    assert zoo(*words, "train.steps=3", "out=cut").code == 0
    again = zoo(*words, "train.steps=8", "out=cut", "resume=true", "--json")
    assert again.document["step"] == 8
    assert Path("cut/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()


def test_a_codec_learns_from_any_folder(zoo: Zoo) -> None:
    Path("in").mkdir()
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Pillow.fromarray(pixels).save(f"in/{number}.jpg")
    words = ("size=folder", "model.width=8", "model.codes=16", "data.path=in", "train.steps=2", "train.batch=2")
    done = zoo("train", "image/vqvae", *words, "out=codec", "--json")
    assert done.code == 0, done.err
    assert zoo("train", "image/vqvae", *words, "model.hop=5", "out=other").err.endswith(
        "zoo: error: model: hop must be a power of two from 2 to 64, got 5\n"
    )
    assert not Path("other").exists()


def test_a_codec_and_its_tokenizer_state_the_same_error(codec: Path, model: Path) -> None:
    of_codec, of_model = (read(folder).card["metrics"]["quantization_rmse"] for folder in (codec, model))
    assert of_codec == pytest.approx(of_model, rel=0.002)  # the tokenizer rounds to whole gray levels, too


def test_models_of_codes_state_what_they_are_comparable_in(model: Path) -> None:
    metrics = load(model).card["metrics"]
    assert metrics["bits_per_dimension"] is None
    assert metrics["bits_per_pixel"] == pytest.approx(metrics["nats_per_image"] / np.log(2) / 64)
    assert metrics["quantization_rmse"] > 0
    assert metrics["nats_per_image"] == pytest.approx(16 * metrics["loss"])


def test_people_are_told_what_compares(zoo: Zoo, codec: Path) -> None:
    words = ("tokenizer=image_vqvae", f"tokenizer.path={codec}", *FEW)
    said = zoo("train", "image/digits", *words, "out=told").err
    assert "4 steps of 8 x 16 tokens" in said
    assert "  bits per dimension  not defined\n" in said
    assert "no published ones compare with this model" in said


def test_pictures_are_drawn_and_completed(zoo: Zoo, model: Path) -> None:
    drawn = zoo("generate", model, "label=all", "count=2", "out=drawn", "--json")
    assert drawn.code == 0, drawn.err
    assert all(len(sample["ids"]) == 16 for sample in drawn.document["samples"])
    assert Pillow.open("drawn/000.png").size == (8, 8)
    done = zoo("generate", model, "image=drawn/000.png", "keep_rows=4", "count=3", "out=completed", "--json")
    assert done.code == 0, done.err
    known = load(model).tokenizer.encode(Pillow.open("drawn/000.png")).tolist()
    assert all(sample["ids"][:8] == known[:8] for sample in done.document["samples"])
    assert Path("completed/sheet.png").exists()
    for rows, message in ((3, "give a multiple of 2, say 2, not 3"), (10, "must lie in [0, 8]")):
        bad = zoo("generate", model, "image=drawn/000.png", f"keep_rows={rows}", "out=bad")
        assert (bad.code, len(bad.err.splitlines())) == (2, 1)
        assert message in bad.err
        assert not Path("bad").exists()


def test_the_checkpoint_needs_no_codec_beside_it(model: Path, codec: Path) -> None:
    assert {path.name for path in (model / "tokenizer").iterdir()} == {"spec.json", "codec.json", "codec.safetensors"}
    assert str(codec) not in (model / "tokenizer" / "codec.json").read_text()


def test_a_run_goes_on_with_its_own_tokenizer(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = zoo("train", "image/digits", *SPOT, *FEW, "out=whole", "--json")
    assert whole.code == 0, whole.err
    assert zoo("train", "image/digits", *SPOT, *FEW, "train.steps=2", "train.schedule=constant", "out=cut").code == 0
    again = zoo("train", "image/digits", *SPOT, *FEW, "train.schedule=constant", "out=cut", "resume=true", "--json")
    assert again.code == 0, again.err
    prints = {json.loads(Path(out, "tokenizer/spec.json").read_text())["fingerprint"] for out in ("whole", "cut")}
    assert len(prints) == 1
    fits: list[int] = []
    monkeypatch.setattr("zoo.tokenizers.image.vqvae.fit.train", lambda *some, **more: fits.append(1))
    more = zoo("train", "image/digits", *SPOT, *FEW, "train.steps=6", "out=whole", "resume=true")
    assert more.code == 0, more.err
    assert not fits
    other = zoo("train", "image/digits", *SPOT[:-1], "tokenizer.codes=8", *FEW, "out=cut", "resume=true")
    assert fits == [1]
    assert other.code != 0  # the tokenizer of this test's train is none


def test_other_settings_of_the_tokenizer_are_refused_when_going_on(zoo: Zoo) -> None:
    assert zoo("train", "image/digits", *SPOT, *FEW, "out=run").code == 0
    done = zoo(
        "train", "image/digits", *SPOT[:-1], "tokenizer.codes=8", *FEW, "train.steps=6", "out=run", "resume=true"
    )
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "resume with the same, or start in another out=DIR" in done.err


@pytest.mark.slow
def test_tokenizers_of_pictures_side_by_side(zoo: Zoo) -> None:
    words = ("tokenizer=gray_levels,pixel_clusters,image_vqvae", "size=tiny", "train.steps=20", "--json")
    done = zoo("compare", "image/digits", *words)
    assert done.code == 0, done.err
    rows = {row["tokenizer"]: row["metrics"] for row in done.document["rows"]}
    assert rows["gray_levels"]["bits_per_dimension"] > 4
    assert rows["image_vqvae"]["bits_per_dimension"] is None
    assert rows["pixel_clusters"]["quantization_rmse"] < 1 < rows["image_vqvae"]["quantization_rmse"] < 25
