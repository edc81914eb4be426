"""Small files of results, complete or not there at all."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import ZooError


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file; see ``write_bytes``."""
    write_bytes(path, text.encode("utf-8", "surrogatepass"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file under a temporary name and rename it.

    Raises:
        ZooError: the folder cannot be written to.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise ZooError(f"cannot write {path}: {error.strerror or error}; choose another out=DIR") from None


def write_json(path: Path, document: Any) -> None:
    """Write a JSON document; see ``write_text``."""
    write_text(path, json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def npz(arrays: Mapping[str, Any]) -> bytes:
    """Return an .npz file of arrays, or tensors on the CPU."""
    import numpy as np

    stream = io.BytesIO()
    named: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
    np.savez_compressed(stream, **named)
    return stream.getvalue()


def refuse_taken(folder: Path, names: Iterable[str], *, allowed: bool) -> None:
    """Refuse a folder in which one of ``names`` is, unless that is ``allowed``.

    Raises:
        ZooError: name the file.
    """
    for name in names:
        if (folder / name).exists() and not allowed:
            path = folder / name
            raise ZooError(f"{path} is there already; add resume=true, overwrite=true or choose another out=DIR")


def clear_samples(folder: Path, beside: Sequence[str], ending: str) -> None:
    """Remove the samples of an earlier call, their list first: never does a list name what is not there."""
    with contextlib.suppress(ZooError, KeyError, TypeError):
        earlier = len(read_samples(folder / "samples.json", {}))
        for name in ("samples.json", *beside, *(f"{index:03d}{ending}" for index in range(earlier))):
            (folder / name).unlink(missing_ok=True)


def read_samples(file: Path | None, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the samples that an earlier call left in its samples.json.

    Raises:
        ZooError: a file that is none of ours, or one that was drawn with other settings.
    """
    if file is None or not file.exists():
        return []
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        earlier, samples = document["settings"], list(document["samples"])
    except (ValueError, KeyError, TypeError):
        raise ZooError(f"{file} cannot be gone on with: it is not what generate wrote; use overwrite=true") from None
    for name, value in settings.items():
        if earlier.get(name) != value:
            raise ZooError(f"{file} was drawn with {name}={earlier.get(name)!r}, not {value!r}; choose another out=DIR")
    return samples
