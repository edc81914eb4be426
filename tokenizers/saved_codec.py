"""Codecs on disk, as tokenizers read them: sizes compared with the file's before anything is allocated."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.paths import local_checkpoint, missing_checkpoint
from zoo.settings import build
from zoo.tokenizers import folder as folders
from zoo.tokenizers import tensors
from zoo.tokenizers.codec import Codec
from zoo.tokenizers.codecs import CodecConfig, build_codec

WEIGHTS = "model.safetensors"

Module = TypeVar("Module", bound=nn.Module)


def read_checkpoint(name: str) -> Codec:
    """Return the codec of a checkpoint folder of our own format, on the CPU, in evaluation mode.

    Args:
        name: a folder, or the name of one in ``./checkpoints`` or ``$ZOO_HOME/checkpoints``.

    Raises:
        ZooError: nothing has that name, what has it is no codec, or its weights are not those it vouches for.
    """
    folder = local_checkpoint(name)
    if folder is None:
        raise missing_checkpoint(name)
    settings = folders.read_json(folder / "config.json")
    network = settings.get("network") if isinstance(settings, dict) and settings.get("format") == "zoo" else None
    kind = network.get("type") if isinstance(network, dict) else None
    if kind not in ("vqvae", "image_vqvae"):
        raise ZooError(f"{folder} is no codec; zoo train image/vqvae or music/vqvae makes one")
    config: CodecConfig = build(CodecConfig, network, f"{folder / 'config.json'}: network")
    stated = folders.read_json(folder / "manifest.json")
    if not isinstance(stated, dict) or stated.get(WEIGHTS) != _sha256(folder / WEIGHTS):
        raise ZooError(f"{folder / WEIGHTS} is not the file that manifest.json states; get the checkpoint again")
    return read_module(folder / WEIGHTS, lambda: build_codec(config), lambda codec: codec.state_dict()).eval()


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


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ZooError(f"{path} cannot be read: {error.strerror}; get the checkpoint again") from None
