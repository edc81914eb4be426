"""The core against Hugging Face's GPT-2: plain, and with a band mask on every other layer (GPT-3's layout)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from zoo.transformer.model import Transformer
from zoo.transformer.patterns import AnyPattern, Banded, Dense
from zoo.weights import gpt2

Case = Callable[[str], Path]


def load(folder: Path, patterns: tuple[AnyPattern, ...] = (Dense(),)) -> Transformer:
    config = gpt2.config(json.loads((folder / "config.json").read_text()))
    model = Transformer(dataclasses.replace(config, patterns=patterns)).eval()
    model.load_state_dict(gpt2.tensors(load_file(folder / "model.safetensors")))
    return model


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("case", ["gpt2", "gpt2_hubnames"])
@torch.no_grad()
def test_logits_and_hidden_states(fixture_case: Case, case: str) -> None:
    folder = fixture_case(f"text-image/{case}")
    # The same weights under other names: only the first case states hidden states.
    reference = load_file(fixture_case("text-image/gpt2") / "reference.safetensors")
    model = load(folder)
    close(model(reference["in/ids"]), reference["out/logits"])
    states = model.hidden_states(reference["in/ids"])
    assert len(states) == sum(name.startswith("out/hidden.") for name in reference)
    for layer, state in enumerate(states):
        close(state, reference[f"out/hidden.{layer}"])


@torch.no_grad()
def test_greedy_ids_through_the_cache(fixture_case: Case) -> None:
    folder = fixture_case("text-image/gpt2")
    reference = load_file(folder / "reference.safetensors")
    model, expected = load(folder), reference["out/greedy"]
    prompt = int((reference["in/ids"] == expected[:, : reference["in/ids"].shape[1]]).all(0).sum())
    cache = model.new_cache(expected.shape[0])
    logits = model(expected[:, :prompt], cache=cache)[:, -1:]
    drawn = []
    for _ in range(expected.shape[1] - prompt):
        drawn.append(logits.argmax(-1))
        logits = model(drawn[-1], cache=cache)
    assert torch.equal(torch.cat(drawn, dim=1), expected[:, prompt:])


@pytest.mark.parametrize("case", ["dense_first", "banded_first", "all_dense"])
@torch.no_grad()
def test_banded_layers(fixture_case: Case, case: str) -> None:
    folder = fixture_case("text-image/gpt3_banded")
    reference = load_file(folder / "reference.safetensors")
    band = Banded(window=int(reference["in/band"]))
    patterns = {"dense_first": (Dense(), band), "banded_first": (band, Dense()), "all_dense": (Dense(),)}[case]
    model, ids = load(folder, patterns), reference["in/ids"]
    expected = reference[f"out/logits_{case}"]
    close(model(ids), expected)
    cache = model.new_cache(ids.shape[0])
    parts = [model(ids[:, :5], cache=cache)]
    parts += [model(ids[:, t : t + 1], cache=cache) for t in range(5, ids.shape[1])]
    close(torch.cat(parts, dim=1), expected)
