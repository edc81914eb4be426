"""GPT-1 and GPT-2 in their authors' own files, through ``zoo.load``, against Hugging Face's numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import zoo
from tests.parity.cases import Find, case, close
from tests.weights.tensorflow_files import write_checkpoint
from zoo.cli.main import main
from zoo.weights.arrays import NpzSource


@pytest.mark.parametrize(("name", "twin"), [("gpt1_npy", "gpt1"), ("gpt2_tfvars", "gpt2")])
def test_logits(fixture_case: Find, name: str, twin: str) -> None:
    model, numbers = case(fixture_case, name)
    close(model.logits(numbers["in/ids"]), numbers["out/logits"])
    other, expected = case(fixture_case, twin)  # the same weights
    assert torch.equal(model.logits(expected["in/ids"]), other.logits(expected["in/ids"]))
    assert model.parameters == other.parameters


def test_released_tensorflow_checkpoint(fixture_case: Find, tmp_path: Path) -> None:
    """The folder as OpenAI's: hparams.json, checkpoint, model.ckpt.index and .data, what training left included."""
    folder = fixture_case("text-image/gpt2_tfvars")
    variables = NpzSource(folder / "tf_variables.npz")
    tensors = {name: variables.read(name).numpy() for name in variables.names()}
    left = {"global_step": torch.tensor(7).numpy(), "model/wte/Adam": tensors["model/wte"]}
    write_checkpoint(tmp_path / "model.ckpt", {**tensors, **left}, shards=2)
    (tmp_path / "hparams.json").write_bytes((folder / "hparams.json").read_bytes())
    _, numbers = case(fixture_case, "gpt2_tfvars")
    for place in (tmp_path, tmp_path / "model.ckpt.index"):
        close(zoo.load(place, device="cpu").logits(numbers["in/ids"]), numbers["out/logits"])


@pytest.mark.parametrize(("name", "to"), [("gpt1", "openai"), ("gpt2", "openai"), ("gpt1_npy", "huggingface")])
def test_converted_and_back(fixture_case: Find, tmp_path: Path, name: str, to: str) -> None:
    model, numbers = case(fixture_case, name)
    assert main(["convert", str(fixture_case(f"text-image/{name}")), f"out={tmp_path / 'there'}", f"to={to}"]) == 0
    assert main(["convert", str(tmp_path / "there"), f"out={tmp_path / 'back'}"]) == 0
    for folder in ("there", "back"):
        logits = zoo.load(tmp_path / folder, device="cpu").logits(numbers["in/ids"])
        assert torch.equal(logits, model.logits(numbers["in/ids"]))
