"""From a checkpoint's name to a model or a codec, on its device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from zoo.architecture import count_parameters
from zoo.errors import ZooError, suggest
from zoo.model import Model
from zoo.settings import tag
from zoo.stack.model import Stack
from zoo.tokenizers.codec import Codec
from zoo.weights.formats import open_path
from zoo.weights.hub import Found, locate
from zoo.weights.opened import Opened, OpenedCodec
from zoo.weights.stack import OpenedStack

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
    found = open_found(locate(name_or_path))
    if isinstance(found, OpenedStack):
        return Stack.of(found, device=place, dtype=DTYPES[dtype])
    opened = _model(name_or_path, found)
    network = opened.network(place, DTYPES[dtype])
    card = {"parameters": count_parameters(network), **opened.card}
    return Model(network, opened.tokenizer, card=card, recipe=opened.recipe, head=opened.head)


def load_codec(name_or_path: str | Path, *, device: str = "auto") -> Codec:
    """Load a codec, or a stack's; see ``zoo.load_codec``."""
    place = choose_device(device)
    opened = open_found(locate(name_or_path))
    if isinstance(opened, Opened):
        raise ZooError(f"{name_or_path} is a model, no codec; use zoo.load")
    return (opened.codec if isinstance(opened, OpenedStack) else opened).codec(place)


def open_checkpoint(name_or_path: str | Path) -> Opened:
    """Find a model's checkpoint and open it, whatever its format: ours, Hugging Face's, or its authors' own files.

    Raises:
        ZooError: nothing has that name, or what has it is no checkpoint, or a codec's.
    """
    return _model(name_or_path, open_found(locate(name_or_path)))


def _model(name: str | Path, opened: Opened | OpenedCodec | OpenedStack) -> Opened:
    if isinstance(opened, OpenedStack):
        parts = ", ".join((opened.config.codec, *opened.config.priors))
        raise ZooError(f"{opened.where} is a stack, and this needs one of its parts: {parts}")
    if isinstance(opened, OpenedCodec):
        kind = tag(type(opened.config))
        raise ZooError(
            f"{name} is a codec, which is a tokenizer and no model; use zoo.load_codec, "
            f"or tokenizer={kind} tokenizer.path={name}; zoo reconstruct FILE... tokenizer={name} measures it"
        )
    return opened


def open_found(found: Found) -> Opened | OpenedCodec | OpenedStack:
    """Open a checkpoint that has been found, whatever it is, with what is known of it besides.

    Raises:
        ZooError: no checkpoint, or a broken one.
    """
    opened = open_path(found.path)
    return replace(opened, card={**opened.card, **found.card})
