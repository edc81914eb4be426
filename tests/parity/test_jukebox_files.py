"""Files of Jukebox's codec, as its own program writes them: the same codes and samples once they are loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import zoo


@pytest.mark.parametrize("case", ["vqvae_3level_lmix", "vqvae_2level_l2_small"])
@pytest.mark.parametrize("zipped", [False, True])
def test_codes_and_samples_of_a_file(
    fixture_case: Callable[[str], Path], tmp_path: Path, case: str, zipped: bool
) -> None:
    tensors = load_file(fixture_case(f"jukebox/{case}.safetensors"))
    hps = json.loads(fixture_case(f"jukebox/{case}.json").read_text())["hps"]
    model = {f"module.{name[2:]}": tensor for name, tensor in tensors.items() if name.startswith("w/")}
    path = tmp_path / "vqvae.pth.tar"
    torch.save({"hps": hps, "model": model, "opt": None, "step": 1}, path, _use_new_zipfile_serialization=zipped)
    codec = zoo.load_codec(path, device="cpu")
    assert codec.config.rate == hps["sr"]
    assert codec.config.downs == tuple(hps["downs_t"])
    assert codec.levels == hps["levels"]
    for level, ids in enumerate(codec.encode(tensors["in/x"])):
        assert torch.equal(ids, tensors[f"out/z_l{level}"])
        torch.testing.assert_close(codec.decode(ids, level), tensors[f"out/dec_l{level}"], atol=1e-5, rtol=0)
