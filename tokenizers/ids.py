"""Ids as arrays and tensors: what every tokenizer asks of the ids it decodes, and how it hands out its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.errors import ZooError


def check_ids(ids: Tensor | Sequence[int] | NDArray[Any], vocabulary: int) -> NDArray[np.int64]:
    """Return ``ids``, shape (time,), as int64; a ZooError if one is not an id of the vocabulary."""
    values = ids.detach().cpu().numpy() if isinstance(ids, Tensor) else np.asarray(ids)
    if values.ndim != 1:
        raise ZooError(f"expected ids of shape (time,), got shape {tuple(values.shape)}; decode one sample at a time")
    if values.size and not np.issubdtype(values.dtype, np.integer):
        raise ZooError(f"ids must be whole numbers, got {values.dtype}")
    whole = values.astype(np.int64)
    bad = np.flatnonzero((whole < 0) | (whole >= vocabulary))
    if bad.size:
        raise ZooError(f"id {whole[bad[0]]} at position {bad[0]} is outside the vocabulary of {vocabulary} ids")
    return whole


def to_tensor(ids: NDArray[Any] | Sequence[int]) -> Tensor:
    """Return ``ids`` as an int64 tensor of shape (time,)."""
    return torch.from_numpy(np.asarray(ids, dtype=np.int64))
