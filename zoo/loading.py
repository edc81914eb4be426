"""From a checkpoint's name to a model, on its device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from zoo import settings
from zoo.architecture import AnyNetwork, NetworkConfig, build_network
from zoo.errors import ZooError, suggest
from zoo.model import Model
from zoo.paths import find_checkpoint
from zoo.weights import folder as folders
from zoo.weights.tensors import load_weights

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""What weights may be held and computed in."""


def choose_device(name: str) -> torch.device:
    """Return the device called ``name``; ``auto`` is the GPU if there is one.

    Raises:
        ZooError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ZooError(f"device: '{name}' is not available here; use device=auto or device=cpu") from None
    return torch.device(name)


def load(name_or_path: str | Path, *, device: str = "auto", dtype: str = "float32") -> Model:
    """Load a checkpoint; see ``zoo.load``."""
    if dtype not in DTYPES:
        raise ZooError(f"dtype: {dtype!r} is not possible{suggest(str(dtype), DTYPES)}")
    place = choose_device(device)
    checkpoint = folders.read(find_checkpoint(name_or_path))
    tokenizer = checkpoint.tokenizer()
    where = str(checkpoint.folder / "config.json")
    config: NetworkConfig = settings.build(NetworkConfig, checkpoint.config["network"], f"{where}: network")
    network = _load_network(config, checkpoint.tensors(), where)
    network.to(device=place, dtype=DTYPES[dtype])
    return Model(network, tokenizer, card=checkpoint.card, recipe=checkpoint.recipe)


def _load_network(config: NetworkConfig, tensors: Mapping[str, Tensor], where: str) -> AnyNetwork:
    """Return the network with its weights; memory is taken only once the settings are known to fit them."""
    if config.depth > len(tensors):
        raise ZooError(f"{where}: depth {config.depth} does not fit {len(tensors)} tensors; get the checkpoint again")
    try:
        with torch.device("meta"):
            network = build_network(config)
    except (TypeError, RuntimeError, OverflowError):  # sizes beyond what a tensor can have
        raise ZooError(f"{where}: these settings make no network; get the checkpoint again") from None
    load_weights(network, tensors, where)  # nothing is copied yet: this compares names and shapes
    network.to_empty(device="cpu")
    load_weights(network, tensors, where)
    return network
