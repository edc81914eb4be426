"""Documents as one stream of ids: in memory when small, else in a file that is mapped and kept for the next run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import torch

from zoo.data.documents import Document
from zoo.errors import ZooError
from zoo.paths import home
from zoo.tokenizers.base import Tokenizer

IN_MEMORY = 16 << 20
"""Bytes of text above which ids are kept in a file."""
VERSION = 1
"""Part of a kept file's name: raise it when the same text gives another stream."""

Ids = npt.NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The ids of one part of a data set.

    Attributes:
        ids: unsigned, as small as the vocabulary allows, (count,).
        text_bytes: UTF-8 bytes of the raw text, without what joins documents.
        lossless: True if decoding gave the text again; not looked at for a tokenizer that says so itself.
    """

    ids: Ids
    text_bytes: int
    lossless: bool


def encode(documents: Sequence[Document], tokenizer: Tokenizer[str], *, key: str) -> Stream:
    """Encode documents one after another, joined by the tokenizer's end id, or by a newline if it has none.

    Args:
        documents: the text, in order.
        tokenizer: of text.
        key: what determines ``documents``, for the kept file's name.
    """
    total = 0
    for document in documents:
        total += document.size
        if total > IN_MEMORY:
            return _kept(documents, tokenizer, key)
    buffer = BytesIO()
    text_bytes, lossless = _write(documents, tokenizer, buffer)
    return Stream(ids=np.frombuffer(buffer.getbuffer(), id_type(tokenizer)), text_bytes=text_bytes, lossless=lossless)


def joiner(tokenizer: Tokenizer[str]) -> Ids:
    """Return the ids that stand between two documents."""
    end = tokenizer.spec.end_id
    return narrow(tokenizer.encode("\n") if end is None else torch.tensor([end]), tokenizer)


def _kept(documents: Sequence[Document], tokenizer: Tokenizer[str], content: str) -> Stream:
    def write(stream: IO[bytes]) -> dict[str, Any]:
        text_bytes, lossless = _write(documents, tokenizer, stream)
        return {"text_bytes": text_bytes, "lossless": lossless}

    ids, known = keep(content, tokenizer, write)
    return Stream(ids=ids, text_bytes=known["text_bytes"], lossless=known["lossless"])


def keep(
    content: str, tokenizer: Tokenizer[Any], write: Callable[[IO[bytes]], dict[str, Any]]
) -> tuple[Ids, dict[str, Any]]:
    """Return the ids that ``write`` writes, mapped from a file of the user's cache, and the facts that it returns.

    They are written once: the next run finds the file of the same content and tokenizer.

    Args:
        content: what determines the ids, beside the tokenizer.
        tokenizer: makes them; as numbers they are as small as its vocabulary allows.
        write: writes the ids to a stream and returns facts about them, for JSON.

    Raises:
        ZooError: the cache cannot be written.
    """
    key = hashlib.sha256(f"{VERSION}:{content}:{tokenizer.spec.fingerprint}".encode()).hexdigest()[:32]
    folder = home() / "data" / "ids"
    ids, facts = folder / f"{key}.ids", folder / f"{key}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = json.loads(facts.read_bytes()) if facts.exists() else {}
        if not known or not ids.exists() or ids.stat().st_size != known["bytes"]:
            with _complete(ids) as stream:
                found = write(stream)
            known = {"bytes": ids.stat().st_size, **found}
            with _complete(facts) as stream:
                stream.write(json.dumps(known).encode())
        mapped = np.memmap(ids, dtype=id_type(tokenizer), mode="r") if known["bytes"] else np.empty(0, np.uint8)
    except OSError as error:
        raise ZooError(
            f"{folder}: the ids cannot be kept there ({error.strerror}); set ZOO_HOME to another disk"
        ) from None
    return mapped, known


class _complete:  # noqa: N801  # used like open()
    """Opens a file for writing under another name, and gives it its own if nothing went wrong."""

    def __init__(self, path: Path) -> None:
        self._path = path
        handle, self._partial = tempfile.mkstemp(dir=path.parent, prefix=".encoding-")
        self._stream = os.fdopen(handle, "wb")

    def __enter__(self) -> IO[bytes]:
        return self._stream

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._stream.close()  # what is still to be written may not fit on the disk either
            if kind is None:
                os.replace(self._partial, self._path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._partial)


def _write(documents: Sequence[Document], tokenizer: Tokenizer[str], stream: IO[bytes]) -> tuple[int, bool]:
    """Write the ids of all documents; return the bytes of their text and whether nothing was dropped."""
    between = joiner(tokenizer).tobytes() if len(documents) > 1 else b""
    text_bytes, lossless = 0, True
    for number, document in enumerate(documents):
        if number:
            stream.write(between)
        for piece in document.pieces():
            ids = tokenizer.encode(piece)
            stream.write(narrow(ids, tokenizer).tobytes())
            lossless = lossless and (tokenizer.spec.lossless or tokenizer.decode(ids) == piece)
        text_bytes += document.size
    return text_bytes, lossless


def narrow(ids: torch.Tensor, tokenizer: Tokenizer[Any]) -> Ids:
    """Return ids (time,) as small as the vocabulary allows.

    Raises:
        ZooError: the tokenizer broke its word, and there are ids outside its vocabulary.
    """
    wide = ids.numpy()
    if wide.size and not 0 <= int(wide.min()) <= int(wide.max()) < tokenizer.spec.vocabulary_size:
        raise ZooError(f"the tokenizer '{tokenizer.spec.type}' gave ids outside its {tokenizer.spec.vocabulary_size}")
    narrow: Ids = wide.astype(id_type(tokenizer))
    return narrow


def id_type(tokenizer: Tokenizer[Any]) -> np.dtype[np.unsignedinteger[Any]]:
    """Return the smallest unsigned type that holds every id of the vocabulary."""
    dtype: np.dtype[np.unsignedinteger[Any]] = np.min_scalar_type(max(0, tokenizer.spec.vocabulary_size - 1))
    return dtype
