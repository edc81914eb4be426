"""Characters and digits as tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.tokenizers.samples import CORPUS, HARD_TEXTS, check_offsets, check_stream, texts
from zoo.errors import ZooError
from zoo.tokenizers.text.char import CharTokenizer
from zoo.tokenizers.text.digits import DigitsTokenizer


def test_tiny_shakespeare_has_65_symbols(shared_data: Path) -> None:
    text = (shared_data / "text" / "tinyshakespeare" / "input.txt").read_text()
    tokenizer = CharTokenizer.fit([text])
    assert tokenizer.spec.vocabulary_size == 65
    assert tokenizer.spec.lossless
    assert tokenizer.encode("hii there").tolist() == [46, 47, 47, 1, 58, 46, 43, 56, 43]  # nanoGPT's ids
    assert len(tokenizer.encode(text)) == 1_115_394


def test_ids_are_by_code_point() -> None:
    tokenizer = CharTokenizer.fit(["ba", "\nc👍"])
    assert tokenizer.alphabet == ("\n", "a", "b", "c", "👍")
    assert tokenizer.encode("cab👍").tolist() == [3, 1, 2, 4]
    assert tokenizer.encode("").tolist() == []


@given(text=texts)
@settings(max_examples=60, deadline=None)
def test_a_text_comes_back_through_its_own_alphabet(text: str) -> None:
    tokenizer = CharTokenizer.fit([text, "x"])
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert len(ids) == len(text)
    check_offsets(tokenizer, text)
    check_stream(tokenizer, ids.tolist())


def test_an_unknown_character_is_refused_or_marked() -> None:
    with pytest.raises(ZooError, match=r"character 'z' at position 2 is not in the alphabet of 2; .*unknown=mark"):
        CharTokenizer.fit(["ab"]).encode("abz")
    marking = CharTokenizer.fit(["ab"], unknown="mark")
    assert marking.spec.vocabulary_size == 3
    assert not marking.spec.lossless
    assert marking.encode("abz👍").tolist() == [0, 1, 2, 2]
    assert marking.decode([0, 2, 1]) == "a\ufffdb"
    for text in HARD_TEXTS:
        assert len(CharTokenizer.fit([CORPUS], unknown="mark").encode(text)) == len(text)


def test_an_alphabet_needs_characters() -> None:
    with pytest.raises(ZooError, match="empty"):
        CharTokenizer.fit([])
    with pytest.raises(ZooError, match="surrogate"):
        CharTokenizer.fit(["a\ud800"])
    with pytest.raises(ZooError, match="each once"):
        CharTokenizer(["a", "a"])


def test_bad_ids_are_refused() -> None:
    with pytest.raises(ZooError, match="id 10 at position 0 is outside the vocabulary of 10"):
        DigitsTokenizer().decode([10])
    with pytest.raises(ZooError, match="id -1"):
        list(DigitsTokenizer().stream(iter([-1])))


def test_digits_are_their_own_ids() -> None:
    tokenizer = DigitsTokenizer()
    assert tokenizer.spec.type == "digits"
    assert tokenizer.spec.vocabulary_size == 10
    assert tokenizer.encode("8550531").tolist() == [8, 5, 5, 0, 5, 3, 1]
    assert tokenizer.decode([0, 9, 1]) == "091"
    check_offsets(tokenizer, "0123456789")
    with pytest.raises(ZooError, match=r"'\+' at position 2 is not a digit"):
        tokenizer.encode("85+50")
    with pytest.raises(ZooError, match="not a digit"):
        tokenizer.encode("٣")  # a digit to Unicode, not to the adder
