"""Tensors in a tokenizer's folder: safetensors files, read only where names, shapes and types are the expected ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from zoo.errors import ZooError

_KINDS = {torch.float32: "F32", torch.uint8: "U8"}


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Return the hex sha256 of all names, shapes and numbers."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        found.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return found.hexdigest()


def write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write ``tensors`` into the safetensors file ``path``; its folder is made if missing.

    Raises:
        ZooError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))
    except (OSError, SafetensorError) as error:
        raise ZooError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from None


@torch.no_grad()
def read_into(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Fill ``tensors`` from the safetensors file ``path``, once all names, shapes and types are known to be right.

    Raises:
        ZooError: no such file, no safetensors file, other tensors than these, or numbers that are not finite.
    """
    try:
        with safe_open(path, "pt") as file:
            _check(path, file, tensors)
            for name, tensor in tensors.items():
                found = file.get_tensor(name)
                if not bool(found.isfinite().all()):
                    raise ZooError(f"{path}: tensor {name!r} holds numbers that are not finite; restore the folder")
                tensor.copy_(found)
    except FileNotFoundError:
        raise ZooError(f"{path} does not exist; a tokenizer's folder is written by its save(folder)") from None
    except (OSError, SafetensorError) as error:
        raise ZooError(f"{path}: not a readable safetensors file ({error}); restore the folder") from None


def _check(path: Path, file: safe_open, tensors: Mapping[str, Tensor]) -> None:
    there = set(file.keys())  # type: ignore[no-untyped-call]
    for name in sorted(tensors.keys() | there):
        if name not in there or name not in tensors:
            raise ZooError(f"{path}: {'missing' if name in tensors else 'unexpected'} tensor {name!r}")
        found, wanted = file.get_slice(name), tensors[name]  # type: ignore[no-untyped-call]
        kind = _KINDS[wanted.dtype]
        if tuple(found.get_shape()) != tuple(wanted.shape) or found.get_dtype() != kind:
            raise ZooError(
                f"{path}: tensor {name!r} is {found.get_dtype()} {tuple(found.get_shape())}, not {kind} "
                f"{tuple(wanted.shape)}"
            )
