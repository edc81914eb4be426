"""What every text tokenizer asks of its input: text that UTF-8 can hold, ids and symbols of its own vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.errors import ZooError


def check_text(text: object) -> str:
    """Return ``text``, or raise a ZooError if it is not a string or holds half a surrogate pair."""
    if not isinstance(text, str):
        raise ZooError(f"expected text, got {type(text).__name__}; read bytes as UTF-8 first")
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ZooError(
                f"character {error.start} of the text is a lone surrogate (U+{ord(text[error.start]):04X}), "
                "which UTF-8 cannot hold; remove it or put U+FFFD in its place"
            ) from None
    return text


def check_stream(ids: Iterator[int], vocabulary: int) -> Iterator[int]:
    """Yield ``ids`` as they come; a ZooError at the first that is not an id of the vocabulary."""
    for position, value in enumerate(ids):
        index = int(value)
        if not 0 <= index < vocabulary:
            raise ZooError(f"id {index} at position {position} is outside the vocabulary of {vocabulary} ids")
        yield index


def check_vocabulary(ids: object) -> None:
    """Raise a ZooError unless ``ids`` maps texts to 0 ... n - 1, each once."""
    if not isinstance(ids, dict) or not ids:
        raise ZooError("a vocabulary maps symbols to ids, and has at least one")
    if not all(isinstance(index, int) and not isinstance(index, bool) for index in ids.values()):
        raise ZooError("a vocabulary's ids must be whole numbers")
    if sorted(ids.values()) != list(range(len(ids))):
        raise ZooError(f"a vocabulary of {len(ids)} symbols must have the ids 0 to {len(ids) - 1}, each once")
    for symbol in ids:
        if any("\ud800" <= character <= "\udfff" for character in symbol):
            raise ZooError(f"symbol {symbol!r} holds a lone surrogate")


def spans(starts: NDArray[Any], ends: NDArray[Any]) -> Tensor:
    """Return offsets, int64 (time, 2), from their two columns."""
    return torch.from_numpy(np.stack([starts, ends], axis=1).astype(np.int64))
