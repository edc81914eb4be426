"""Codecs as folders of our own format: all state comes back, damage is seen, models and codecs are told apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import zoo
from tests.weights.test_jukebox_codec import SMALL, codec_of, same
from zoo import ZooError
from zoo.model import Model
from zoo.settings import to_mapping
from zoo.tokenizers.codec import Codec
from zoo.tokenizers.codecs import build_codec
from zoo.tokenizers.image.vqvae.config import ImageVqvaeConfig
from zoo.transformer.config import TransformerConfig
from zoo.transformer.model import Transformer
from zoo.weights import codecs
from zoo.weights.tensors import named_weights


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the checkpoint of a codec of sound."""
    codec = codec_of(SMALL)
    codec.card = {"name": "small", "license": "MIT", "data": [{"name": "noise"}]}
    codec.recipe = {"name": "music/vqvae", "model": to_mapping(SMALL)}
    codecs.write(tmp_path / "small", codec)
    return tmp_path / "small"


def state_of(codec: Codec) -> dict[str, torch.Tensor]:
    return dict(named_weights(codec))


def test_everything_comes_back(folder: Path) -> None:
    codec = zoo.load_codec(folder, device="cpu")
    assert not codec.training
    same(codec_of(SMALL), codec)
    wanted = state_of(codec_of(SMALL))
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in state_of(codec).items())
    assert codec.card["license"] == "MIT"
    assert codec.recipe["name"] == "music/vqvae"
    said = json.loads((folder / "config.json").read_text())
    assert (said["family"], said["modality"], said["format"]) == ("vqvae", "music", "zoo")
    assert said["parameters"] == codec.card["parameters"] == sum(p.numel() for p in codec.parameters())
    assert not (folder / "tokenizer").exists()
    codecs.write(folder.parent / "again", codec)
    assert (folder.parent / "again" / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_a_codec_of_pictures(tmp_path: Path) -> None:
    torch.manual_seed(2)
    codec = build_codec(ImageVqvaeConfig(size=8, hop=2, codes=6, code_width=3, width=8, depth=1))
    codec.codebook(0).adopt(torch.randn(6, 3) * 0.1)
    codecs.write(tmp_path / "pictures", codec.eval())
    said = json.loads((tmp_path / "pictures" / "config.json").read_text())
    assert (said["family"], said["modality"]) == ("image_vqvae", "image")
    read = zoo.load_codec(tmp_path / "pictures", device="cpu")
    pictures = torch.rand(2, 8, 8, 3) * 2 - 1
    (ids,), (others,) = codec.encode(pictures), read.encode(pictures)
    assert torch.equal(ids, others)
    assert torch.equal(codec.decode(ids, 0), read.decode(ids, 0))


def test_names_in_the_home_folder(folder: Path, zoo_home: Path) -> None:
    codecs.write(zoo_home / "checkpoints" / "mine", zoo.load_codec(folder, device="cpu"))
    same(codec_of(SMALL), zoo.load_codec("mine", device="cpu"))


def test_models_and_codecs_are_told_apart(folder: Path, tmp_path: Path) -> None:
    config = TransformerConfig(vocabulary=7, context=4, width=8, depth=1, heads=1)
    Model(Transformer(config), None).save(tmp_path / "model")
    with pytest.raises(
        ZooError, match=r"small is a codec, which is a tokenizer and no model; use zoo\.load_codec, or tok"
    ):
        zoo.load(folder, device="cpu")
    with pytest.raises(ZooError, match=r"model is a model, no codec; use zoo\.load"):
        zoo.load_codec(tmp_path / "model", device="cpu")
    with pytest.raises(ZooError, match="no checkpoint 'nothing'"):
        zoo.load_codec("nothing")


def test_a_folder_is_not_overwritten_unasked(folder: Path) -> None:
    codec = zoo.load_codec(folder, device="cpu")
    with pytest.raises(ZooError, match="is not empty"):
        codecs.write(folder, codec)
    codecs.write(folder, codec, overwrite=True)
    same(codec_of(SMALL), zoo.load_codec(folder, device="cpu"))


@pytest.mark.parametrize("file", ["config.json", "card.yaml", "model.safetensors"])
def test_every_change_is_seen(folder: Path, file: str) -> None:
    content = bytearray((folder / file).read_bytes())
    content[-2] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(ZooError, match=r"does not match its sha256|is not valid JSON"):
        zoo.load_codec(folder, device="cpu")


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"type": "vqvae", "downs": [1, 1]}, "network"),
        ({"type": "vqvae", "codes": 1 << 60}, "codes must"),
        ({"type": "vqvae", "width": 8192, "multipliers": [1, 1, 1]}, "does not fit this network"),
        (
            {"type": "image_vqvae", "width": 1 << 14, "codes": 65_535, "code_width": 1 << 14},
            "does not fit this network",
        ),
        ({"type": "transformer"}, "unknown type 'transformer'"),
        ({"type": "vqvae", "_target_": "os.system"}, "settings never name code to run"),
    ],
)
def test_settings_that_lie(folder: Path, network: dict[str, object], message: str) -> None:
    import hashlib

    said = json.loads((folder / "config.json").read_text())
    text = json.dumps({**said, "network": network}).encode()
    (folder / "config.json").write_bytes(text)
    sums = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**sums, "config.json": hashlib.sha256(text).hexdigest()}))
    with pytest.raises(ZooError, match=message) as error:
        zoo.load_codec(folder, device="cpu")
    assert "\n" not in str(error.value)
