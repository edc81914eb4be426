"""A stack as a checkpoint folder: config.json names its parts, which are checkpoint folders below it or elsewhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.music.config import PriorConfig
from zoo.music.stack import StackConfig
from zoo.settings import build, tag, to_mapping
from zoo.weights.files import make_writable, read_json, write_file, write_manifest
from zoo.weights.folder import dump_yaml, read
from zoo.weights.hub import locate
from zoo.weights.opened import Opened, OpenedCodec

FAMILY = tag(StackConfig)
Open = Callable[[Path], "Opened | OpenedCodec | OpenedStack"]
"""What opens a part, whatever its format."""


@dataclass(frozen=True, kw_only=True)
class OpenedStack:
    """What ``zoo.load`` makes a stack from.

    Attributes:
        where: its config.json.
        config: names of its parts.
        codec: opened.
        priors: opened, the coarsest level's first.
        card: where the stack comes from.
    """

    where: str
    config: StackConfig
    codec: OpenedCodec
    priors: tuple[Opened, ...]
    card: Mapping[str, Any] = field(default_factory=dict)


def is_stack(settings: Mapping[str, Any]) -> bool:
    """Return whether these settings (of a config.json) are a stack's."""
    return settings.get("format") == "zoo" and settings.get("family") == FAMILY


def opened(folder: Path, open_part: Open) -> OpenedStack:
    """Open a stack's folder and all of its parts.

    Raises:
        ZooError: a part is missing, damaged, or of another kind.
    """
    checkpoint = read(folder)
    where = str(folder / "config.json")
    config: StackConfig = build(StackConfig, checkpoint.config["network"], f"{where}: network")
    places = [_place(folder, name, where) for name in (config.codec, *config.priors)]
    for name, place in zip((config.codec, *config.priors), places, strict=True):
        if (place / "config.json").is_file() and is_stack(read_json(place / "config.json")):
            raise ZooError(f"{where} names '{name}', which is a stack itself; name its parts")
    parts = [open_part(place) for place in places]
    return put_together(where, config, parts, checkpoint.card)


def put_together(
    where: str, config: StackConfig, parts: list[Opened | OpenedCodec | OpenedStack], card: Mapping[str, Any]
) -> OpenedStack:
    """Return a stack of a codec and priors, once it is known that they are of these kinds.

    Raises:
        ZooError: naming the part that is of another kind.
    """
    codec, *others = parts
    if not isinstance(codec, OpenedCodec):
        raise ZooError(f"{where}: '{config.codec}' is no codec; a stack needs one, e.g. codec=music-codec")
    priors: list[Opened] = []
    for name, prior in zip(config.priors, others, strict=True):
        if not isinstance(prior, Opened) or not isinstance(prior.config, PriorConfig):
            raise ZooError(f"{where}: '{name}' is no prior of music; train one with zoo train music/prior")
        priors.append(prior)
    return OpenedStack(where=where, config=config, codec=codec, priors=tuple(priors), card=card)


def _place(folder: Path, name: str, where: str) -> Path:
    inside = folder / name
    if inside.is_dir():
        return inside
    try:
        return locate(name).path
    except ZooError as error:
        raise ZooError(f"{where} names '{name}': {error}") from None


def write(
    folder: Path,
    config: StackConfig,
    *,
    parameters: int,
    card: Mapping[str, Any],
    parts: Mapping[str, Path | Callable[[Path], None]],
) -> None:
    """Write a stack into an empty folder.

    Args:
        folder: made if it is missing.
        config: names of the parts.
        parameters: of all of them.
        card: where the stack comes from.
        parts: those that go into the folder, by name: a checkpoint folder to copy, or what writes one.
    """
    make_writable(folder)
    for name, part in parts.items():
        if isinstance(part, Path):
            ignored = shutil.ignore_patterns("training", "tensorboard", ".*")
            shutil.copytree(part, folder / name, ignore=ignored)
        else:
            part(folder / name)
    document = {
        "format": "zoo",
        "format_version": 1,
        "family": FAMILY,
        "modality": "music",
        "parameters": parameters,
        "network": to_mapping(config),
    }
    write_file(folder / "config.json", [json.dumps(document, indent=1).encode()])
    write_file(folder / "card.yaml", [dump_yaml({"parameters": parameters, **card})])
    write_manifest(folder, {})
