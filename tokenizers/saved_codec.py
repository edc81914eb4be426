"""Codecs on disk, as tokenizers read them: sizes compared with the file's before anything is allocated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.tokenizers import tensors
from zoo.tokenizers.codec import Codec

Module = TypeVar("Module", bound=nn.Module)


def read_checkpoint(name: str) -> Codec:
    """Return the codec of a checkpoint of any format, on the CPU, in evaluation mode.

    Args:
        name: as ``zoo.load_codec`` takes it: a path, or a name.

    Raises:
        ZooError: nothing has that name, what has it is no codec, or its weights are not those it vouches for.
    """
    from zoo.loading import load_codec  # points up: formats are known there, and tokenizers live without them

    return load_codec(name, device="cpu")


def read_module(path: Path, make: Callable[[], Module], state: Callable[[Module], Mapping[str, Tensor]]) -> Module:
    """Return the module that ``make`` makes, its tensors (what ``state`` says) those of a safetensors file.

    Raises:
        ZooError: the file holds fewer bytes than these tensors have, or other tensors.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ZooError(f"{path} cannot be read: {error.strerror}; restore the folder") from None
    with torch.device("meta"):
        needed = sum(tensor.numel() * tensor.element_size() for tensor in state(make()).values())
    if needed > size:
        raise ZooError(f"{path} holds {size:,} bytes, the settings beside it ask for {needed:,}; restore the folder")
    module = make()
    tensors.read_into(path, state(module))
    return module
