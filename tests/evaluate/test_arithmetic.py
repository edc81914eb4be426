"""Sums in words."""

from __future__ import annotations

import re

import pytest

from zoo.errors import ZooError
from zoo.evaluate.arithmetic import NAMES, QUESTION, problems
from zoo.evaluate.examples import Example

WORDS = {"plus": "+", "minus": "-", "times": "*"}


def solved(text: str) -> int:
    """Work out a question by Python's own rules."""
    sums = text.removeprefix("What is ").removesuffix("?")
    for word, sign in WORDS.items():
        sums = sums.replace(f" {word} ", sign)
    assert re.fullmatch(r"[\d+*()-]+", sums)
    return int(eval(re.sub(r"\b0+(\d)", r"\1", sums)))


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_right(name: str) -> None:
    found = problems(name, count=300)
    assert all(example.answer == str(solved(example.text)) for example in found)
    assert found[:5] == problems(name, count=5)
    assert found != problems(name, count=300, seed=1)
    digits = max(len(number) for example in found for number in re.findall(r"\d+", example.text))
    assert digits == (1 if name == "1DC" else int(name[0]))


def test_the_papers_prompt() -> None:
    example = Example(text="What is 98 plus 45?", answer="143")
    assert QUESTION.ask(example) + QUESTION.reply("143") == "Q: What is 98 plus 45?\nA: 143"
    assert {example.text.split()[3] for example in problems("2Dx", count=9)} == {"times"}
    assert any(example.answer.startswith("-") for example in problems("2D-", count=20))
    assert len({example.text for example in problems("5D+", count=500)}) == 500
    assert {sign for example in problems("1DC", count=100) for sign in "+-*" if sign in example.text} == set("+-*")


def test_what_there_is_not() -> None:
    with pytest.raises(ZooError, match=r"there is no set '2D\*' of sums; did you mean '2D"):
        problems("2D*")
    with pytest.raises(ZooError, match="count must be at least 1"):
        problems("2D+", count=0)
