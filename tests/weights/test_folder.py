"""The checkpoint folder: what is written is what is read, and its form is the contract's."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from torch import Tensor

from tests.train import small
from zoo.errors import ZooError
from zoo.tokenizers.base import Tokenizer, TokenSpec
from zoo.weights.files import files_below
from zoo.weights.folder import dump_yaml, read, read_yaml, write
from zoo.weights.tensors import load_weights, named_weights, read_tensors, write_tensors


class Letters(Tokenizer[str]):
    """A tokenizer double that saves two files."""

    @property
    def spec(self) -> TokenSpec:
        return TokenSpec(type="letters", modality="text", vocabulary_size=11, lossless=True, fingerprint="ab" * 32)

    def encode(self, sample: str) -> Tensor:
        return torch.tensor([ord(letter) - 97 for letter in sample])

    def decode(self, ids: Tensor) -> str:
        return "".join(chr(97 + int(index)) for index in ids)

    def save(self, folder: Path | str) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "spec.json").write_text(json.dumps(dataclasses.asdict(self.spec)))
        (Path(folder) / "letters.json").write_text("[]")


CARD: dict[str, Any] = {"name": "counting", "data": [{"name": "numbers", "license": "CC0-1.0"}], "note": "ä: #, ok"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    contents = dataclasses.replace(small.contents(**CARD), tokenizer=Letters())
    write(tmp_path / "one" / "checkpoint", contents, named_weights(small.network()))
    return tmp_path / "one" / "checkpoint"


def test_a_folder_has_the_files_and_keys_of_the_contract(folder: Path) -> None:
    assert files_below(folder) == [
        "card.yaml", "config.json", "manifest.json", "model.safetensors", "recipe.yaml", "tokenizer/letters.json",
        "tokenizer/spec.json",
    ]  # fmt: skip
    config = json.loads((folder / "config.json").read_text())
    assert {name: config[name] for name in ("format", "format_version", "family", "modality", "parameters")} == {
        "format": "zoo",
        "format_version": 1,
        "family": "transformer",
        "modality": "text",
        "parameters": sum(parameter.numel() for parameter in small.network().parameters()),
    }
    assert set(json.loads((folder / "manifest.json").read_text())) == set(files_below(folder)) - {"manifest.json"}
    assert yaml.safe_load((folder / "card.yaml").read_text()) == {"parameters": config["parameters"], **CARD}


def test_what_is_written_is_what_is_read(folder: Path) -> None:
    checkpoint = read(folder)
    assert checkpoint.config["network"] == json.loads(json.dumps(small.contents().network))
    assert checkpoint.recipe == {"name": "text/counting"}
    assert checkpoint.card["note"] == "ä: #, ok"
    weights = named_weights(small.network())
    tensors = checkpoint.tensors()
    assert set(tensors) == set(weights)
    assert all(torch.equal(tensors[name], weight) for name, weight in weights.items())


def test_a_folder_that_is_there_is_replaced_only_on_request(folder: Path) -> None:
    other = named_weights(small.network(1))
    with pytest.raises(ZooError, match="overwrite=true"):
        write(folder, small.contents(), other)
    write(folder, small.contents(), other, overwrite=True)
    assert torch.equal(read(folder).tensors()["final_norm.weight"], other["final_norm.weight"])


def test_hugging_face_folders_and_later_versions_are_told_apart(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(ZooError, match="not of this project's format"):
        read(folder)
    (folder / "config.json").write_text('{"format": "zoo", "format_version": 2}')
    with pytest.raises(ZooError, match="format_version 2; this program reads 1"):
        read(folder)
    with pytest.raises(ZooError, match="is no folder"):
        read(folder / "nowhere")


def test_a_recipe_that_would_be_refused_later_is_refused_before_training() -> None:
    with pytest.raises(ZooError, match="'_target_' is refused"):
        dataclasses.replace(small.contents(), recipe={"model": {"_target_": "x"}})


@pytest.mark.parametrize(
    "text", ["${oc.env:HOME}", r"\${oc.env:HOME}", r"\\${x}", "a${${b}:c}", "${", r"\$ {x}: \\", "O {God}: 'a' = $5"]
)
def test_what_people_write_is_text_to_any_reader(tmp_path: Path, text: str) -> None:
    value = {"command": text, "data": [{"name": text}], text: 1}
    (tmp_path / "card.yaml").write_bytes(dump_yaml(value))
    assert read_yaml(tmp_path / "card.yaml") == value
    settings = OmegaConf.load(tmp_path / "card.yaml")
    assert (settings.command, settings.data[0].name) == (text, text)


@pytest.mark.parametrize("text", [r"\\${oc.env:HOME}", r"\${${oc.env:HOME}}", r"\${x}${oc.env:HOME}"])
def test_a_backslash_hides_no_interpolation(tmp_path: Path, text: str) -> None:
    (tmp_path / "card.yaml").write_text(f"name: {text}")
    with pytest.raises(ZooError, match="is refused: settings are never looked up elsewhere"):
        read_yaml(tmp_path / "card.yaml")


@pytest.mark.parametrize(
    "dtype",
    [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.uint8, torch.bool],
)
def test_tensors_of_every_kind_survive(tmp_path: Path, dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(0)
    tensors = {
        "matrix": torch.randint(0, 2, (3, 5), generator=draw).to(dtype),
        "turned": torch.randint(0, 2, (4, 2), generator=draw).to(dtype).T,
        "number": torch.ones((), dtype=dtype),
        "none": torch.zeros(0, 3, dtype=dtype),
        "odd one out": torch.ones(3, dtype=torch.uint8),
    }
    write_tensors(tmp_path / "x.safetensors", tensors)
    back = read_tensors(tmp_path / "x.safetensors")
    assert set(back) == set(tensors)
    for name, tensor in tensors.items():
        assert back[name].dtype == tensor.dtype
        assert torch.equal(back[name], tensor)


def test_weights_that_do_not_fit_are_all_named_and_none_is_loaded() -> None:
    network = small.network()
    before = {name: weight.clone() for name, weight in named_weights(network).items()}
    tensors = {name: torch.zeros_like(weight) for name, weight in before.items()}
    tensors["more"] = torch.zeros(1)
    del tensors["final_norm.bias"]
    tensors["final_norm.weight"] = torch.zeros(3)
    problems = "missing 'final_norm.bias', unexpected 'more', 'final_norm.weight' is (3,), not (8,)"
    with pytest.raises(ZooError) as error:
        load_weights(network, tensors, "x")
    assert str(error.value) == f"x does not fit this network: {problems}"
    assert all(torch.equal(weight, before[name]) for name, weight in named_weights(network).items())
