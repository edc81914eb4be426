"""Number formats of the matrix products in training."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
from torch import nn

from zoo.errors import ZooError

Name = Literal["float32", "bfloat16", "float16"]

GAIN_WIDTH = 256
"""Width from which bfloat16 makes training faster on CPUs that multiply it in hardware.

Measured: a step of a 2-layer transformer, 8 x 128 ids, one thread of an AMD EPYC with AVX512-BF16, PyTorch 2.14:

    width      64   128   256   384   512
    float32    30    60   181   371   657  ms
    bfloat16   50    59   117   207   330  ms
"""


def choose(dtype: str, network: nn.Module) -> Name:
    """Return the format to train in; ``auto`` becomes a fixed choice for this network and machine."""
    if dtype == "float32":
        return "float32"
    if dtype == "bfloat16":
        return "bfloat16"
    if dtype == "float16":
        return "float16"
    device = next(network.parameters()).device
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    gains = device.type == "cpu" and cpu_multiplies_bfloat16() and width(network) >= GAIN_WIDTH
    return "bfloat16" if gains else "float32"


def width(network: nn.Module) -> int:
    """Return the shorter side of the largest matrix product: the width, for every network of this project."""
    return max((min(parameter.shape) for parameter in network.parameters() if parameter.ndim == 2), default=0)


def cpu_multiplies_bfloat16() -> bool:
    """Return whether the processor has instructions for products of bfloat16."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch before 2.12 cannot say
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def autocast(name: Name, device: torch.device) -> Callable[[], AbstractContextManager[Any]]:
    """Return a function that makes the context in which forward passes run."""
    if name == "float32":
        return contextlib.nullcontext
    dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}[name]
    return lambda: torch.autocast(device.type, dtype=dtype)


class LossScale:
    """Keeps float16 gradients from vanishing: the loss is multiplied by a factor, gradients are divided by it again.

    The factor halves when gradients overflow (that update is left out) and doubles after 2000 good updates
    (Micikevicius et al. 2018, section 3.2). In other formats it is 1 and stays so.
    """

    def __init__(self, name: Name) -> None:
        self.active = name == "float16"
        self.factor = 65536.0 if self.active else 1.0
        self.good = 0

    def update(self, *, finite: bool) -> None:
        """Take note of whether this update's gradients were finite.

        Raises:
            ZooError: they overflow whatever the factor.
        """
        if not self.active:
            return
        self.good = self.good + 1 if finite else 0
        if not finite:
            self.factor /= 2
            if self.factor < 2**-14:
                raise ZooError("gradients overflow float16 at every scale; use train.dtype=bfloat16 or float32")
        elif self.good % 2000 == 0:
            self.factor *= 2

    def state(self) -> dict[str, float]:
        """Return what ``load`` needs."""
        return {"factor": self.factor, "good": self.good}

    def load(self, state: dict[str, float]) -> None:
        """Go on from a saved state."""
        self.factor, self.good = float(state["factor"]), int(state["good"])
