"""``zoo list``: what can be trained, and what is here to play with. Imports no torch."""

from __future__ import annotations

import json
import math
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml

from zoo.cli.terminal import bold, count, dim, put, say, table, width
from zoo.cli.verb import Call, Verb, read_keys
from zoo.errors import ZooError, suggest
from zoo.paths import cards, checkpoints

KINDS = ("recipes", "checkpoints", "tokenizers")
LARGEST = 1 << 20
"""Bytes of a card or config that are read; more is no card of ours."""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """``zoo list`` has no keys."""


def run(call: Call) -> dict[str, list[dict[str, Any]]]:
    """Show one kind of thing, or all."""
    read_keys(Keys, call.pairs)
    for kind in call.targets:
        if kind not in KINDS:
            raise ZooError(f"cannot list '{kind}'{suggest(kind, KINDS)}")
    readers = {"recipes": _recipes, "checkpoints": _checkpoints, "tokenizers": _tokenizers}
    found = {kind: readers[kind]() for kind in KINDS if not call.targets or kind in call.targets}
    if not call.json:
        _show(found)
    return found


def _recipes() -> list[dict[str, Any]]:
    from zoo.catalogue import describe, names

    return [describe(name) for name in names()]


def _tokenizers() -> list[dict[str, Any]]:
    from zoo.settings import tag
    from zoo.tokenizers.registry import TokenizerSettings, names

    # The first words of a class's documentation say what it is, as far as a table has room for.
    about = {tag(kind): re.split(r"[:;.(]", kind.__doc__ or "")[0].strip() for kind in get_args(TokenizerSettings)}
    return [{"name": name, "modality": modality, "about": about.get(name, "")} for name, modality in names()]


def _checkpoints() -> list[dict[str, Any]]:
    here = [_checkpoint(folder) | {"state": "here"} for folder in checkpoints()]
    return here + [_to_fetch(folder) for folder in cards()]


def _to_fetch(folder: Path) -> dict[str, Any]:
    """Return the row of a checkpoint of which only the card is here."""
    row, parameters = _checkpoint(folder), _read(folder / "card.yaml").get("parameters")
    return row | {
        "path": None,
        "parameters": parameters if type(parameters) is int else None,
        "state": f"not here: zoo pull {folder.name}",
    }


def _checkpoint(folder: Path) -> dict[str, Any]:
    """Return one row, read as plain data: nothing that a card or config says is imported, run or interpolated."""
    card, config = _read(folder / "card.yaml"), _read(folder / "config.json")
    metrics = card.get("metrics")
    own = config.get("format") == "zoo"
    return {
        "name": folder.name,
        "path": str(folder),
        "modality": _text(card.get("modality") or config.get("modality")),
        "parameters": config["parameters"] if own and type(config.get("parameters")) is int else None,
        "license": _text(card.get("license")),
        "metrics": {
            str(key): value
            for key, value in (metrics if isinstance(metrics, dict) else {}).items()
            if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))
        },
        "step": card["steps"] if type(card.get("steps")) is int else None,
    }


def _read(path: Path) -> dict[str, Any]:
    """Return the mapping in a JSON or YAML file, ``{}`` where there is none that can be read as plain data."""
    try:
        if path.stat().st_size > LARGEST:
            return {}
        text = path.read_text(encoding="utf-8")
        value = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value[:200] if isinstance(value, str) else None


def _show(found: dict[str, list[dict[str, Any]]]) -> None:
    shown = []
    if "recipes" in found:
        rows = [
            [
                row["name"],
                row["tokenizer"] or "(is one)",
                count(row["parameters"]),
                row["summary"] or "",
                row["paper"] or "",
            ]
            for row in found["recipes"]
        ]
        listed = table(["recipe", "tokenizer", "parameters", "what it makes", "after"], rows, right=[2])
        shown.append(listed if len(found) > 1 else _with_sizes(listed, found["recipes"]))
    if "checkpoints" in found:
        rows = [
            [
                row["name"],
                row["modality"] or "?",
                count(row["parameters"]),
                _metric(row["metrics"]),
                row["path"] or row["state"],
            ]
            for row in found["checkpoints"]
        ]
        if rows:
            shown.append(table(["checkpoint", "makes", "parameters", "on held-out data", "folder"], rows, right=[2]))
        else:
            shown.append(f"{bold('checkpoint')}\nnone here yet: zoo demo, or zoo train RECIPE")
    if "tokenizers" in found:
        rows = [[row["name"], row["modality"], row["about"]] for row in found["tokenizers"]]
        shown.append(table(["tokenizer", "for", "what it is"], rows))
    put("\n\n".join(shown))
    if len(found) == len(KINDS):
        say("\nTrain one: zoo train RECIPE   Its sizes: zoo list recipes")
        say("Let one write: zoo generate CHECKPOINT   More: zoo --help")


def _with_sizes(listed: str, recipes: list[dict[str, Any]]) -> str:
    """Return the table of recipes with the sizes of each below its row."""
    head, *rows = listed.split("\n")
    lines = [head]
    for row, recipe in zip(rows, recipes, strict=True):
        # A name and its number stay on one line.
        words = [f"{name} {count(number)}".replace(" ", "\xa0") for name, number in recipe["sizes"].items()]
        wrapped = textwrap.wrap(", ".join(words), width(100) - 8, break_on_hyphens=False)
        starts = ["  size= ", *[" " * 8] * len(wrapped)]
        lines += [row, *(dim(start + part.replace("\xa0", " ")) for start, part in zip(starts, wrapped, strict=False))]
    return "\n".join(lines)


def _metric(metrics: dict[str, Any]) -> str:
    """Return the one number that says most about a model."""
    said = {
        "bits_per_byte": "bits per byte",
        "exact_match": "exact match",
        "bits_per_dimension": "bits per dimension",
        "bits_per_pixel": "bits per pixel",
        "spectral_convergence_db": "dB spectral convergence",
        "loss": "nats per token",
    }
    for key, words in said.items():
        if isinstance(metrics.get(key), int | float):
            return f"{metrics[key]:.3f} {words}"
    return ""


VERB = Verb(
    usage="list [recipes|checkpoints|tokenizers]",
    about="Shows the recipes that can be trained, the checkpoints that can be loaded by name, and the tokenizers.",
    keys=Keys,
    examples=(
        ("zoo list", "everything"),
        ("zoo list recipes", "only what can be trained, in all sizes"),
        ("zoo list checkpoints --json", "for programs"),
    ),
    run=run,
)
