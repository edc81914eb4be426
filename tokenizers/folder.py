"""A tokenizer's folder: ``spec.json`` and its own files, plain text. Reading runs nothing and imports nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.settings import build
from zoo.tokenizers.base import TokenSpec

SPEC = "spec.json"
LARGEST = 64 << 20
"""Bytes of a file that are read; the vocabularies of today's largest models take half of that."""


def fingerprint(algorithm: str, files: Mapping[str, str]) -> str:
    """Return the hex sha256 over how ids are made (``algorithm``) and from what (``files``: name to content)."""
    return hashlib.sha256(json.dumps([algorithm, sorted(files.items())]).encode()).hexdigest()


def write(folder: Path | str, spec: TokenSpec, files: Mapping[str, str]) -> None:
    """Write ``files`` and ``spec.json`` into ``folder``, made if missing; the spec is last and vouches for the rest."""
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (path / name).write_text(content, encoding="utf-8", newline="\n")
        (path / SPEC).write_text(json.dumps(dataclasses.asdict(spec), indent=2) + "\n", encoding="utf-8", newline="\n")
    except OSError as error:
        raise ZooError(f"cannot write the tokenizer into {path}: {error.strerror}") from None


def read_spec(folder: Path | str) -> TokenSpec:
    """Return what ``folder/spec.json`` states.

    Raises:
        ZooError: the file is missing, is no JSON object, or holds a key or a type that a spec does not have.
    """
    path = Path(folder) / SPEC
    stated = read_json(path)
    if not isinstance(stated, dict):
        raise ZooError(f"{path}: expected a JSON object with a tokenizer's spec")
    return build(TokenSpec, stated, str(path))


def read_json(path: Path) -> Any:
    """Return the JSON value in ``path``; every way in which that fails is a ZooError."""
    try:
        return json.loads(read_text(path))
    except RecursionError:
        raise ZooError(f"{path}: JSON nested too deeply") from None
    except ZooError:
        raise
    except ValueError as error:
        raise ZooError(f"{path}: not valid JSON ({error})") from None


def read_text(path: Path) -> str:
    """Return the UTF-8 text in ``path``, newlines as they are; every way in which that fails is a ZooError."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ZooError(f"{path}: more than {LARGEST >> 20} MB are no tokenizer's file; restore the folder")
        return content.decode("utf-8")
    except FileNotFoundError:
        raise ZooError(f"{path} does not exist; a tokenizer's folder is written by its save(folder)") from None
    except OSError as error:
        raise ZooError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ZooError(f"{path}: not UTF-8 text (byte {error.start})") from None
