"""From a checkpoint's name to a model or a codec, on its device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from zoo.architecture import count_parameters
from zoo.errors import ZooError, suggest
from zoo.model import Model
from zoo.settings import tag
from zoo.tokenizers.codec import Codec
from zoo.weights.formats import open_path
from zoo.weights.hub import Found, locate
from zoo.weights.opened import Opened, OpenedCodec

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
    opened = open_checkpoint(name_or_path)
    network = opened.network(place, DTYPES[dtype])
    card = {"parameters": count_parameters(network), **opened.card}
    return Model(network, opened.tokenizer, card=card, recipe=opened.recipe, head=opened.head)


def load_codec(name_or_path: str | Path, *, device: str = "auto") -> Codec:
    """Load a codec; see ``zoo.load_codec``."""
    place = choose_device(device)
    opened = open_found(locate(name_or_path))
    if isinstance(opened, Opened):
        raise ZooError(f"{name_or_path} is a model, no codec; use zoo.load")
    return opened.codec(place)


def open_checkpoint(name_or_path: str | Path) -> Opened:
    """Find a model's checkpoint and open it, whatever its format: ours, Hugging Face's, or its authors' own files.

    Raises:
        ZooError: nothing has that name, or what has it is no checkpoint, or a codec's.
    """
    opened = open_found(locate(name_or_path))
    if isinstance(opened, OpenedCodec):
        kind = tag(type(opened.config))
        raise ZooError(
            f"{name_or_path} is a codec, which is a tokenizer and no model; use zoo.load_codec, "
            f"or tokenizer={kind} tokenizer.path={name_or_path}"
        )
    return opened


def open_found(found: Found) -> Opened | OpenedCodec:
    """Open a checkpoint that has been found, a model's or a codec's, with what is known of it besides."""
    opened = open_path(found.path)
    return replace(opened, card={**opened.card, **found.card})
