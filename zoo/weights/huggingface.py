"""Folders as Hugging Face's transformers writes them: ``config.json``, safetensors (in shards or not), a tokenizer."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from zoo.architecture import AnyNetwork, NetworkConfig
from zoo.errors import ZooError
from zoo.tokenizers.base import Tokenizer
from zoo.tokenizers.none import NoTokenizer
from zoo.transformer.block import PostNorm
from zoo.transformer.config import TransformerConfig
from zoo.transformer.norm import RMSNorm
from zoo.transformer.patterns import Dense
from zoo.transformer.position import Learned
from zoo.weights import bert, gpt1, gpt2, gpt3, image_gpt, vocabulary
from zoo.weights.family import CONFIG, Family
from zoo.weights.files import files_below, make_writable, read_json, remove, sync_folder, write_file
from zoo.weights.folder import dump_yaml, read_yaml
from zoo.weights.links import Renamed, written
from zoo.weights.opened import Opened
from zoo.weights.tensors import SafetensorsSource, TensorSource, write_tensors

FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (gpt1.FAMILY, gpt2.FAMILY, gpt3.FAMILY, bert.FAMILY, image_gpt.FAMILY, image_gpt.BERT_FAMILY)
}
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
LEGACY = "pytorch_model.bin"
LEGACY_INDEX = "pytorch_model.bin.index.json"
CARD = "card.yaml"
SHARD_BYTES = 5_000_000_000
"""Weights beyond this are written in several files, as transformers does."""


def read(folder: Path) -> Opened:
    """Open a folder that ``save_pretrained`` has written, or that comes from the Hub.

    Raises:
        ZooError: a model type or setting that the core does not have, files that are missing, broken, or do not fit
            each other.
    """
    folder = Path(folder)
    settings = read_json(folder / CONFIG)
    model_type = settings.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        shown = repr(model_type)[:40]
        raise ZooError(f"{folder / CONFIG}: model_type {shown} is not one of {', '.join(FAMILIES)}; use one of these")
    return assemble(FAMILIES[model_type], settings, weights(folder), folder)


def assemble(family: Family, settings: Mapping[str, Any], tensors: TensorSource, folder: Path) -> Opened:
    """Return settings and weights under a family's names as one model, with the tokenizer and card in ``folder``."""
    where = folder / CONFIG
    copies = family.copies if settings.get("tie_word_embeddings", True) else {}
    source = family.needed(Renamed(tensors, family.normal_name, copies))
    try:
        config = family.config(settings, source.names())
    except ZooError as error:
        raise ZooError(f"{folder}: {error}") from None
    tokenizer = family.tokenizer(folder, config)
    if tokenizer is not None:
        vocabulary.fits(tokenizer, config, folder)

    def finish(network: AnyNetwork) -> None:
        family.finish(network, settings)

    return Opened(
        where=str(where),
        config=config,
        source=source,
        tokenizer=tokenizer or _ids_only(family, settings, config.vocabulary),
        card={
            "name": folder.resolve().name,
            "modality": family.modality,
            "source": f"Hugging Face {family.model_type} layout",
        }
        | read_yaml(folder / CARD),
        links=family.links(config),
        finish=finish,
    )


def _ids_only(family: Family, settings: Mapping[str, Any], vocabulary_size: int) -> NoTokenizer:
    if family.modality != "text":  # a sample's length ends it; what old folders state are GPT-2's ids
        return NoTokenizer(vocabulary_size, modality=family.modality)
    stated = {}
    for key in ("eos_token_id", "pad_token_id"):
        value = settings.get(key)
        stated[key] = value if type(value) is int and 0 <= value < vocabulary_size else None
    return NoTokenizer(vocabulary_size, end_id=stated["eos_token_id"], pad_id=stated["pad_token_id"])


def has_weights(folder: Path) -> bool:
    """Return whether a folder has weights as transformers writes them."""
    return any((folder / name).is_file() for name in (WEIGHTS, INDEX, LEGACY, LEGACY_INDEX))


def weights(folder: Path) -> TensorSource:
    """Return the tensors in a folder, still on disk; ZooError if there are none."""
    if (folder / WEIGHTS).is_file():
        return SafetensorsSource([folder / WEIGHTS])
    if (folder / INDEX).is_file():
        return _shards(folder / INDEX, ".safetensors", lambda files: SafetensorsSource(files))
    if (folder / LEGACY).is_file() or (folder / LEGACY_INDEX).is_file():
        from zoo.weights.torch_legacy import TorchSource

        if (folder / LEGACY).is_file():
            return TorchSource(folder / LEGACY)
        return _shards(folder / LEGACY_INDEX, ".bin", lambda files: TorchSource(*files))
    raise ZooError(f"{folder} has no weights: none of {WEIGHTS}, {INDEX}, {LEGACY}; get them, or convert those it has")


