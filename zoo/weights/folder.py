"""The checkpoint folder: weights, configuration, tokenizer, recipe and card, with a sha256 for every file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from torch import Tensor

from zoo.architecture import NetworkConfig
from zoo.errors import ZooError
from zoo.settings import build, tag
from zoo.tokenizers.base import Modality, Tokenizer
from zoo.tokenizers.codecs import CodecConfig
from zoo.tokenizers.none import NoTokenizer
from zoo.weights.files import (
    MANIFEST,
    digest,
    files_below,
    make_writable,
    read_json,
    read_manifest,
    read_text,
    remove,
    sync_folder,
    verify,
    write_file,
    write_manifest,
)
from zoo.weights.opened import Opened, OpenedCodec
from zoo.weights.tensors import SafetensorsSource, read_tensors, write_tensors

WEIGHTS = "model.safetensors"
MEND = "if this is a run of yours, repeat its command with resume=true, else get the checkpoint again"


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a checkpoint folder holds beside its weights.

    Attributes:
        family: e.g. ``transformer``.
        modality: ``text``, ``image`` or ``music``.
        network: the network's config as a plain mapping, with its ``type``.
        tokenizer: saved beside the weights; None where ids are all there is.
        recipe: the resolved recipe.
        card: where the model comes from; ``parameters`` is filled in here if it is missing.
        head: what fine-tuning made of the model, e.g. ``language_model``; None where it was only trained.
    """

    family: str
    modality: str
    network: Mapping[str, Any]
    tokenizer: Tokenizer[Any] | None
    recipe: Mapping[str, Any]
    card: Mapping[str, Any]
    head: str | None = None

    def __post_init__(self) -> None:
        refuse_foreign({"network": self.network, "recipe": _each_text(self.recipe, _escaped)}, "this run")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint folder that has been opened: its small files are checked and parsed, its weights are still on disk.

    Attributes:
        folder: where it is.
        config: all of config.json.
        recipe: all of recipe.yaml, plain values only.
        card: all of card.yaml.
    """

    folder: Path
    config: dict[str, Any]
    recipe: dict[str, Any]
    card: dict[str, Any]

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights, their sha256 checked first; NaN and infinity are refused."""
        verify(self.folder, [WEIGHTS], mend=MEND)
        return read_tensors(self.folder / WEIGHTS)

    def source(self) -> SafetensorsSource:
        """Return the weights, still on disk, their sha256 checked first."""
        verify(self.folder, [WEIGHTS], mend=MEND)
        return SafetensorsSource([self.folder / WEIGHTS])

    def tokenizer(self) -> Tokenizer[Any] | None:
        """Return the tokenizer that the weights were trained with, None if they were saved without one.

        Raises:
            ZooError: it is missing, or it is not the one that the weights were trained with.
        """
        from zoo.tokenizers.registry import load

        if not (self.folder / "tokenizer").is_dir():
            if "tokenizer" in self.config:
                raise ZooError(f"{self.folder / 'tokenizer'} is missing; get the checkpoint again")
            return None
        tokenizer: Tokenizer[Any] = load(self.folder / "tokenizer")
        stated = self.config.get("tokenizer")
        if stated != tokenizer.spec.fingerprint:
            raise ZooError(
                f"{self.folder / 'tokenizer'} is not the tokenizer of these weights "
                f"(fingerprint {tokenizer.spec.fingerprint[:12]}, not {str(stated)[:12]}); get the checkpoint again"
            )
        return tokenizer


def write(
    folder: Path,
    contents: Contents,
    tensors: Mapping[str, Tensor],
    *,
    parameters: int | None = None,
    overwrite: bool = False,
) -> None:
    """Write a checkpoint folder; until it is complete, nothing stands under its final name.

    Args:
        folder: made if it is missing.
        contents: everything but the weights.
        tensors: every parameter once, by name.
        parameters: for config.json and the card; None where all of ``tensors`` are parameters.
        overwrite: replace the checkpoint that is there.

    Raises:
        ZooError: the folder is not empty, or cannot be written to.
    """
    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise ZooError(f"{folder} is not empty; choose another folder or add overwrite=true")
    make_writable(folder)
    count = sum(tensor.numel() for tensor in tensors.values()) if parameters is None else parameters
    publish(folder, contents, lambda path: write_tensors(path, tensors), count)


