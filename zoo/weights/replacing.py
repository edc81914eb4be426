"""A folder that takes the place of another in one step, and which may be replaced at all."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from zoo.errors import ZooError
from zoo.weights.files import make_writable, remove

PARTS = re.compile(
    r"(\.lock|(generation_)?config\.json|.*\.safetensors(\.index\.json)?|pytorch_model.*\.bin|(tf_model|rust_model)\..*|"
    r"(card|recipe)\.yaml|(manifest|encoder.*|vocab.*|tokenizer.*|special_tokens_map|added_tokens|hparams)\.json|"
    r"preprocessor_config\.json|kmeans_centers\.npy|params_(\d+\.npy|shapes\.json)|tf_variables\.npz|"
    r"vqvae\.pth\.tar|vocab.*\.(bpe|txt)|merges\.txt|metrics\.jsonl|README\.md|tokenizer|training|tensorboard|adapter|"
    r"report\.json|confusion\.png|codec|level_\d)"
)
"""What a checkpoint's folder may hold. A folder with anything else in it is never replaced."""


def check_target(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that cannot or must not be written, before any work is done.

    Raises:
        ZooError: something is there and must not be replaced, or holds what is no part of a checkpoint; no permission.
    """
    if out.exists() and not out.is_dir():
        raise ZooError(f"{out} is a file; choose another out=DIR")
    names = sorted(entry.name for entry in out.iterdir()) if out.is_dir() else []
    if names and not overwrite:
        raise ZooError(f"{out} is not empty; choose another out=DIR, or add overwrite=true")
    for name in names:
        if not PARTS.fullmatch(name):
            raise ZooError(f"{out} holds '{name}', which is no part of a checkpoint; choose another out=DIR")
    parent = nearest_existing(out.absolute().parent)
    if not os.access(parent, os.W_OK | os.X_OK) or (out.is_dir() and not os.access(out, os.W_OK | os.X_OK)):
        raise ZooError(f"cannot write to {out}: Permission denied; choose another folder with out=DIR")


def replace_folder(out: Path, write: Callable[[Path], None]) -> None:
    """Write a folder beside its final place and rename it, complete, over what is there.

    Raises:
        ZooError: it cannot be written.
    """
    make_writable(out.parent)
    stage, old = (out.with_name(f".{out.name}.{word}.tmp") for word in ("new", "old"))
    remove(stage)
    if out.exists():  # else all that a killed process has left is ``old``, which stays until there is a new one
        remove(old)
    try:
        stage.mkdir()
        write(stage)
        if out.exists():
            os.replace(out, old)
        os.replace(stage, out)
    except OSError as error:
        raise ZooError(f"cannot write {out}: {error.strerror or error}; choose another out=DIR") from None
    finally:
        remove(stage)
        if out.exists():
            remove(old)


def nearest_existing(place: Path) -> Path:
    """Return ``place``, or of the folders above it the first that is there."""
    while not place.exists() and place != place.parent:
        place = place.parent
    return place
