"""From a picture with hidden pixels to whole ones: what a network with Image GPT's BERT objective draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.architecture import AnyNetwork
from zoo.drawing import Drawn
from zoo.errors import ZooError, suggest
from zoo.generate.inpaint import draw_hidden
from zoo.generate.logits import Allow
from zoo.generate.sampler import sample_seeds
from zoo.generate.settings import SamplingOptions, SamplingSettings
from zoo.tokenizers.base import Tokenizer
from zoo.tokenizers.image.kept import Kept

NO_EFFECT: Mapping[str, Any] = {
    "max_new_tokens": None,
    "repetition_penalty": 1.0,
    "beams": 1,
    "length_penalty": 1.0,
    "guidance": 1.0,
    "truncate": "error",
}
"""Settings that mean nothing where hidden pixels are drawn, with their defaults."""


class Inpainter:
    """Draws hidden pixels with one network.

    Args:
        network: on its device, in evaluation mode, not causal.
        tokenizer: of pictures.
    """

    def __init__(self, network: AnyNetwork, tokenizer: Tokenizer[Any]) -> None:
        self.network = network
        self.tokenizer = tokenizer

    def draw(self, prompts: Sequence[Any], sampling: SamplingOptions, count: int, stop: object) -> list[Drawn]:
        """Return ``count`` pictures for each prompt, those of the first prompt first.

        Args:
            prompts: pictures (their upper half is kept), ``Kept``, or None: everything is hidden.
            sampling: settings, of which only the temperature, the filters and the seed mean something here.
            count: pictures for each.
            stop: nothing.

        Raises:
            ZooError: settings without a meaning here or out of range, and what is no picture.
        """
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ZooError(f"count: must be a whole number of at least 1, got {count!r}")
        settings = self._settings(sampling, stop)
        read = [self._read(prompt) for prompt in prompts]
        keys = [torch.cat([ids.where(visible, -1), visible.long()]) for ids, visible in read for _ in range(count)]
        seeds = sample_seeds(keys, settings.seed)
        known = torch.arange(self.network.output_vocabulary) < self.tokenizer.spec.output_vocabulary
        found = []
        for place, (prompt, (ids, visible)) in enumerate(zip(prompts, read, strict=True)):
            own = seeds[place * count : (place + 1) * count]
            allowed = () if bool(known.all()) else (Allow(known),)
            rows = draw_hidden(self.network, ids, visible, settings, seeds=own, transforms=allowed)
            for row, seed in zip(rows, own, strict=True):
                found.append(Drawn(prompt=prompt, seed=seed, ids=row, sample=self.tokenizer.decode(row)))
        return found

    def _settings(self, sampling: SamplingOptions, stop: object) -> SamplingSettings:
        for name in sampling:
            if name not in SamplingOptions.__annotations__:
                raise ZooError(f"unknown setting '{name}'{suggest(name, SamplingOptions.__annotations__)}")
        meant = [name for name, default in NO_EFFECT.items() if sampling.get(name, default) != default]
        if meant or stop:
            names = ", ".join([*meant, *(["stop"] if stop else [])])
            raise ZooError(f"this model draws the hidden pixels of a picture; leave out {names}")
        chosen: dict[str, Any] = {name: value for name, value in sampling.items() if name not in NO_EFFECT}
        return SamplingSettings(**chosen, max_new_tokens=0)

    def _read(self, prompt: Any) -> tuple[Tensor, Tensor]:
        """Return the ids of a picture (time,), and which of them are visible."""
        whole = self.tokenizer.spec.ids_per_sample or 0
        if prompt is None:
            return torch.zeros(whole, dtype=torch.int64), torch.zeros(whole, dtype=torch.bool)
        kept = prompt if isinstance(prompt, Kept) else Kept(picture=prompt)
        return self.tokenizer.encode(kept.picture), kept.visible(self.tokenizer)
