"""GPT-3's layout: GPT-2's blocks with a band mask on every other layer, both ways round."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import zoo
from tests.parity.cases import Find, close


@pytest.mark.parametrize("name", ["dense_first", "banded_first", "all_dense"])
@torch.no_grad()
def test_banded_layers(fixture_case: Find, tmp_path: Path, name: str) -> None:
    source = fixture_case("text-image/gpt3_banded")
    numbers = load_file(source / "reference.safetensors")
    band = {"type": "banded", "window": int(numbers["in/band"])}
    folder = tmp_path / "gpt3"
    shutil.copytree(source, folder)
    settings: dict[str, Any] = json.loads((folder / "config.json").read_text())
    patterns = {"dense_first": ["dense", band], "banded_first": [band, "dense"], "all_dense": ["dense"]}[name]
    (folder / "config.json").write_text(json.dumps({**settings, "model_type": "gpt3", "patterns": patterns}))
    model, ids = zoo.load(folder, device="cpu"), numbers["in/ids"]
    expected = numbers[f"out/logits_{name}"]
    close(model.logits(ids), expected)
    cache = model.network.new_cache(ids.shape[0])
    parts = [model.network(ids[:, :5], cache=cache)]
    parts += [model.network(ids[:, t : t + 1], cache=cache) for t in range(5, ids.shape[1])]
    close(torch.cat(parts, dim=1), expected)


def test_a_plain_folder_is_dense(fixture_case: Find) -> None:
    folder = fixture_case("text-image/gpt3_banded")
    numbers = load_file(folder / "reference.safetensors")
    close(zoo.load(folder, device="cpu").logits(numbers["in/ids"]), numbers["out/logits_all_dense"])
