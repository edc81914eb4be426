"""Logits filtered for sampling as the original Jukebox filters them: the same ids stay, with the same numbers."""

from __future__ import annotations

import json

import torch
from safetensors.torch import load_file

from tests.parity.cases import Find
from zoo.generate.logits import TopK, TopP

FILTERS = {"top_k": lambda said: TopK(int(said)), "top_p": lambda said: TopP(float(said))}


def test_every_filter(fixture_case: Find) -> None:
    numbers = load_file(fixture_case("jukebox/filter_logits.safetensors"))
    stated = json.loads(fixture_case("jukebox/filter_logits.json").read_text())["tensors"]
    logits = numbers["in/logits"][:, 0]
    cases = [name.removeprefix("out/") for name in stated if name.startswith("out/")]
    assert {case.rpartition("_")[0] for case in cases} == set(FILTERS)
    for case in cases:
        kind, _, said = case.rpartition("_")
        assert torch.equal(FILTERS[kind](said)(logits, torch.empty(len(logits), 0)), numbers[f"out/{case}"][:, 0]), case
