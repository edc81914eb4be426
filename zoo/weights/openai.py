"""Writing GPT-1, GPT-2 and Image GPT as OpenAI released them, for programs that read those files."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from zoo.architecture import AnyNetwork, NetworkConfig
from zoo.errors import ZooError
from zoo.tokenizers.base import Tokenizer
from zoo.tokenizers.image import palette
from zoo.tokenizers.image.pixel_clusters import PixelClustersTokenizer
from zoo.tokenizers.none import NoTokenizer
from zoo.transformer.block import PostNorm
from zoo.transformer.config import TransformerConfig
from zoo.transformer.norm import RMSNorm
from zoo.weights import image_gpt, image_variables
from zoo.weights.family import differences
from zoo.weights.files import copy_file, write_file
from zoo.weights.links import written
from zoo.weights.original import GPT1, GPT2, HPARAMS, HPARAMS_OF, IMAGE_GPT, SHAPES, SHARDS, VARIABLES, Layout
from zoo.weights.original_names import gpt1_names

FILES = {
    "gpt1": (
        ("vocab.json", "encoder_bpe_40000.json"),
        ("merges.txt", "vocab_40000.bpe"),
        ("options.json", "options.json"),  # ours: which way of cutting words; other programs pass over it
    ),
    "gpt2": (("vocab.json", "encoder.json"), ("merges.txt", "vocab.bpe")),
    "bpe": (("vocab.json", "encoder.json"), ("merges.txt", "vocab.bpe")),
}
"""Type of a tokenizer -> its files as we save them, and as OpenAI calls them."""


def layout_of(config: NetworkConfig, tokenizer: Tokenizer[Any]) -> Layout:
    """Return the layout that a model can be written in.

    Raises:
        ZooError: naming what none of them can express.
    """
    if not isinstance(config, TransformerConfig) or config.embedding_norm:
        raise ZooError("OpenAI released no files for this architecture; use to=zoo or to=huggingface")
    layout = _nearest(config)
    said = layout.config(_settings(layout, config), ())
    if different := differences(config, said):
        raise ZooError(f"OpenAI's files cannot express {', '.join(different)}; use to=zoo or to=huggingface")
    kind = tokenizer.spec.type
    if not isinstance(tokenizer, NoTokenizer) and not _holds(layout, tokenizer):
        raise ZooError(f"OpenAI's files have no place for the tokenizer '{kind}'; use to=zoo")
    if kind == "pixel_clusters" and tokenizer.spec.shape != image_gpt.square(config.context):
        raise ZooError(f"OpenAI's files tell a grid by the context {config.context} alone; use to=zoo")
    return layout


def _nearest(config: TransformerConfig) -> Layout:
    if isinstance(config.norm, RMSNorm):
        return IMAGE_GPT
    return GPT1 if isinstance(config.block, PostNorm) else GPT2


def _holds(layout: Layout, tokenizer: Tokenizer[Any]) -> bool:
    """Return whether a layout has files for a tokenizer's vocabulary."""
    kinds = {"gpt1": GPT1, "gpt2": GPT2, "bpe": GPT2, "pixel_clusters": IMAGE_GPT}
    return kinds.get(tokenizer.spec.type) is layout


def write(folder: Path, network: AnyNetwork, tokenizer: Tokenizer[Any]) -> None:
    """Write a model into an empty folder: settings, weights in float32, and the vocabulary.

    Raises:
        ZooError: what the layout cannot express is named.
    """
    layout = layout_of(network.config, tokenizer)
    assert isinstance(network.config, TransformerConfig)
    tensors = dict(written(network, layout.links(network.config)))
    if layout is GPT1:
        names = gpt1_names(network.config.depth)
        write_flat(folder, [tensors[name] for name in names])
        _write_json(folder / HPARAMS, {"n_head": network.config.heads})
    else:
        write_variables(folder / VARIABLES, tensors)
    if layout is GPT2:
        settings = _settings(layout, network.config)
        _write_json(folder / HPARAMS, {theirs: settings[name] for theirs, name in HPARAMS_OF.items()})
    if isinstance(tokenizer, PixelClustersTokenizer):
        _write_palette(folder / palette.OPENAI, tokenizer.colours)
    elif not isinstance(tokenizer, NoTokenizer):
        with tempfile.TemporaryDirectory(dir=folder) as saved:
            tokenizer.save(saved)
            for ours, theirs in FILES[tokenizer.spec.type]:
                copy_file(Path(saved) / ours, folder / theirs)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    write_file(path, [json.dumps(value).encode()])


def _write_palette(path: Path, colours: palette.Colours) -> None:
    """Write colours as OpenAI does, in 32 bits, or in 64 where these are needed for the same ids."""
    short = colours.astype("<f4")
    with path.open("wb") as file:
        np.lib.format.write_array(file, short if (short == colours).all() else colours, allow_pickle=False)


def _settings(layout: Layout, config: TransformerConfig) -> dict[str, Any]:
    """Return what the files say of a network; all else has the value that OpenAI's programs know."""
    if layout is IMAGE_GPT:
        return image_variables.settings_of(config)
    return {
        "vocab_size": config.vocabulary,
        "n_positions": config.context,
        "n_embd": config.width,
        "n_layer": config.depth,
        "n_head": config.heads,
    }


def write_variables(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as one ``.npz``, one after the other."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, tensor in tensors.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, _array(tensor), allow_pickle=False)


def write_flat(folder: Path, tensors: list[Tensor]) -> None:
    """Write tensors as GPT-1's: their shapes, and all their numbers in ``SHARDS`` files of nearly equal length."""
    write_file(folder / SHAPES, [json.dumps([list(tensor.shape) for tensor in tensors]).encode()])
    total = sum(tensor.numel() for tensor in tensors)
    for shard in range(SHARDS):
        start, stop = shard * total // SHARDS, (shard + 1) * total // SHARDS
        header = {"descr": "<f4", "fortran_order": False, "shape": (stop - start,)}
        with (folder / f"params_{shard}.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for piece in _between(tensors, start, stop):
                file.write(piece.data)


def _between(tensors: list[Tensor], start: int, stop: int) -> Iterator[NDArray[np.float32]]:
    """Yield the numbers from ``start`` to ``stop`` of all tensors laid out one after the other."""
    first = 0
    for tensor in tensors:
        last = first + tensor.numel()
        if first < stop and start < last:
            yield _array(tensor).reshape(-1)[max(start - first, 0) : stop - first]
        first = last


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().float().cpu().numpy(), dtype="<f4")
