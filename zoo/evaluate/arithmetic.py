"""Sums in words, the ten sets of GPT-3 (Brown et al. 2020, section 3.9.1): "What is 98 plus 45?"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from zoo.data.seeded import generator
from zoo.errors import ZooError, suggest
from zoo.evaluate.examples import Example, Template

QUESTION = Template(question="Q: {text}\nA:")
"""Question and answer on lines of their own (Brown et al. 2020, appendix G)."""


@dataclass(frozen=True, kw_only=True)
class _Words:
    """Two numbers of up to ``digits`` digits, and what is done to them in a word."""

    word: str
    digits: int
    result: Callable[[int, int], int]

    def draw(self, random: np.random.Generator) -> Example:
        """Return a problem; numbers are drawn evenly from 0 to 10**digits - 1, and results may be negative."""
        one, other = random.integers(10**self.digits, size=2).tolist()
        return Example(text=f"What is {one} {self.word} {other}?", answer=str(self.result(one, other)))


@dataclass(frozen=True, kw_only=True)
class _Composite:
    """Three numbers of one digit, the last two in parentheses; the operations are drawn from +, - and *."""

    def draw(self, random: np.random.Generator) -> Example:
        """Return a problem, such as 6+(4*8)."""
        first, second, third = random.integers(10, size=3).tolist()
        outer, inner = (_SIGNS[sign] for sign in random.integers(len(_SIGNS), size=2))
        result = outer[1](first, inner[1](second, third))
        return Example(text=f"What is {first}{outer[0]}({second}{inner[0]}{third})?", answer=str(result))


def _plus(one: int, other: int) -> int:
    return one + other


def _minus(one: int, other: int) -> int:
    return one - other


def _times(one: int, other: int) -> int:
    return one * other


_SIGNS: tuple[tuple[str, Callable[[int, int], int]], ...] = (("+", _plus), ("-", _minus), ("*", _times))

_SETS: dict[str, _Words | _Composite] = {
    **{f"{digits}D+": _Words(word="plus", digits=digits, result=_plus) for digits in (2, 3, 4, 5)},
    **{f"{digits}D-": _Words(word="minus", digits=digits, result=_minus) for digits in (2, 3, 4, 5)},
    "2Dx": _Words(word="times", digits=2, result=_times),
    "1DC": _Composite(),
}

NAMES = tuple(_SETS)
"""As the paper calls them: 2D+ ... 5D+, 2D- ... 5D-, 2Dx, 1DC."""


def problems(name: str, *, count: int = 2000, seed: int = 0) -> list[Example]:
    """Return ``count`` problems of one set; each is a function of the set, the seed and its number.

    Args:
        name: one of ``NAMES``.
        count: GPT-3 was asked 2,000 of each.
        seed: of the numbers.

    Raises:
        ZooError: there is no such set, or ``count`` is less than 1.
    """
    if name not in _SETS:
        raise ZooError(f"there is no set '{name}' of sums{suggest(name, NAMES)}")
    if count < 1:
        raise ZooError(f"count must be at least 1, got {count}")
    return [_SETS[name].draw(generator(seed, number)) for number in range(count)]
