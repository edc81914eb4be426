"""Codecs as checkpoint folders of our own format: no tokenizer beside the weights, since each level is one itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.architecture import count_parameters
from zoo.settings import tag, to_mapping
from zoo.tokenizers.codec import Codec
from zoo.weights import folder as folders
from zoo.weights.tensors import named_weights


def contents(codec: Codec, *, card: Mapping[str, Any], recipe: Mapping[str, Any]) -> folders.Contents:
    """Return what a codec's checkpoint folder holds beside its weights."""
    return folders.Contents(
        family=tag(type(codec.config)),
        modality=codec.modality,
        network=to_mapping(codec.config),
        tokenizer=None,
        recipe=recipe,
        card=card,
    )


def write(folder: Path, codec: Codec, *, overwrite: bool = False) -> None:
    """Write a codec, with its card and recipe, as a checkpoint folder that ``zoo.load_codec`` reads.

    Raises:
        ZooError: the folder is not empty (unless ``overwrite``), or cannot be written to.
    """
    folders.write(
        folder,
        contents(codec, card=codec.card, recipe=codec.recipe),
        named_weights(codec),
        parameters=count_parameters(codec),
        overwrite=overwrite,
    )
