"""Gaps in a row of ids, filled by a network that sees both sides of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.generate.logits import LogitsTransform, transform
from zoo.generate.sampler import device_of, evaluation_mode
from zoo.network import Conditioning, Network

Order = Literal["at_once", "one_by_one"]
"""``at_once``: every gap by itself, while the others are still open. ``one_by_one``: the surest gap first; the others
are then looked at again, with what was put there."""


@dataclass(frozen=True, kw_only=True)
class Gap:
    """What could stand in one gap.

    Attributes:
        position: of the gap in its row.
        ids: int64 (count,), the most likely first; equally likely ones in the order of their ids.
        probabilities: float32 (count,), of each among all ids.
    """

    position: int
    ids: Tensor
    probabilities: Tensor


@torch.no_grad()
def fill_gaps(
    network: Network,
    ids: Tensor,
    gaps: Sequence[int],
    *,
    count: int = 5,
    order: Order = "at_once",
    conditioning: Conditioning | None = None,
    transforms: Sequence[LogitsTransform] = (),
) -> tuple[Tensor, list[Gap]]:
    """Fill the positions ``gaps`` of ``ids`` (time,) with the most likely ids.

    Args:
        network: not causal.
        ids: int64; the mask id stands in the gaps.
        gaps: positions, rising.
        count: candidates to return for each gap; at most as many as there are ids.
        order: of filling, see ``Order``.
        conditioning: of the one row; on any device.
        transforms: applied to the logits before the softmax.

    Returns:
        The filled row (time,) on the CPU, and what could stand in each gap, seen at the time it was filled.

    Raises:
        ZooError: more ids than the context, or logits that are no numbers.
    """
    if len(ids) > network.context:
        raise ZooError(
            f"the text has {len(ids)} ids with [CLS] and [SEP], more than the model's context of {network.context}; "
            "shorten it"
        )
    filled, open_gaps, found = ids.cpu().clone(), list(gaps), dict[int, Gap]()
    while open_gaps:
        seen = _look(network, filled, open_gaps, count, conditioning, transforms)
        chosen = seen if order == "at_once" else [max(seen, key=lambda gap: float(gap.probabilities[0]))]
        for gap in chosen:
            filled[gap.position] = gap.ids[0]
            found[gap.position] = gap
            open_gaps.remove(gap.position)
    return filled, [found[position] for position in gaps]


def _look(
    network: Network,
    ids: Tensor,
    gaps: list[int],
    count: int,
    conditioning: Conditioning | None,
    transforms: Sequence[LogitsTransform],
) -> list[Gap]:
    """Return what could stand in each of the gaps, given everything else."""
    row = ids[None].to(device_of(network))
    with evaluation_mode(network):
        hidden = network.hidden(row, conditioning=conditioning)
        logits = network.head(hidden[:, gaps])[0].float()
    probabilities = transform(logits, row.expand(len(gaps), -1), transforms).softmax(dim=1).cpu()
    if not bool(probabilities.isfinite().all()):
        raise ZooError("the model's logits are not finite; its weights are damaged or do not suit this dtype")
    values, places = probabilities.sort(dim=1, descending=True, stable=True)
    return [
        Gap(position=position, ids=places[row][:count], probabilities=values[row][:count])
        for row, position in enumerate(gaps)
    ]
