"""Random numbers that are a function of a seed and a step, so that a resumed run needs no saved state."""

from __future__ import annotations

import numpy as np


def generator(seed: int, step: int) -> np.random.Generator:
    """Return the generator of one step: Philox (Salmon et al. 2011) is counter-based, with (seed, step) as its key."""
    return np.random.Generator(np.random.Philox(key=np.array([seed % 2**64, step], dtype=np.uint64)))
