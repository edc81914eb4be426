"""Jukebox in one folder, as its own program and as Hugging Face keep it: a stack that plays, with names from tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import zoo
from tests.parity.cases import Find
from tests.parity.test_jukebox_huggingface import settings
from zoo.errors import ZooError
from zoo.music.config import PriorConfig
from zoo.music.names import Whole, Words
from zoo.stack.model import Stack
from zoo.weights.jukebox_names import HUGGING_FACE, ORIGINAL, links
from zoo.weights.jukebox_prior_names import hugging_face

FIXTURE = "jukebox/e2e_ancestral_3level"


class Saved:
    """The fixture's numbers, and its parts as the original's files."""

    def __init__(self, find: Find) -> None:
        self.numbers = load_file(find(f"{FIXTURE}.safetensors"))
        self.facts: dict[str, Any] = json.loads(find(f"{FIXTURE}.json").read_text())

    def weights(self, part: str) -> dict[str, Tensor]:
        start = f"w/{part}/"
        return {key[len(start) :]: value for key, value in self.numbers.items() if key.startswith(start)}

    def originals(self, folder: Path, levels: tuple[int, ...] = (2, 1, 0)) -> Path:
        torch.save({"hps": self.facts["vqvae_hps"], "model": self.weights("vqvae")}, folder / "vqvae.pth.tar")
        for level in levels:
            state = {"hps": self.facts["prior_hps"][level], "model": self.weights(f"prior{level}")}
            torch.save(state, folder / f"prior_level_{level}.pth.tar")
        return folder

    def tables(self, folder: Path, version: str, level: int) -> Path:
        """Write tables with as many lines as the priors of a level have numbers."""
        genres, artists = self.facts["prior_hps"][level]["y_bins"]
        for kind, count in (("artist", artists), ("genre", genres)):
            lines = [
                f"{kind} {number};{number}" if version == "v3" else f"{kind}_{number};{number}"
                for number in range(count)
            ]
            (folder / f"{version}_{kind}_ids.txt").write_text("\n".join(lines))
        return folder


@pytest.fixture
def saved(fixture_case: Find) -> Saved:
    return Saved(fixture_case)


def weights(stack: Stack) -> list[dict[str, Tensor]]:
    return [tier.load().state_dict() for tier in stack.tiers]


def test_openai_s_files_in_one_folder_are_a_stack(saved: Saved, tmp_path: Path) -> None:
    stack = zoo.load(saved.originals(tmp_path), device="cpu")
    assert isinstance(stack, Stack)
    assert stack.levels == (2, 1, 0)
    assert stack.rate == saved.facts["vqvae_hps"]["sr"]
    codec = zoo.load_codec(tmp_path, device="cpu")
    assert codec.levels == 3
    assert torch.equal(codec.codebook(1).vectors, saved.weights("vqvae")["bottleneck.level_blocks.1.k"])
    stack.save(tmp_path / "ours")
    again = zoo.load(tmp_path / "ours", device="cpu")
    assert isinstance(again, Stack)
    for one, other in zip(weights(stack), weights(again), strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_its_coarsest_levels_alone(saved: Saved, tmp_path: Path) -> None:
    stack = zoo.load(saved.originals(tmp_path, (2, 1)), device="cpu")
    assert isinstance(stack, Stack)
    assert stack.levels == (2, 1)
    (tmp_path / "prior_level_1.pth.tar").rename(tmp_path / "prior_level_0.pth.tar")
    with pytest.raises(ZooError, match=r"prior_level_1\.pth\.tar is missing"):
        zoo.load(tmp_path, device="cpu")


def test_names_are_those_of_the_tables_beside_it(saved: Saved, tmp_path: Path) -> None:
    saved.originals(tmp_path)
    saved.tables(tmp_path, "v3", 2)
    saved.tables(tmp_path, "v2", 1)
    stack = zoo.load(tmp_path, device="cpu")
    assert isinstance(stack, Stack)
    found = [tier.config.labels for tier in stack.tiers]
    styles = [labels.names.style for labels in found if labels is not None and labels.names is not None]
    assert styles == [Whole(), Words(), Words()]
    top, middle = (tier.config for tier in stack.tiers[:2])
    for config in (top, middle):
        assert config.labels is not None
        assert config.labels.names is not None
        assert config.labels.names.artist("Artist 2") == 2
    assert top.labels is not None
    assert top.labels.artists == saved.facts["prior_hps"][2]["y_bins"][1]
    stack.save(tmp_path / "ours")
    again = zoo.load(tmp_path / "ours", device="cpu")
    assert isinstance(again, Stack)
    assert [tier.config.labels for tier in again.tiers] == found
    for kind in ("artist", "genre"):
        (tmp_path / f"v3_{kind}_ids.txt").write_text("nobody;0")
        (tmp_path / f"v2_{kind}_ids.txt").write_text("nobody;0")
    with pytest.raises(ZooError, match=r"is told \d+ artists and \d+ genres, and the tables in .* have 1 and 1"):
        zoo.load(tmp_path, device="cpu")


def test_hugging_face_s_whole_folder_is_the_same_stack(saved: Saved, tmp_path: Path) -> None:
    originals = tmp_path / "originals"
    originals.mkdir()
    original = zoo.load(saved.originals(originals), device="cpu")
    codec = zoo.load_codec(originals, device="cpu")
    names = dict(zip(_names(codec, ORIGINAL), _names(codec, HUGGING_FACE), strict=True))
    tensors = {f"vqvae.{names[key]}": value.clone() for key, value in saved.weights("vqvae").items() if key in names}
    for place, level in enumerate((2, 1, 0)):
        for key, value in saved.weights(f"prior{level}").items():
            tensors[f"priors.{place}.{hugging_face(key)}"] = value.clone()
    folder = tmp_path / "theirs"
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    stated = {
        "model_type": "jukebox",
        "sampling_rate": saved.facts["vqvae_hps"]["sr"],
        "vqvae_config": _codec_settings(saved.facts["vqvae_hps"]),
        "prior_config_list": [_prior_settings(saved.facts, level) for level in (2, 1, 0)],
    }
    (folder / "config.json").write_text(json.dumps(stated))
    theirs = zoo.load(folder, device="cpu")
    assert isinstance(original, Stack)
    assert isinstance(theirs, Stack)
    assert theirs.levels == (2, 1, 0)
    assert [_shape(tier.config) for tier in theirs.tiers] == [_shape(tier.config) for tier in original.tiers]
    for one, other in zip(weights(original), weights(theirs), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def _shape(config: PriorConfig) -> tuple[object, ...]:
    return config.transformer, config.labels, config.above


def _prior_settings(facts: dict[str, Any], level: int) -> dict[str, Any]:
    stated = settings(facts["prior_hps"][level], facts["align"] if level == 2 else None)
    return {key: value for key, value in stated.items() if value is not None}


def _names(codec: Any, layout: Any) -> list[str]:
    return [name for link in links(codec.config, layout) for name in link.theirs]


def _codec_settings(hps: dict[str, Any]) -> dict[str, Any]:
    return {
        "nb_discrete_codes": hps["l_bins"],
        "embed_dim": hps["emb_width"],
        "res_conv_width": hps["width"],
        "res_conv_depth": hps["depth"],
        "res_convolution_multiplier": hps["m_conv"],
        "res_dilation_growth_rate": hps["dilation_growth_rate"],
        "res_dilation_cycle": hps["dilation_cycle"],
        "res_downs_t": hps["downs_t"],
        "res_strides_t": hps["strides_t"],
        "multipliers": hps["hvqvae_multipliers"] or [1] * hps["levels"],
        "lmu": hps["l_mu"],
    }
