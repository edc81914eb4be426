"""Hidden places of rows of ids, drawn one after the other by a network that sees both sides of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import repeat
from torch import Tensor

from zoo.errors import ZooError
from zoo.generate.draw import IMPOSSIBLE, Draw, Greedy, Race
from zoo.generate.logits import LogitsTransform, transform, transforms_of
from zoo.generate.sampler import device_of, evaluation_mode, no_probability
from zoo.generate.settings import SamplingSettings
from zoo.network import Conditioning, Predictor


@torch.no_grad()
def draw_hidden(
    network: Predictor,
    ids: Tensor,
    visible: Tensor,
    settings: SamplingSettings,
    *,
    seeds: Sequence[int],
    transforms: Sequence[LogitsTransform] = (),
) -> Tensor:
    """Draw what is hidden of one picture, several times.

    In raster order, one id at a time, each seen by those after it: a draw from the product of the network's own
    predictions, as with an autoregressive network. Drawing many at once would be faster, but neighbours drawn in the
    same round know nothing of each other, and in a picture neighbours are nearly equal; and an order by how sure the
    network is can change with the last bits of its numbers, so that a sample would depend on its batch.

    Args:
        network: not causal; hides by ``Conditioning.visible`` (Image GPT's BERT objective).
        ids: int64 (time,); what stands in hidden places is not looked at.
        visible: bool (time,).
        settings: temperature and filters.
        seeds: of each sample.
        transforms: applied to logits after the settings' own.

    Returns:
        int64 (samples, time) on the CPU.

    Raises:
        ZooError: logits that are not finite.
    """
    device, count = device_of(network), len(seeds)
    rows = repeat(ids.where(visible, 0), "time -> count time", count=count).to(device).contiguous()
    seen = repeat(visible, "time -> count time", count=count).to(device).contiguous()
    draw: Draw = Greedy() if settings.temperature == 0 else Race(seeds, device)
    changes = (*transforms_of(settings), *transforms)
    for position in (~visible).nonzero()[:, 0].tolist():
        with evaluation_mode(network):
            hidden = network.hidden(rows, conditioning=Conditioning(visible=seen))
            logits = network.head(hidden[:, position : position + 1])[:, 0].float()
        drawn = draw(transform(logits, rows, changes))
        if bool((drawn == IMPOSSIBLE).any()):
            raise ZooError(no_probability(f"position {position}"))
        rows[:, position], seen[:, position] = drawn, True
    return rows.cpu()
