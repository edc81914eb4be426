"""Changes of low rank to matrices that stay as they are (LoRA, Hu et al. 2021, section 4.1).

A change is a parametrization of the weight itself, so layers, caches and samplers know nothing of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from zoo.architecture import AnyNetwork, layers_of
from zoo.errors import ZooError
from zoo.finetune.growing import with_head
from zoo.model import Model
from zoo.settings import build, tag
from zoo.transformer.heads import Head
from zoo.weights.files import make_writable, read_json, write_file
from zoo.weights.tensors import named_weights, read_tensors, write_tensors

INSIDE = ".parametrizations.weight"
ORIGINAL, DOWN, UP = (f"{INSIDE}.{name}" for name in ("original", "0.down", "0.up"))
READ = ("both_orders", "context")
"""What a card and an adapter say of how samples are read."""
WEIGHTS, SETTINGS = "adapter_model.safetensors", "adapter_config.json"


class LowRank(nn.Module):
    """``weight + scale * up @ down``; ``up`` begins at zero, so nothing changes at first.

    Args:
        weight: (out, in).
        rank: columns of ``up`` (out, rank), rows of ``down`` (rank, in).
        scale: of the change.
    """

    def __init__(self, weight: Tensor, *, rank: int, scale: float) -> None:
        super().__init__()
        self.down = nn.Parameter(weight.new_empty(rank, weight.shape[1]))
        self.up = nn.Parameter(weight.new_zeros(weight.shape[0], rank))
        self.scale = scale
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight (out, in)."""
        return weight + self.scale * (self.up @ self.down)


def insert(network: AnyNetwork, *, rank: int, scale: float) -> None:
    """Give every matrix of the blocks a change that learns, drawn from torch's generator.

    Raises:
        ZooError: the network has no matrices to change.
    """
    matrices = [module for module in layers_of(network).modules() if isinstance(module, nn.Linear)]
    if not matrices:
        raise ZooError("method=lora changes linear layers, and a recurrent network has none; use method=full")
    torch.manual_seed(0)  # what is drawn must be the same in a run that goes on
    for module in matrices:
        change = LowRank(module.weight, rank=rank, scale=scale)
        parametrize.register_parametrization(module, "weight", change)


def remove(network: nn.Module) -> None:
    """Put all changes into their matrices for good."""
    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)


def merged(weights: Mapping[str, Tensor], *, scale: float) -> dict[str, Tensor]:
    """Return weights by their plain names, with the changes in them."""
    plain: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if name.endswith(ORIGINAL):
            own = name.removesuffix(ORIGINAL)
            plain[f"{own}.weight"] = weight + scale * (weights[own + UP] @ weights[own + DOWN])
        elif INSIDE not in name:
            plain[name] = weight
    return plain


def save(folder: Path, weights: Mapping[str, Tensor], settings: Mapping[str, Any], learnt: set[str]) -> None:
    """Write what was learnt apart from the checkpoint that it changes.

    Args:
        folder: made if it is missing.
        weights: of the network with its changes.
        settings: rank, scale, and the checkpoint that this belongs to.
        learnt: names of the weights that learnt: the changes, and the head.
    """
    make_writable(folder)
    names = {name: name.replace(f"{INSIDE}.0.", ".") for name in weights if name in learnt}
    write_tensors(folder / WEIGHTS, {plain: weights[name] for name, plain in names.items()})
    write_file(folder / SETTINGS, [json.dumps(dict(settings), indent=1).encode()])


@torch.no_grad()
def apply(model: Model, folder: Path | str) -> None:
    """Put what ``save`` wrote into the checkpoint that it was learnt on: the changes into its matrices, and its head.

    Args:
        model: that checkpoint, with or without the head; changed in place. Of a stack of music, its ``reader``.
        folder: of the adapter.

    Raises:
        ZooError: no adapter, or one for another network; the model is as it was.
    """
    folder = Path(folder)
    facts = read_json(folder / SETTINGS)
    stated = facts.get("scale")
    scale = stated if isinstance(stated, float) else 0.0
    tensors = read_tensors(folder / WEIGHTS)
    weights = named_weights(model.network)
    pairs = {name.removesuffix(".up"): name for name in tensors if name.endswith(".up")}
    fits = scale > 0 and all(
        f"{name}.weight" in weights
        and f"{name}.down" in tensors
        and weights[f"{name}.weight"].shape == (tensors[f"{name}.up"].shape[0], tensors[f"{name}.down"].shape[1])
        for name in pairs
    )
    if not fits:
        raise ZooError(f"{folder} does not fit this model; apply it to the checkpoint that it was learnt on")
    if facts.get("head") is not None:
        head: Head = build(Head, facts["head"], f"{folder / SETTINGS}: head")
        model.network = with_head(model.network, head).eval()
        model.config, model.head = model.network.config, str(facts.get("head_name") or tag(type(head)))
        told = {name: facts[name] for name in READ if facts.get(name)}
        model.card = {name: value for name, value in model.card.items() if name not in READ} | told
        model.card["head"] = model.head
        weights = named_weights(model.network)
    for name in pairs:
        weights[f"{name}.weight"] += scale * (tensors[f"{name}.up"] @ tensors[f"{name}.down"])
    for name in tensors:
        if not name.endswith((".up", ".down")):
            weights[name].copy_(tensors[name])
