"""Writing GPT-1 and GPT-2 as OpenAI released them, for programs that read those files."""

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
from zoo.tokenizers.none import NoTokenizer
from zoo.transformer.block import PostNorm
from zoo.transformer.config import TransformerConfig
from zoo.weights.family import differences
from zoo.weights.files import copy_file, write_file
from zoo.weights.links import written
from zoo.weights.original import GPT1, GPT2, HPARAMS, HPARAMS_OF, SHAPES, SHARDS, VARIABLES, Layout, gpt1_names

FILES = {
    "gpt1": (("vocab.json", "encoder_bpe_40000.json"), ("merges.txt", "vocab_40000.bpe")),
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
    layout = GPT1 if isinstance(config.block, PostNorm) else GPT2
    said = layout.family.config(_settings(config), ())
    if different := differences(config, said):
        raise ZooError(f"OpenAI's files cannot express {', '.join(different)}; use to=zoo or to=huggingface")
    kind = tokenizer.spec.type
    if not isinstance(tokenizer, NoTokenizer) and (kind not in FILES or (kind == "gpt1") != (layout is GPT1)):
        raise ZooError(f"OpenAI's files have no place for the tokenizer '{kind}'; use to=zoo")
    return layout


def write(folder: Path, network: AnyNetwork, tokenizer: Tokenizer[Any]) -> None:
    """Write a model into an empty folder: settings, weights in float32, and the vocabulary.

    Raises:
        ZooError: what the layout cannot express is named.
    """
    layout = layout_of(network.config, tokenizer)
    assert isinstance(network.config, TransformerConfig)
    settings = _settings(network.config)
    tensors = dict(written(network, layout.links(network.config)))
    if layout is GPT1:
        names = gpt1_names(network.config.depth)
        write_flat(folder, [tensors[name] for name in names])
        hparams: dict[str, Any] = {"n_head": network.config.heads}
    else:
        write_variables(folder / VARIABLES, tensors)
        hparams = {theirs: settings[name] for theirs, name in HPARAMS_OF.items()}
    write_file(folder / HPARAMS, [json.dumps(hparams).encode()])
    if not isinstance(tokenizer, NoTokenizer):
        with tempfile.TemporaryDirectory(dir=folder) as saved:
            tokenizer.save(saved)
            for ours, theirs in FILES[tokenizer.spec.type]:
                copy_file(Path(saved) / ours, folder / theirs)


def _settings(config: TransformerConfig) -> dict[str, Any]:
    """Return what the files say of a network; all else has the value that OpenAI's programs know."""
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