def publish(folder: Path, contents: Contents, put_weights: Callable[[Path], str], parameters: int) -> None:
    """Write every file of a checkpoint beside its final place, then rename one after the other, the manifest last.

    A cut in the middle leaves files that do not match the manifest: loading refuses them.

    Args:
        folder: exists.
        contents: everything but the weights.
        put_weights: writes the weights to the path it is given and returns their sha256.
        parameters: for config.json and the card.
    """
    stage = folder / ".publish.tmp"
    remove(stage)
    try:
        stage.mkdir()
        known = {WEIGHTS: put_weights(stage / WEIGHTS)}
        config = {
            "format": "zoo",
            "format_version": 1,
            "family": contents.family,
            "modality": contents.modality,
            "parameters": parameters,
            "network": contents.network,
        }
        if contents.head is not None:
            config["head"] = contents.head
        if contents.tokenizer is not None:
            contents.tokenizer.save(stage / "tokenizer")
            config["tokenizer"] = contents.tokenizer.spec.fingerprint
        card = {"parameters": parameters, **contents.card}
        write_file(stage / "config.json", [json.dumps(config, indent=1).encode()])
        write_file(stage / "recipe.yaml", [dump_yaml(contents.recipe)])
        write_file(stage / "card.yaml", [dump_yaml(card)])
        write_manifest(stage, known)
        _move(stage, folder)
    finally:
        remove(stage)


def restate(folder: Path, card: Mapping[str, Any]) -> None:
    """Give a checkpoint another card; all else stays as it is."""
    stated = read_manifest(folder)
    write_file(folder / "card.yaml", [dump_yaml(card)])
    hashes = stated | {"card.yaml": digest(folder / "card.yaml")}
    write_file(folder / MANIFEST, [json.dumps(hashes, indent=1).encode()])
    sync_folder(folder)


def _move(stage: Path, folder: Path) -> None:
    """Rename the files of a complete checkpoint into ``folder``, drop those of another tokenizer, the manifest last."""
    names = files_below(stage)
    for name in sorted(names, key=lambda name: name == MANIFEST):
        if name == MANIFEST:
            for old in set(files_below(folder / "tokenizer")) - {Path(new).name for new in names if "/" in new}:
                remove(folder / "tokenizer" / old)
        (folder / name).parent.mkdir(exist_ok=True)
        os.replace(stage / name, folder / name)
    if (folder / "tokenizer").is_dir():
        sync_folder(folder / "tokenizer")
    sync_folder(folder)


