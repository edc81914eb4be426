"""Sentences in a stream of ids, against a plain loop over it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.data.masks import FIRST, QUOTE, SEPARATOR, STOP, Places
from zoo.data.sentences import Sentences

WORD = FIRST
TOKENIZER = Places(FIRST + 1)


def found(ids: list[int], longest: int = 100) -> list[tuple[int, int]]:
    sentences = Sentences.find(np.array(ids, dtype=np.uint16), TOKENIZER, longest=longest)
    return list(zip(sentences.begins.tolist(), sentences.ends.tolist(), strict=True))


def by_hand(ids: list[int], longest: int) -> list[tuple[int, int]]:
    """Return (begin, end) of every sentence: walk over the ids, remember what closed."""
    sentences: list[tuple[int, int]] = []
    begin = 0
    for place in range(len(ids) + 1):
        over = place == len(ids) or ids[place] == SEPARATOR
        before = ids[max(begin, 0) : place]
        closed = before[-1:] == [STOP] or before[-2:] == [STOP, QUOTE]
        if over or (closed and ids[place] == WORD):
            for start in range(begin, place, longest):
                sentences.append((start, min(start + longest, place)))
            begin = place + 1 if over else place
    return sentences


def test_sentences_end_with_a_mark_and_what_closes_after_it() -> None:
    assert found([WORD, WORD, STOP, WORD, STOP, QUOTE, WORD]) == [(0, 3), (3, 6), (6, 7)]
    assert found([WORD, STOP, STOP, STOP, WORD]) == [(0, 4), (4, 5)]
    assert found([QUOTE, WORD, SEPARATOR, WORD, STOP, SEPARATOR, QUOTE]) == [(0, 2), (3, 5), (6, 7)]
    assert found([WORD] * 7, longest=3) == [(0, 3), (3, 6), (6, 7)]
    assert found([]) == []


@given(st.lists(st.sampled_from([WORD, WORD, STOP, QUOTE, SEPARATOR]), max_size=60), st.integers(1, 9))
def test_sentences_are_those_of_a_plain_loop(ids: list[int], longest: int) -> None:
    assert found(ids, longest) == by_hand(ids, longest)


@given(st.lists(st.sampled_from([WORD, WORD, STOP, SEPARATOR]), min_size=1, max_size=80), st.integers(1, 12))
def test_stretches_hold_every_id_once_and_no_sentence_is_cut(ids: list[int], longest: int) -> None:
    sentences = Sentences.find(np.array(ids, dtype=np.uint16), TOKENIZER, longest=longest)
    documents = list(sentences.stretches(longest))
    ends = set(sentences.ends.tolist())
    places: list[int] = []
    for document in documents:
        assert [end for _, end in document[:-1]] == [begin for begin, _ in document[1:]]
        for begin, end in document:
            assert 0 < end - begin <= longest
            assert end in ends
            places += range(begin, end)
    assert places == [place for place, index in enumerate(ids) if index != SEPARATOR]
    assert len(documents) == len("".join(" " if index == SEPARATOR else "x" for index in ids).split())


def test_marks_that_the_vocabulary_lacks_end_nothing() -> None:
    class Without(Places):
        def decode(self, ids: object) -> str:
            return "w"

    assert len(Sentences.find(np.array([WORD, STOP, WORD]), Without(FIRST + 1), longest=9)) == 1
