"""Whole words as tokens."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.tokenizers.samples import CORPUS, HARD_TEXTS, check_offsets, check_stream, texts
from zoo.errors import ZooError
from zoo.tokenizers.text.settings import Word
from zoo.tokenizers.text.word import WordTokenizer

every_word = Word(vocabulary=None, minimum_count=1)
between_spaces = Word(split="spaces", vocabulary=None, minimum_count=1)


def test_words_and_marks_most_frequent_first() -> None:
    tokenizer = WordTokenizer.fit(["b a, b's a b\n"])
    assert tokenizer.words == ("<unk>", " a", "b", ",", " b's", " b", "\n")
    assert tokenizer.encode("b a, a zebra").tolist() == [2, 1, 3, 1, 0]
    assert tokenizer.decode([2, 1, 3, 0]) == "b a,<unk>"


def test_frequency_and_vocabulary_cut_off() -> None:
    text = "c c c b b a"
    assert Word(split="spaces", minimum_count=2).fit([text]).spec.vocabulary_size == 3
    assert Word(split="spaces", minimum_count=1, vocabulary=2).fit([text]).spec.vocabulary_size == 2
    assert between_spaces.fit([text]).encode("a b c d").tolist() == [3, 2, 1, 0]
    with pytest.raises(ZooError, match="lower minimum_count"):
        Word(minimum_count=7).fit([text])


@given(text=texts)
@settings(max_examples=60, deadline=None)
def test_known_words_come_back(text: str) -> None:
    tokenizer = every_word.fit([text, "x"])
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    check_offsets(tokenizer, text)
    check_stream(tokenizer, ids.tolist())


@given(text=texts)
@settings(max_examples=60, deadline=None)
def test_spaced_words_come_back_with_single_blanks(text: str) -> None:
    tokenizer = between_spaces.fit([text, "x"])
    ids, offsets = tokenizer.encode_with_offsets(text)
    assert [text[start:end] for start, end in offsets.tolist()] == text.split()
    assert tokenizer.decode(ids) == " ".join(text.split())
    check_stream(tokenizer, ids.tolist())


@pytest.mark.parametrize("split", ["words", "spaces"])
def test_hard_texts_have_ids(split: str) -> None:
    tokenizer = Word(split=split, minimum_count=1).fit([CORPUS])
    for text in HARD_TEXTS:
        check_offsets(tokenizer, text)
        check_stream(tokenizer, tokenizer.encode(text).tolist())
    assert not tokenizer.spec.lossless


def test_fables_form() -> None:
    """20 bars before each story, words and marks between blanks (spec section 6): index 0 is no word."""
    story = "| " * 20 + 'the fox saw grapes . he said , " sour ! "'
    tokenizer = between_spaces.fit([story])
    assert tokenizer.words[1] == "|"
    assert tokenizer.spec.vocabulary_size == len(set(story.split())) + 1
    assert tokenizer.encode(story).tolist()[:21] == [1] * 20 + [tokenizer.words.index("the")]


@pytest.mark.parametrize(("field", "value"), [("vocabulary", 1), ("minimum_count", 0)])
def test_settings_check_themselves(field: str, value: int) -> None:
    with pytest.raises(ZooError, match=field):
        Word(**{field: value})


def test_a_word_of_a_million_letters() -> None:
    tokenizer = every_word.fit([CORPUS])
    assert tokenizer.encode("a" * 1_000_000).tolist() == [0]
    assert len(tokenizer.encode("a'" * 200_000)) < 10_000


def test_refusals() -> None:
    tokenizer = every_word.fit([CORPUS])
    with pytest.raises(ZooError, match="outside the vocabulary"):
        tokenizer.decode([tokenizer.spec.vocabulary_size])
    with pytest.raises(ZooError, match="surrogate"):
        tokenizer.encode("x\udc00")
