"""Codes as people give them, checked against the levels that a stack has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.stack.plan import Tier
from zoo.tokenizers.audio.vqvae.tokenizer import VqvaeTokenizer


def checked_codes(
    codes: Mapping[Any, Any], tiers: Sequence[Tier], pieces: Sequence[int] | None = None
) -> dict[int, Tensor]:
    """Return codes by level, int64 (pieces, time) each.

    Args:
        codes: by level, or by its name ``level_0``; arrays or tensors, (pieces, time) or (time,). A piece that is over
            before the longest may end with -1: all are cut to the shortest.
        tiers: of the stack; codes of other levels are left out.
        pieces: the numbers of those to return; None for all.

    Raises:
        ZooError: none of these levels, no such piece, other shapes, codes that the codec does not have.
    """
    sizes = {tier.level: tier.config.codes for tier in tiers}
    known = ", ".join(f"level_{level}" for level in sizes)
    found = {}
    for key, value in codes.items():
        name = str(key).removeprefix("level_")
        if name.endswith("_offsets"):
            raise ZooError(
                "codes: these are ids of several files, one after another; take one: zoo tokenize FILE out=DIR"
            )
        if not name.isdigit():
            raise ZooError(f"codes: '{key}' is no level with a prior; there are {known}")
        if int(name) not in sizes:
            continue
        try:
            rows = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError):
            raise ZooError(f"codes: {key} must be whole numbers (pieces, time)") from None
        rows = rows[None] if rows.ndim == 1 else rows
        if rows.ndim != 2 or rows.is_floating_point() or rows.is_complex() or not rows.numel():
            raise ZooError(f"codes: {key} must be whole numbers (pieces, time), got {rows.dtype} {tuple(rows.shape)}")
        rows = _chosen(rows.to(torch.int64), pieces, key)  # before they are cut: others may be shorter
        rows = rows[:, : int((rows >= 0).long().cumprod(1).sum(1).min())]
        if rows.shape[1]:
            if int(rows.max()) >= sizes[int(name)]:
                raise ZooError(f"codes: {key} holds {int(rows.max())}, and codes lie in [0, {sizes[int(name)]})")
            found[int(name)] = rows
    if not found:
        raise ZooError(f"codes: there are none of {known}")
    return found


def _chosen(rows: Tensor, pieces: Sequence[int] | None, key: Any) -> Tensor:
    if pieces is None:
        return rows
    if wrong := [number for number in pieces if not 0 <= number < len(rows)]:
        raise ZooError(f"pieces: {wrong[0]} is not one of the {len(rows)} of {key}, counted from 0")
    return rows[list(pieces)]


def fingerprints_of(levels: Iterable[int], tokenizers: Mapping[int, VqvaeTokenizer]) -> list[str]:
    """Return what stands beside codes of these levels: the fingerprint of each level from 0 on, empty where unknown."""
    return [tokenizers[level].spec.fingerprint if level in tokenizers else "" for level in range(max(levels) + 1)]


def refuse_other_codec(
    levels: Iterable[int], fingerprints: Sequence[str], tokenizers: Mapping[int, VqvaeTokenizer]
) -> None:
    """Refuse codes that are no ids of these tokenizers, where what stands beside them says so.

    Raises:
        ZooError: name the level.
    """
    for level in levels:
        known = fingerprints[level] if level < len(fingerprints) else ""
        if known and level in tokenizers and known != tokenizers[level].spec.fingerprint:
            raise ZooError(
                f"codes: level_{level} holds ids of another codec than this stack's; go on with the stack that drew "
                "them, or from their sound: audio=FILE"
            )
