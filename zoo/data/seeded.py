"""Random numbers that are a function of a seed and a step, so that a resumed run needs no saved state."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def generator(seed: int, step: int) -> np.random.Generator:
    """Return the generator of one step: Philox (Salmon et al. 2011) is counter-based, with (seed, step) as its key."""
    return np.random.Generator(np.random.Philox(key=np.array([seed % 2**64, step], dtype=np.uint64)))


class Shuffled:
    """All of ``count`` samples once in every round, in another order each time; a function of the step."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._known: tuple[tuple[int, int], npt.NDArray[np.int64]] | None = None

    def take(self, step: int, size: int, seed: int) -> npt.NDArray[np.int64]:
        """Return the sample numbers (size,) of micro-batch ``step``."""
        places = np.arange(step * size, (step + 1) * size)
        rounds = places // self._count
        orders = {number: self._order(int(number), seed) for number in np.unique(rounds)}
        return np.array([orders[number][place] for number, place in zip(rounds, places % self._count, strict=True)])

    def _order(self, number: int, seed: int) -> npt.NDArray[np.int64]:
        if self._known is None or self._known[0] != (number, seed):
            # A key of its own: batches draw from (seed, step) too.
            self._known = ((number, seed), generator(~seed, number).permutation(self._count))
        return self._known[1]
