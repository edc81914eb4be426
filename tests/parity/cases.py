"""What the parity tests share: a fixture as a loaded model with its numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

import zoo
from zoo.model import Model

Find = Callable[[str], Path]
Numbers = dict[str, Tensor]


def case(find: Find, name: str) -> tuple[Model, Numbers]:
    """Return the model in ``text-image/NAME`` through the front door, and its ``in/*`` and ``out/*``."""
    folder = find(f"text-image/{name}")
    return zoo.load(folder, device="cpu"), load_file(folder / "reference.safetensors")


def stated(find: Find, name: str) -> dict[str, Any]:
    """Return what the config.json of ``text-image/NAME`` says."""
    found: dict[str, Any] = json.loads((find(f"text-image/{name}") / "config.json").read_text())
    return found


def close(actual: Tensor, expected: Tensor, mask: Tensor | None = None) -> None:
    """Compare within the fixtures' tolerance, where ``mask`` (batch, time) is 1."""
    if mask is not None:
        actual, expected = actual[mask.bool()], expected[mask.bool()]
    torch.testing.assert_close(actual, expected, atol=2e-4, rtol=1e-4)


def next_loss(logits: Tensor, ids: Tensor) -> Tensor:
    """Return the mean loss in nats of each id given those before it."""
    return functional.cross_entropy(logits[..., :-1, :].flatten(0, -2), ids[..., 1:].flatten())


def hidden_states(model: Model, numbers: Numbers, mask: Tensor | None = None, **conditions: Tensor) -> None:
    """Compare every layer's states."""
    states = model.hidden_states(numbers["in/ids"], mask=mask, conditions=conditions)
    assert len(states) == sum(name.startswith("out/hidden.") for name in numbers)
    for layer, state in enumerate(states):
        close(state, numbers[f"out/hidden.{layer}"], mask)


def greedy(model: Model, expected: Tensor, prompt: int, mask: Tensor | None = None) -> None:
    """Compare ids drawn greedily after the first ``prompt`` columns, with and without a cache."""
    for cache in (True, False):
        drawn = model.generate_ids(
            expected[:, :prompt], mask=mask, temperature=0, max_new_tokens=expected.shape[1] - prompt, cache=cache
        )
        assert torch.equal(drawn, expected)
