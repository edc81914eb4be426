"""Padded batches as people give them, on either side; networks read rows padded on the right only."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from zoo.errors import ZooError


class PaddedIds:
    """Ids (batch, time) with a mask, shifted to the left edge for a network, and results shifted back.

    Attributes:
        ids: int64 (batch, time), rows padded on the right.
        lengths: int64 (batch,), real ids of each row.
    """

    def __init__(self, ids: Tensor, mask: Tensor | None, *, vocabulary: int) -> None:
        """Take ids (batch, time) or (time,), and a mask of the same shape, 0 at padding on the left or right.

        Raises:
            ZooError: wrong shapes or types, ids outside the vocabulary, a row without ids or with a gap.
        """
        if not isinstance(ids, Tensor) or ids.ndim not in (1, 2) or ids.dtype != torch.int64 or not ids.numel():
            given = f"{ids.dtype} {tuple(ids.shape)}" if isinstance(ids, Tensor) else type(ids).__name__
            raise ZooError(f"ids: expected int64 (batch, time) with at least one id, got {given}")
        if mask is not None and (not isinstance(mask, Tensor) or mask.shape != ids.shape):
            given = str(tuple(mask.shape)) if isinstance(mask, Tensor) else type(mask).__name__
            raise ZooError(f"mask: expected a tensor of the shape of ids {tuple(ids.shape)}, got {given}")
        self.given = ids.reshape(-1, ids.shape[-1])
        real = torch.ones_like(self.given, dtype=torch.bool) if mask is None else mask.reshape(-1, ids.shape[-1]).bool()
        self._real = real.to(ids.device)
        self.lengths = self._real.sum(dim=1)
        begins = self._real.int().argmax(dim=1)
        columns = torch.arange(self.given.shape[1], device=ids.device)
        ends = begins + self.lengths
        if (
            not torch.equal(self._real, (columns >= begins[:, None]) & (columns < ends[:, None]))
            or self.lengths.min() < 1
        ):
            raise ZooError("mask: every row needs at least one id, in one piece, with padding before or after it")
        wrong = self._real & ((self.given < 0) | (self.given >= vocabulary))
        if bool(wrong.any()):
            raise ZooError(f"ids: {int(self.given[wrong][0])} is outside the model's vocabulary [0, {vocabulary})")
        time = self.given.shape[1]
        self._back = (columns - begins[:, None]) % time
        self._forth = (columns + begins[:, None]) % time
        self.ids = self.given.where(self._real, 0).gather(1, self._forth)[:, : int(self.lengths.max())]

    def rows(self) -> list[Tensor]:
        """Return the real ids of each row, (time,)."""
        return [row[:length] for row, length in zip(self.ids, self.lengths.tolist(), strict=True)]

    def rolled(self, values: Tensor) -> Tensor:
        """Return ``values``, one for each given id, as the ids are: each row's first real one at the left."""
        if values.shape != self.given.shape:
            raise ZooError(f"expected one value for each id {tuple(self.given.shape)}, got {tuple(values.shape)}")
        return values.where(self._real, 0).gather(1, self._forth)[:, : self.ids.shape[1]]

    def restore(self, values: Tensor) -> Tensor:
        """Return ``values`` (batch, longest, width) in the columns of the given ids, 0 at padding."""
        index = rearrange(self._back.clamp(max=values.shape[1] - 1), "batch time -> batch time 1").to(values.device)
        moved = values.gather(1, index.expand(-1, -1, values.shape[2]))
        return moved.where(rearrange(self._real, "batch time -> batch time 1").to(values.device), 0)


def without_padding(ids: Tensor, pad_id: int) -> Tensor:
    """Return a mask like ``ids``, False at the pad ids that end a row; a row of nothing else keeps its first."""
    real = (ids != pad_id).flip(-1).long().cumsum(-1).flip(-1) > 0
    real[..., 0] = True
    return real
