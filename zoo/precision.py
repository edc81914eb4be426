"""How exactly a GPU computes in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch.backends import cudnn


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """Compute float32 convolutions with all 24 bits, as a CPU does.

    By default NVIDIA's GPUs since 2020 read their inputs with 11 bits (TF32), which changes ids where two vectors of a
    codebook are nearly as near. Changes nothing on other devices, and of other types.
    """
    with cudnn.flags(
        enabled=cudnn.enabled, benchmark=cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False
    ):
        yield
