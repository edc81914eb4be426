"""Which format a checkpoint has is decided by its files; from there on, all are alike."""

from __future__ import annotations

from pathlib import Path

from zoo.errors import ZooError
from zoo.weights import folder as folders
from zoo.weights import huggingface, jukebox_codec, jukebox_prior, jukebox_whole, original, stack
from zoo.weights.files import read_json
from zoo.weights.opened import Opened, OpenedCodec
from zoo.weights.stack import OpenedStack

CONFIG = "config.json"
PARTS = (CONFIG, huggingface.WEIGHTS, huggingface.INDEX, huggingface.LEGACY, huggingface.LEGACY_INDEX)
"""Files that stand for the folder that they are in."""


def open_path(path: Path) -> Opened | OpenedCodec | OpenedStack:
    """Open a model, a codec or a stack: our folder, Hugging Face's, or the authors' files; one file stands for all.

    Raises:
        ZooError: no checkpoint in a format that is known, or one that is broken.
    """
    if jukebox_whole.find(path):
        return jukebox_whole.read(path)
    found = original.find(path)
    if path.is_dir() and (path / CONFIG).is_file():
        settings = read_json(path / CONFIG)
        if stack.is_stack(settings):
            return stack.opened(path, open_path)
        if "format" in settings:
            return folders.opened(path)
        if settings.get("model_type") in jukebox_codec.MODEL_TYPES:
            return jukebox_codec.read_huggingface(path)
        if huggingface.has_weights(path) or found is None:
            return huggingface.read(path)
    if found is not None:
        return original.read(*found)
    if (file := jukebox_prior.find(path)) is not None:
        return jukebox_whole.with_tables(jukebox_prior.read(file), file.parent)
    if (file := jukebox_codec.find(path)) is not None:
        return jukebox_codec.read(file)
    if path.name in PARTS and path.is_file():
        return open_path(path.parent)
    if path.is_dir():
        raise ZooError(
            f"{path / CONFIG} is missing; a checkpoint is a folder with {CONFIG} and {folders.WEIGHTS}, "
            "or with the files that OpenAI released"
        )
    raise ZooError(f"{path} is no folder; a checkpoint is a folder with {CONFIG} and {folders.WEIGHTS}")
