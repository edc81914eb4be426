"""Jukebox's codec in others' files: the same ids and samples from each, and one line for what does not fit."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import zoo
from zoo import ZooError
from zoo.architecture import count_parameters, outlined
from zoo.tokenizers.audio.vqvae.config import VqvaeConfig
from zoo.tokenizers.audio.vqvae.network import Vqvae
from zoo.tokenizers.codecs import build_codec
from zoo.weights import jukebox_codec, jukebox_names
from zoo.weights.links import written

SMALL = VqvaeConfig(
    rate=8000, codes=12, code_width=5, width=4, depth=2, downs=(2, 1), strides=(2, 4), multipliers=(2, 1),
    hidden_ratio=1.5, dilation_growth=2, dilation_cycle=3, reverse_decoder_dilation=False,
)  # fmt: skip
HPS: dict[str, Any] = {
    "sr": 8000, "dilation_growth_rate": 2, "dilation_cycle": 3, "vqvae_reverse_decoder_dilation": False,
    "sample_length": 96,
}  # fmt: skip
HUGGING_FACE: dict[str, Any] = {
    "model_type": "jukebox_vqvae", "nb_discrete_codes": 12, "embed_dim": 5, "res_conv_width": 4, "res_conv_depth": 2,
    "res_downs_t": [2, 1], "res_strides_t": [2, 4], "multipliers": [2, 1], "res_convolution_multiplier": 2,
    "res_dilation_growth_rate": 2, "res_dilation_cycle": 3, "sampling_rate": 8000, "levels": 2, "conv_res_scale": False,
}  # fmt: skip


def codec_of(config: VqvaeConfig) -> Vqvae:
    """Return a codec with drawn weights and vectors."""
    torch.manual_seed(5)
    codec = build_codec(config)
    assert isinstance(codec, Vqvae)
    for level in range(codec.levels):
        book = codec.codebook(level)
        book.adopt(torch.randn_like(book.vectors) * 0.1, count=3.0)
    return codec.eval()


def state(codec: Vqvae, names: jukebox_names.Names = jukebox_names.ORIGINAL) -> dict[str, Tensor]:
    return {name: view.clone() for name, view in written(codec, jukebox_names.links(codec.config, names))}


def same(one: Vqvae, other: Any) -> None:
    """Assert equal settings, ids and samples."""
    assert other.config == one.config
    samples = torch.randn(2, 64, 1, generator=torch.Generator().manual_seed(1)) * 0.3
    for level, (ids, others) in enumerate(zip(one.encode(samples), other.encode(samples), strict=True)):
        assert len(ids.unique()) > 1
        assert torch.equal(ids, others)
        assert torch.equal(one.decode(ids, level), other.decode(ids, level))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_an_original_file(tmp_path: Path, zipped: bool, prefix: str) -> None:
    codec = codec_of(SMALL)
    model = {prefix + name: tensor for name, tensor in state(codec).items()}
    path = tmp_path / "checkpoint_latest.pth.tar"
    whole = {"model": model, "hps": HPS, "opt": None, "step": 9}
    torch.save(whole, path, _use_new_zipfile_serialization=zipped)
    read = zoo.load_codec(path, device="cpu")
    same(codec, read)
    assert not read.training
    assert read.card["parameters"] == count_parameters(codec)
    assert read.card["source"] == "Jukebox's own checkpoint_latest.pth.tar"
    (tmp_path / "vqvae.pth.tar").write_bytes(path.read_bytes())
    same(codec, zoo.load_codec(tmp_path, device="cpu"))


def test_codebooks_go_on_learning_as_the_original_restores_them(tmp_path: Path) -> None:
    """Only ``k`` is saved; every code gets the count that a clip of 96 samples gives it on average."""
    codec = codec_of(SMALL)
    torch.save({"model": state(codec), "hps": HPS}, tmp_path / "vqvae.pth.tar")
    read = zoo.load_codec(tmp_path / "vqvae.pth.tar", device="cpu")
    for level, count in enumerate([96 // 4 / 12, 96 // 16 / 12]):
        book = read.codebook(level)
        assert torch.equal(book.vectors, codec.codebook(level).vectors)
        assert book.counts.tolist() == [count] * 12
        assert torch.equal(book.sums, book.vectors * count)
        assert bool(book.begun)


def test_a_file_of_weights_alone_is_the_released_codec(tmp_path: Path) -> None:
    """Rate and dilations stand in no shape: without settings they are those of the released codec."""
    config = dataclasses.replace(SMALL, hidden_ratio=1.0)
    torch.save(state(codec_of(config)), tmp_path / "vqvae.pth.tar", _use_new_zipfile_serialization=False)
    wanted = dataclasses.replace(
        config, rate=44_100, dilation_growth=3, dilation_cycle=None, reverse_decoder_dilation=True
    )
    read = zoo.load_codec(tmp_path, device="cpu")
    assert read.config == wanted
    assert read.codebook(0).counts[0] == 393_216 / 4 / 12


def test_a_ratio_that_floats_miss(tmp_path: Path) -> None:
    """29 / 100 * 100 is a little less than 29, of which the next whole number below would be taken."""
    config = VqvaeConfig(
        rate=44_100, codes=4, code_width=2, width=100, depth=1, downs=(1,), strides=(2,), multipliers=(1,),
        hidden_ratio=math.nextafter(0.29, 1.0),
    )  # fmt: skip
    torch.save(state(codec_of(config)), tmp_path / "vqvae.pth.tar")
    same(codec_of(config), zoo.load_codec(tmp_path, device="cpu"))


def test_the_released_shapes(tmp_path: Path) -> None:
    """What the release's names and shapes are taken for: Jukebox's codec with 1,485,763 parameters."""
    codec = outlined(lambda: Vqvae(VqvaeConfig()))
    names = {
        name: tuple(view.shape)
        for name, view in written(codec, jukebox_names.links(VqvaeConfig(), jukebox_names.ORIGINAL))
    }
    assert len(names) == 669
    assert sum(torch.Size(shape).numel() for shape in names.values()) * 4 == 7_515_916
    assert names["encoders.0.level_blocks.0.model.0.0.weight"] == (64, 1, 4)
    assert names["encoders.2.level_blocks.1.model.2.bias"] == (64,)
    assert names["decoders.2.level_blocks.2.model.2.0.model.3.model.3.weight"] == (32, 32, 1)
    assert names["decoders.1.level_blocks.0.model.3.1.weight"] == (32, 64, 4)
    assert names["bottleneck.level_blocks.2.k"] == (2048, 64)
    torch.save({name: torch.zeros(shape) for name, shape in names.items()}, tmp_path / "vqvae.pth.tar")
    read = zoo.load_codec(tmp_path, device="cpu")
    assert read.config == VqvaeConfig()
    assert read.card["parameters"] == 1_485_763


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_hugging_face_s_old_folders(tmp_path: Path, whole: bool, file: str) -> None:
    codec = codec_of(dataclasses.replace(SMALL, hidden_ratio=2.0, reverse_decoder_dilation=True))
    tensors, settings = state(codec, jukebox_names.HUGGING_FACE), HUGGING_FACE
    if whole:
        tensors = {f"vqvae.{name}": tensor for name, tensor in tensors.items()} | {"priors.0.x": torch.ones(2)}
        own = {key: value for key, value in HUGGING_FACE.items() if key != "sampling_rate"}
        settings = {"model_type": "jukebox", "sampling_rate": 8000, "vqvae_config": own}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    if file.endswith(".bin"):
        torch.save(tensors, tmp_path / file)
    else:
        save_file(tensors, tmp_path / file)
    read = zoo.load_codec(tmp_path, device="cpu")
    same(codec, read)
    assert read.card["source"] == f"Hugging Face {settings['model_type']} layout"
    same(codec, zoo.load_codec(tmp_path / file, device="cpu"))


def test_old_folders_in_several_files(tmp_path: Path) -> None:
    codec = codec_of(dataclasses.replace(SMALL, hidden_ratio=2.0, reverse_decoder_dilation=True))
    tensors = state(codec, jukebox_names.HUGGING_FACE)
    (tmp_path / "config.json").write_text(json.dumps(HUGGING_FACE))
    files = [f"pytorch_model-0000{number}-of-00002.bin" for number in (1, 2)]
    places = {name: files[index % 2] for index, name in enumerate(tensors)}
    for file in files:
        torch.save({name: tensor for name, tensor in tensors.items() if places[name] == file}, tmp_path / file)
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    same(codec, zoo.load_codec(tmp_path, device="cpu"))
    same(codec, zoo.load_codec(index, device="cpu"))
    index.write_text(json.dumps({"weight_map": {**places, "decoders.0.out.bias": "../x.bin"}}))
    with pytest.raises(ZooError, match=r"'\.\./x\.bin' is no bin file of this folder"):
        zoo.load_codec(tmp_path, device="cpu")
    torch.save(tensors, tmp_path / files[0])
    index.write_text(json.dumps({"weight_map": places}))
    with pytest.raises(ZooError, match=r"tensor '.*' is also in pytorch_model-00001-of-00002\.bin"):
        zoo.load_codec(tmp_path, device="cpu")


def test_hugging_face_s_names() -> None:
    """As spec'd for transformers 4.40: convolutions and residual blocks of a level's block stand in one list."""
    codec = outlined(lambda: Vqvae(VqvaeConfig()))
    names = {
        name: tuple(view.shape)
        for name, view in written(codec, jukebox_names.links(codec.config, jukebox_names.HUGGING_FACE))
    }
    assert names["encoders.0.level_blocks.0.downsample_block.0.weight"] == (64, 1, 4)
    assert names["encoders.0.level_blocks.0.downsample_block.5.resnet_block.7.conv1d_2.weight"] == (64, 64, 1)
    assert names["encoders.2.level_blocks.2.proj_out.weight"] == (64, 32, 3)
    assert names["decoders.2.level_blocks.0.proj_in.weight"] == (32, 64, 3)
    assert names["decoders.2.level_blocks.2.upsample_block.0.resnet_block.3.conv1d_1.bias"] == (32,)
    assert names["decoders.2.level_blocks.2.upsample_block.3.weight"] == (32, 64, 4)
    assert names["decoders.1.out.weight"] == (1, 64, 3)
    assert names["bottleneck.level_blocks.1.codebook"] == (2048, 64)


def test_written_as_the_original_and_read_again(tmp_path: Path) -> None:
    codec = codec_of(SMALL)
    jukebox_codec.write(tmp_path, codec)
    same(codec, zoo.load_codec(tmp_path, device="cpu"))
    said = torch.load(tmp_path / "vqvae.pth.tar", weights_only=True)  # as the original program does, but for the pickle
    assert set(said) == {"model", "hps"}
    assert {name: tuple(tensor.shape) for name, tensor in said["model"].items()} == {
        name: tuple(tensor.shape) for name, tensor in state(codec).items()
    }
    assert said["hps"]["hvqvae_multipliers"] == (2, 1)


def changed(name: str, tensor: Tensor | None) -> dict[str, Tensor]:
    tensors = state(codec_of(SMALL))
    if tensor is None:
        del tensors[name]
    else:
        tensors[name] = tensor
    return tensors


@pytest.mark.parametrize(
    ("model", "hps", "message"),
    [
        (changed("bottleneck.level_blocks.0.k", None), HPS, "'bottleneck.level_blocks.0.k' is missing, so this is not"),
        ({"prior.x_emb.weight": torch.ones(2, 2)}, HPS, "it is a prior's file"),
        (changed("encoders.1.level_blocks.1.model.0.0.weight", torch.ones(2)), HPS, "is (2,), so this is not"),
        (changed("encoders.0.level_blocks.0.model.0.0.weight", torch.ones(9, 1, 4)), HPS, "does not fit this network"),
        (changed("decoders.0.out.bias", None), HPS, "does not fit this network: missing 'decoders.0.out.bias'"),
        (changed("decoders.0.out.bias", torch.ones(2)), HPS, "'decoders.0.out.bias' is (2,), not (1,)"),
        (changed("decoders.9.out.bias", torch.ones(2)), HPS, "unexpected 'decoders.9.out.bias'"),
        (changed("decoders.0.out.bias", torch.tensor([torch.nan])), HPS, "NaN or infinite"),
        (changed("bottleneck.level_blocks.0.k", torch.ones(1 << 21, 1)), HPS, "codes must"),
        (changed("x", torch.ones(1)), {"sr": "fast"}, "hps.sr is no number"),
        (changed("x", torch.ones(1)), {"sr": torch.ones(1)}, "hps.sr is no number"),
        (changed("x", torch.ones(1)), {"sr": 1.5}, "hps.sr: expected a whole number"),
        (changed("x", torch.ones(1)), {"sr": 3}, "rate must be 1000"),
        (changed("x", torch.ones(1)), {"sample_length": 0}, "sample_length must be 1 or more"),
        (changed("x", torch.ones(1)), {"dilation_cycle": -1}, "dilation_cycle must be at least 1"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, model: dict[str, Tensor], hps: dict[str, Any], message: str) -> None:
    torch.save({"model": model, "hps": hps}, tmp_path / "vqvae.pth.tar", _use_new_zipfile_serialization=False)
    with pytest.raises(ZooError, match=re.escape(message)) as error:
        zoo.load_codec(tmp_path / "vqvae.pth.tar", device="cpu")
    assert "\n" not in str(error.value)
    assert "vqvae.pth.tar" in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"conv_res_scale": True}, "conv_res_scale is not supported"),
        ({"conv_input_shape": 2}, "conv_input_shape 2 is not supported"),
        ({"res_downs_t": [3, 2]}, "does not fit this network"),
        ({"res_downs_t": [2, 1, 1]}, "strides must have one number for each"),
        ({"nb_discrete_codes": 1 << 40}, "is larger than any model's"),
        ({"multipliers": "two"}, "multipliers: expected a list"),
        ({"model_type": "jukebox"}, "does not fit this network"),
        ({"model_type": "jukebox", "vqvae_config": 3}, "vqvae_config holds no settings"),
        ({"model_type": "jukebox_prior"}, "model_type 'jukebox_prior' is not one of"),
    ],
)
def test_folders_that_do_not_fit(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(HUGGING_FACE | settings))
    save_file(
        state(codec_of(dataclasses.replace(SMALL, hidden_ratio=2.0)), jukebox_names.HUGGING_FACE),
        tmp_path / "model.safetensors",
    )
    with pytest.raises(ZooError, match=re.escape(message)) as error:
        zoo.load_codec(tmp_path, device="cpu")
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)
