from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import ZooError
from zoo.generate.text import StopWatch, check_stops, cut_at_stop, find_stop, stream_until_stop

texts = st.text("abc", max_size=20)
stop_lists = st.lists(st.text("abc", min_size=1, max_size=4), max_size=3)


def by_definition(text: str, stops: list[str], begin: int) -> str:
    """Read on character by character until some stop sequence is complete."""
    for end in range(begin, len(text) + 1):
        starts = [end - len(stop) for stop in stops if text[begin:end].endswith(stop)]
        if starts:
            return text[: min(starts)]
    return text


@given(text=texts, stops=stop_lists, begin=st.integers(0, 5))
def test_cut_equals_its_definition(text: str, stops: list[str], begin: int) -> None:
    assert cut_at_stop(text, stops, min(begin, len(text))) == by_definition(text, stops, min(begin, len(text)))


@given(text=texts, stops=stop_lists, begin=st.integers(0, 5), cuts=st.lists(st.integers(0, 20), max_size=8))
def test_streaming_equals_cutting_for_any_pieces(text: str, stops: list[str], begin: int, cuts: list[int]) -> None:
    begin = min(begin, len(text))
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
    assert "".join(stream_until_stop(pieces, stops, begin)) == cut_at_stop(text, stops, begin)


def test_streaming_holds_back_no_more_than_it_must() -> None:
    pieces = ["ab", "xy", "<e", "m>", "<", "end>", "never"]
    assert list(stream_until_stop(pieces, ["<end>"], 0)) == ["ab", "xy", "<em>"]


def test_streaming_stops_reading() -> None:
    def pieces() -> Iterator[str]:
        yield "a."
        raise AssertionError("read on after the stop")

    assert list(stream_until_stop(pieces(), ["."], 0)) == ["a"]


def test_find_takes_what_is_complete_first_and_of_those_the_longest() -> None:
    assert find_stop("xabcd", ["abcd", "bc"]) == 2
    assert find_stop("xabc", ["abc", "c", "bc"]) == 1
    assert find_stop("xabc", []) is None


@given(
    words=st.lists(st.sampled_from(["a", "b", "ab", "", "ba", "aab"]), max_size=60),
    prompt=st.integers(0, 5),
    stops=st.lists(st.text("ab", min_size=1, max_size=5), min_size=1, max_size=2),
)
def test_watch_sees_a_stop_at_the_id_that_completes_it(words: list[str], prompt: int, stops: list[str]) -> None:
    def decode(ids: torch.Tensor) -> str:
        return "".join(words[index] for index in ids.tolist())

    prompt = min(prompt, len(words))
    begin = len("".join(words[:prompt]))
    watch = StopWatch(decode, list(range(prompt)), stops)
    for index in range(prompt, len(words)):
        text = "".join(words[: index + 1])
        assert watch.add(index) == (find_stop(text, stops, begin) is not None)
        if find_stop(text, stops, begin) is not None:
            break


def test_watch_decodes_little_of_a_long_text() -> None:
    decoded = 0

    def decode(ids: torch.Tensor) -> str:
        nonlocal decoded
        decoded += len(ids)
        return "x" * len(ids)

    watch = StopWatch(decode, [0], ["stop"])
    assert not any(watch.add(0) for _ in range(5000))
    assert decoded < 5000 * 80


@pytest.mark.parametrize("stop", [[""], ["a", ""], [3], [None]])
def test_refuses_stops_that_are_no_text(stop: list[str]) -> None:
    with pytest.raises(ZooError, match="stop: expected text of at least one character"):
        check_stops(stop)


def test_one_stop_may_be_bare() -> None:
    assert check_stops("ab") == ("ab",)
    assert check_stops(["ab", "c"]) == ("ab", "c")
    assert check_stops("") == check_stops(()) == ()
