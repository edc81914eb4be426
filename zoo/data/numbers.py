"""Numbers in words and in digits: ``two hundred and five thousand and forty-one`` is ``205041``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zoo.data.seeded import generator
from zoo.data.split import PERIOD, PHASE
from zoo.errors import ZooError

SEED = 1337
"""Of the numbers that are drawn: every machine learns from the same ones."""
SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
POWERS = ((10**6, "million"), (10**3, "thousand"))

Pair = tuple[str, str]
"""A source and its target."""


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Whole numbers, spelled out to be turned into digits; each length from 1 to ``digits`` equally often.

    Numbers whose remainder by 11 is 6 are held out: none of them is ever learned from, in whatever way it is spelled.

    Attributes:
        digits: of the largest numbers, 2 to 9.
        count: pairs to learn from.
        held_out: most pairs to be evaluated on, each of another number.
    """

    digits: int = 6
    count: int = 100_000
    held_out: int = 1_000

    def __post_init__(self) -> None:
        if not 2 <= self.digits <= 9:
            raise ZooError(f"digits must lie in 2..9, got {self.digits}")
        if not 1 <= self.count <= 1_000_000:
            raise ZooError(f"count must lie in 1..1000000, got {self.count}")
        if not 1 <= self.held_out <= 100_000:
            raise ZooError(f"held_out must lie in 1..100000, got {self.held_out}")

    @property
    def title(self) -> str:
        """What the pairs are, for cards."""
        return f"numbers of up to {self.digits} digits in words and in digits, made by the recipe"

    def make(self) -> tuple[list[Pair], list[Pair]]:
        """Return the pairs to learn from and the held-out ones, the same on every machine."""
        drawn = self._draw(0, 2 * self.count)
        train = drawn[drawn % PERIOD != PHASE][: self.count]
        drawn = self._draw(1, 40 * self.held_out)
        held_out = np.array(list(dict.fromkeys(drawn[drawn % PERIOD == PHASE].tolist()))[: self.held_out])
        return _pairs(2, train), _pairs(3, held_out)

    def _draw(self, stream: int, count: int) -> npt.NDArray[np.int64]:
        random = generator(SEED, stream)
        lengths = random.integers(1, self.digits, size=count, endpoint=True)
        return random.integers(np.where(lengths > 1, 10 ** (lengths - 1), 0), 10**lengths)


def spell(number: int, *, joined: bool = True, hyphens: bool = True) -> str:
    """Return ``number`` (0 to 999,999,999) in words.

    Args:
        number: to be spelled.
        joined: put ``and`` before tens and ones, as the British do.
        hyphens: write ``forty-one``, not ``forty one``.
    """
    words: list[str] = []
    for power, name in POWERS:
        if number >= power:
            words += [*_hundreds(number // power, joined, hyphens), name]
            number %= power
    if words and joined and 0 < number < 100:
        words.append("and")
    if number or not words:
        words += _hundreds(number, joined, hyphens)
    return " ".join(words)


def _hundreds(number: int, joined: bool, hyphens: bool) -> list[str]:
    """Return the words of 0 to 999."""
    hundreds, rest = divmod(number, 100)
    words = [SMALL[hundreds], "hundred"] if hundreds else []
    if hundreds and rest and joined:
        words.append("and")
    if rest >= len(SMALL):
        tens, ones = divmod(rest, 10)
        parts = [TENS[tens], SMALL[ones]] if ones else [TENS[tens]]
        return words + (["-".join(parts)] if hyphens else parts)
    return words + ([SMALL[rest]] if rest or not hundreds else [])


def _pairs(stream: int, numbers: npt.NDArray[np.int64]) -> list[Pair]:
    """Spell each number in one of the four ways, drawn anew."""
    ways = generator(SEED, stream).integers(0, 4, size=len(numbers))
    return [
        (spell(number, joined=bool(way & 1), hyphens=bool(way & 2)), str(number))
        for number, way in zip(numbers.tolist(), ways.tolist(), strict=True)
    ]