def read(folder: Path) -> Checkpoint:
    """Open a checkpoint folder of our own format. Nothing in it is ever executed, imported or interpolated.

    Raises:
        ZooError: one line that names the file and what to do.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ZooError(f"{folder} is no folder; a checkpoint is a folder with config.json and {WEIGHTS}")
    config = read_json(folder / "config.json")
    if config.get("format") != "zoo":
        raise ZooError(f'{folder / "config.json"} is not of this project\'s format (no "format": "zoo")')
    if config.get("format_version") != 1:
        raise ZooError(
            f"{folder / 'config.json'} has format_version {config.get('format_version')!r}; this program reads 1"
        )
    small = [name for name in ("config.json", "recipe.yaml", "card.yaml") if (folder / name).exists()]
    small += [f"tokenizer/{name}" for name in files_below(folder / "tokenizer")]
    verify(folder, small, mend=MEND)
    for key, kind in {"family": str, "modality": str, "parameters": int, "network": dict}.items():
        if not isinstance(config.get(key), kind):
            raise ZooError(f"{folder / 'config.json'} has no sound '{key}'; get the checkpoint again")
    refuse_foreign(config, folder / "config.json")
    if "tokenizer/spec.json" in small:
        refuse_foreign(read_json(folder / "tokenizer" / "spec.json"), folder / "tokenizer" / "spec.json")
    return Checkpoint(
        folder=folder,
        config=config,
        recipe=read_yaml(folder / "recipe.yaml"),
        card=read_yaml(folder / "card.yaml"),
    )


CODECS = frozenset(tag(kind) for kind in get_args(CodecConfig))
"""What ``family`` says of a codec."""


def opened(folder: Path) -> Opened | OpenedCodec:
    """Open a checkpoint folder of our own format, ready to be loaded; see ``read``."""
    checkpoint = read(folder)
    where = str(checkpoint.folder / "config.json")
    if checkpoint.config["family"] in CODECS:
        return OpenedCodec(
            where=where,
            config=build(CodecConfig, checkpoint.config["network"], f"{where}: network"),
            source=checkpoint.source(),
            card=checkpoint.card,
            recipe=checkpoint.recipe,
        )
    config: NetworkConfig = build(NetworkConfig, checkpoint.config["network"], f"{where}: network")
    modality: Modality = build(Modality, checkpoint.config["modality"], f"{where}: modality")
    return Opened(
        where=where,
        config=config,
        source=checkpoint.source(),
        tokenizer=checkpoint.tokenizer() or NoTokenizer(config.vocabulary, modality=modality),
        card=checkpoint.card,
        recipe=checkpoint.recipe,
        head=stated if isinstance(stated := checkpoint.config.get("head"), str) else None,
    )


_RESOLVER = re.compile(r"(?<!\\)(?:\\\\)*\$\{[\s\w.${}]*:")
"""What reaches outside, unless an odd number of backslashes says that it is text: so a settings library reads it."""


def refuse_foreign(value: object, where: Path | str) -> None:
    """Refuse what would make a settings library run code or read the environment, wherever it stands in ``value``.

    Nothing here would act on it; a file that carries it was made to attack somebody, and is better not used at all.
    """
    if isinstance(value, Mapping):
        for key, entry in value.items():
            if isinstance(key, str) and re.fullmatch(r"_[a-z]{2,}_", key):
                raise ZooError(
                    f"{where}: '{key}' is refused: settings never name code to run; do not use this checkpoint"
                )
            refuse_foreign(key, where)
            refuse_foreign(entry, where)
    elif isinstance(value, list | tuple):
        for entry in value:
            refuse_foreign(entry, where)
    elif isinstance(value, str) and _RESOLVER.search(value):
        raise ZooError(
            f"{where}: {value[:60]!r} is refused: settings are never looked up elsewhere; write the value itself"
        )


def _escaped(text: str) -> str:
    """Return ``text`` as a settings library would have to read it in order to get ``text`` back."""
    return re.sub(r"(\\*)\$\{", lambda match: 2 * match[1] + r"\${", text)


def _unescaped(text: str) -> str:
    return re.sub(r"(?<!\\)((?:\\\\)*)\\\$\{", lambda match: match[1][: len(match[1]) // 2] + "${", text)


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """Return plain values with every text in them changed."""
    if isinstance(value, Mapping):
        return {_each_text(key, change): _each_text(entry, change) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_each_text(entry, change) for entry in value]
    return change(value) if isinstance(value, str) else value


class _PlainLoader(yaml.SafeLoader):
    """Plain YAML: no tags, no aliases (a few hundred bytes of them can stand for gigabytes)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file of plain values, as ``dump_yaml`` writes it; ``{}`` if there is no such file.

    Raises:
        ZooError: tags, aliases, interpolation, or no mapping.
    """
    if not path.exists():
        return {}
    try:
        value = yaml.load(read_text(path), Loader=_PlainLoader)  # a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, ZooError):
            raise
        problem = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise ZooError(f"{path} is not plain YAML ({problem}); do not use this checkpoint") from None
    if not isinstance(value, dict):
        raise ZooError(f"{path} holds no settings; get the checkpoint again")
    refuse_foreign(value, path)
    plain: dict[str, Any] = _each_text(value, _unescaped)
    return plain


def dump_yaml(value: Mapping[str, Any]) -> bytes:
    """Return plain YAML, keys in their order; ``${`` is written ``\\${``: what people wrote is text to any reader."""
    plain = _each_text(value, _escaped)
    text: str = yaml.dump(plain, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=100)
    return text.encode()
