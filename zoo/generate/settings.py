"""How to draw from a model: one frozen, self-checking value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypedDict

from zoo.errors import ZooError


class SamplingOptions(TypedDict, total=False):
    """The fields of ``SamplingSettings`` as keyword arguments; None for ``max_new_tokens`` lets the model choose."""

    max_new_tokens: int | None
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    beams: int
    length_penalty: float
    guidance: float
    seed: int
    truncate: Literal["error", "left"]


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """Settings of the sampler.

    Attributes:
        max_new_tokens: most ids to add to a prompt.
        temperature: logits are divided by it; 0 takes the most likely id at every step.
        top_k: keep the k most likely ids, and those as likely as the k-th; 0 keeps all.
        top_p: keep the smallest set of most likely ids that holds this share of probability, in (0, 1]; 1 keeps all.
        min_p: keep ids at least this fraction as likely as the most likely one, in [0, 1]; 0 keeps all.
        repetition_penalty: logits of ids already in the sequence are divided by it where positive and multiplied where
            negative (CTRL, Keskar et al. 2019, section 4.1); 1 changes nothing.
        beams: sequences that beam search follows; 1 samples instead.
        length_penalty: beam search ranks by log-probability / length ** length_penalty.
        guidance: how much more of what the label changes, see ``zoo.generate.guidance``; 1 is off, 0 forgets the label.
        seed: of the first sample of a prompt; the next ones of the same prompt use seed + 1, seed + 2, ...
        truncate: what to do with a prompt longer than the context: refuse it, or keep its right end (``left`` is cut).
    """

    max_new_tokens: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    beams: int = 1
    length_penalty: float = 1.0
    guidance: float = 1.0
    seed: int = 0
    truncate: Literal["error", "left"] = "error"

    def __post_init__(self) -> None:
        for name in ("max_new_tokens", "top_k", "beams", "seed"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise ZooError(f"{name}: must be a whole number, got {value!r}")
        for name in ("temperature", "top_p", "min_p", "repetition_penalty", "length_penalty", "guidance"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ZooError(f"{name}: must be a finite number, got {value!r}")
        if self.max_new_tokens < 0:
            raise ZooError(f"max_new_tokens: must be 0 or more, got {self.max_new_tokens}")
        if self.temperature < 0:
            raise ZooError(f"temperature: must be 0 (always the most likely id) or more, got {self.temperature}")
        if self.top_k < 0:
            raise ZooError(f"top_k: must be 0 (off) or more, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ZooError(f"top_p: must lie in (0, 1], 1 is off, got {self.top_p}")
        if not 0 <= self.min_p <= 1:
            raise ZooError(f"min_p: must lie in [0, 1], 0 is off, got {self.min_p}")
        if self.repetition_penalty <= 0:
            raise ZooError(f"repetition_penalty: must be more than 0, 1 is off, got {self.repetition_penalty}")
        if self.beams < 1:
            raise ZooError(f"beams: must be at least 1, got {self.beams}")
        if self.guidance < 0:
            raise ZooError(f"guidance: must be 0 (forgets the label) or more, 1 is off, got {self.guidance}")
        if not 0 <= self.seed < 2**62:
            raise ZooError(f"seed: must lie in [0, 2**62), got {self.seed}")
        if self.truncate not in ("error", "left"):
            raise ZooError(f"truncate: must be 'error' or 'left', got {self.truncate!r}")
