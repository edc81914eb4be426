"""Small files of results, complete or not there at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from zoo.errors import ZooError


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file under a temporary name and rename it.

    Raises:
        ZooError: the folder cannot be written to.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(text.encode("utf-8", "surrogatepass"))
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ZooError(f"cannot write {path}: {error.strerror or error}; choose another out=DIR") from None


def write_json(path: Path, document: Any) -> None:
    """Write a JSON document; see ``write_text``."""
    write_text(path, json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n")