def _shards(index: Path, suffix: str, open_files: Callable[[Sequence[Path]], TensorSource]) -> TensorSource:
    """Open the files that an index names; it must say of each of their tensors where it is, and of no other."""
    folder, places = index.parent, read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise ZooError(f"{index} has no weight_map; get the folder again")
    files: dict[str, None] = {}
    for file in places.values():
        if not isinstance(file, str) or not file.endswith(suffix) or file != os.path.basename(file) or "\\" in file:
            raise ZooError(
                f"{index}: {str(file)[:60]!r} is no {suffix[1:]} file of this folder; do not use this folder"
            )
        files[file] = None
    if absent := [file for file in files if not (folder / file).is_file()]:
        raise ZooError(
            f"{folder} is incomplete: {', '.join(absent)} named in {index.name} is missing; get the folder again"
        )
    found = {name: file for file in files for name in open_files([folder / file]).names()}
    if found != places:
        wrong = sorted(name for name in {*found, *places} if found.get(name) != places.get(name))
        raise ZooError(f"{index} and its files do not agree on {', '.join(map(repr, wrong))}; get the folder again")
    return open_files([folder / file for file in files])


def family_of(config: NetworkConfig) -> Family:
    """Return the family whose layout a network could be written in.

    Raises:
        ZooError: none comes near.
    """
    if not isinstance(config, TransformerConfig):
        raise ZooError("Hugging Face's layouts have no recurrent network; save this model in zoo's own format")
    if config.embedding_norm:
        return bert.FAMILY
    if isinstance(config.norm, RMSNorm) and isinstance(config.positions, Learned):
        return image_gpt.FAMILY if config.causal else image_gpt.BERT_FAMILY
    if isinstance(config.block, PostNorm):
        return gpt1.FAMILY
    return gpt2.FAMILY if all(pattern == Dense() for pattern in config.patterns) else gpt3.FAMILY


def write(
    folder: Path,
    network: AnyNetwork,
    tokenizer: Tokenizer[Any],
    *,
    card: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write a folder that transformers reads: same logits, same ids.

    Files are written beside their final place and renamed when all are there, ``config.json`` last.

    Args:
        folder: made if it is missing.
        network: on any device; weights are written in the type they have.
        tokenizer: its files are written too, unless it is a ``NoTokenizer``.
        card: where the model comes from, kept in ``card.yaml``.
        overwrite: replace the model that is there.
        shard_bytes: size beyond which weights go into several files.

    Raises:
        ZooError: what the layout cannot express is named; a folder that is not empty or cannot be written to.
    """
    folder = Path(folder)
    family = family_of(network.config)
    assert isinstance(network.config, TransformerConfig)
    settings = family.settings(network.config) | _special_ids(tokenizer) | {"dtype": _dtype(network)}
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise ZooError(f"{folder} is not empty; choose another folder or add overwrite=true")
    make_writable(folder)
    stage = folder / ".publish.tmp"
    remove(stage)
    try:
        stage.mkdir()
        tensors = {**dict(written(network, family.links(network.config))), **dict(family.besides(network))}
        _write_weights(stage, tensors, shard_bytes)
        if not isinstance(tokenizer, NoTokenizer):
            vocabulary.write(stage, tokenizer, context=network.context)
        if network.causal:
            write_file(stage / "generation_config.json", [_json(_special_ids(tokenizer))])
        if card:
            write_file(stage / CARD, [dump_yaml(card)])
        write_file(stage / CONFIG, [_json(settings)])
        _move(stage, folder)
    finally:
        remove(stage)


def _special_ids(tokenizer: Tokenizer[Any]) -> dict[str, int | None]:
    spec = tokenizer.spec
    return {"bos_token_id": spec.end_id, "eos_token_id": spec.end_id, "pad_token_id": spec.pad_id}


def _dtype(network: AnyNetwork) -> str:
    return str(next(network.parameters()).dtype).removeprefix("torch.")


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _write_weights(folder: Path, tensors: Mapping[str, Tensor], shard_bytes: int) -> None:
    shards = list(_split(tensors, shard_bytes))
    if len(shards) == 1:
        write_tensors(folder / WEIGHTS, tensors, {"format": "pt"})
        return
    places = {}
    for number, names in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write_tensors(folder / file, {name: tensors[name] for name in names}, {"format": "pt"})
        places.update(dict.fromkeys(names, file))
    total = sum(map(_bytes, tensors.values()))
    write_file(folder / INDEX, [_json({"metadata": {"total_size": total}, "weight_map": places})])


def _split(tensors: Mapping[str, Tensor], limit: int) -> Iterator[Sequence[str]]:
    """Yield the names of each shard: in order, as many as fit, at least one."""
    names: list[str] = []
    size = 0
    for name, tensor in tensors.items():
        if names and size + _bytes(tensor) > limit:
            yield names
            names, size = [], 0
        names.append(name)
        size += _bytes(tensor)
    yield names


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.dtype.itemsize


def _move(stage: Path, folder: Path) -> None:
    """Rename the files into ``folder``; what another model has left there goes first, ``config.json`` comes last."""
    (folder / CONFIG).unlink(missing_ok=True)  # from here on the folder is no checkpoint until it is complete
    names = files_below(stage)
    left = [folder / name for name in ("merges.txt", "vocab.txt", vocabulary.OWN, "recipe.yaml", CARD, LEGACY)]
    for old in [*folder.glob("*.safetensors"), *folder.glob("*.json"), *left]:
        remove(old)
    for name in sorted(names, key=lambda name: name == CONFIG):
        (folder / name).parent.mkdir(exist_ok=True)
        os.replace(stage / name, folder / name)
    sync_folder(folder)
