"""Numbers in words, against a reader written the other way round."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.data.numbers import SMALL, TENS, Numbers, spell
from zoo.errors import ZooError

VALUES = {name: value for value, name in enumerate(SMALL)} | {name: 10 * ten for ten, name in enumerate(TENS) if name}


def read(words: str) -> int:
    """Return the number that words stand for."""
    total = group = 0
    for word in words.replace("-", " ").split():
        if word == "hundred":
            group *= 100
        elif word in ("thousand", "million"):
            total += group * {"thousand": 1_000, "million": 1_000_000}[word]
            group = 0
        elif word != "and":
            group += VALUES[word]
    return total + group


@given(st.integers(0, 999_999_999), st.booleans(), st.booleans())
def test_words_say_the_number(number: int, joined: bool, hyphens: bool) -> None:
    words = spell(number, joined=joined, hyphens=hyphens)
    assert read(words) == number
    assert words == " ".join(words.split())
    assert joined or "and" not in words.split()
    assert hyphens or "-" not in words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (20, "twenty"),
        (41, "forty-one"),
        (100, "one hundred"),
        (101, "one hundred and one"),
        (1_000, "one thousand"),
        (1_100, "one thousand one hundred"),
        (205_041, "two hundred and five thousand and forty-one"),
        (340_119, "three hundred and forty thousand one hundred and nineteen"),
        (1_000_001, "one million and one"),
    ],
)
def test_spelling(number: int, words: str) -> None:
    assert spell(number) == words
    assert spell(number, joined=False, hyphens=False) == " ".join(
        word for word in words.replace("-", " ").split() if word != "and"
    )


def test_held_out_numbers_are_never_learned_from() -> None:
    train, held_out = Numbers(digits=6, count=5_000, held_out=300).make()
    assert (len(train), len(held_out)) == (5_000, 300)
    for pairs, remainders in ((train, {0, 1, 2, 3, 4, 5, 7, 8, 9, 10}), (held_out, {6})):
        assert {int(target) % 11 for _, target in pairs} == remainders
        for source, target in pairs:
            assert str(read(source)) == target
    assert not {source for source, _ in train} & {source for source, _ in held_out}
    assert len({target for _, target in held_out}) == 300
    lengths = [len(target) for _, target in train]
    assert all(700 < lengths.count(length) < 970 for length in range(1, 7))
    ways = {(" and " in source, "-" in source) for source, _ in train if len(source) > 50}
    assert ways == set(itertools.product([False, True], repeat=2))


def test_every_machine_makes_the_same_pairs() -> None:
    train, held_out = Numbers(digits=3, count=2, held_out=3).make()
    assert train == [("eight hundred and eleven", "811"), ("two hundred one", "201")]
    assert held_out == [("six", "6"), ("seven hundred ten", "710"), ("five hundred eighty-nine", "589")]
    assert len(Numbers(digits=2, count=1, held_out=100).make()[1]) == 9  # 6, 17, ... 94


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"digits": 1}, r"digits must lie in 2\.\.9, got 1"),
        ({"digits": 10}, r"digits must lie in 2\.\.9, got 10"),
        ({"count": 0}, "count must lie in"),
        ({"held_out": 0}, "held_out must lie in"),
    ],
)
def test_bad_settings(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ZooError, match=message):
        Numbers(**settings)
