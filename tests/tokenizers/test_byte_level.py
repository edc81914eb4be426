"""Tokenizers whose ids are byte strings: nothing is lost, and no half character is ever shown."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tokenizers.samples import HARD_TEXTS, check_offsets, check_stream, texts
from zoo.errors import ZooError
from zoo.tokenizers.text.bpe import BpeTokenizer, Gpt2Tokenizer
from zoo.tokenizers.text.byte import ByteTokenizer
from zoo.tokenizers.text.byte_level import ByteLevelTokenizer

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=["byte", "bpe", "gpt2"])
def tokenizer(request: pytest.FixtureRequest, gpt2: Gpt2Tokenizer, trained: BpeTokenizer) -> ByteLevelTokenizer:
    kinds: dict[str, ByteLevelTokenizer] = {"byte": ByteTokenizer(), "bpe": trained, "gpt2": gpt2}
    return kinds[request.param]


@pytest.mark.parametrize("text", HARD_TEXTS)
def test_hard_texts_come_back(tokenizer: ByteLevelTokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert ids.dtype == torch.int64
    assert ids.ndim == 1
    assert tokenizer.decode(ids) == text
    check_offsets(tokenizer, text)
    check_stream(tokenizer, ids.tolist())


@given(text=texts)
@quick
def test_any_text_comes_back(tokenizer: ByteLevelTokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    check_offsets(tokenizer, text)


@given(data=st.data())
@quick
def test_any_ids_stream_as_they_decode(tokenizer: ByteLevelTokenizer, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, tokenizer.spec.vocabulary_size - 1), max_size=20))
    check_stream(tokenizer, ids)


@given(text=texts)
@quick
def test_offsets_cover_the_bytes_of_an_id(tokenizer: ByteLevelTokenizer, text: str) -> None:
    ids, offsets = tokenizer.encode_with_offsets(text)
    for index, (start, end) in zip(ids.tolist(), offsets.tolist(), strict=True):
        assert tokenizer.pieces[index] in text[start:end].encode()
    if len(ids):
        assert offsets[0, 0] == 0
        assert offsets[-1, 1] == len(text)


def test_half_a_character_is_held_back() -> None:
    tokenizer = ByteTokenizer()
    ids = list("a👍é".encode())
    shown = [list(tokenizer.stream(iter(ids[: count + 1]))) for count in range(len(ids))]
    assert shown[-1] == ["a", "👍", "é"]
    assert shown[1] == ["a", "�"]  # the text ended here, so half a character is all there is

    arrived: list[int] = []

    def slowly() -> Iterator[int]:
        for value in ids:
            arrived.append(value)
            yield value

    seen = [(piece, len(arrived)) for piece in tokenizer.stream(slowly())]
    assert seen == [("a", 1), ("👍", 5), ("é", 7)]


def test_offsets_of_bytes_of_one_character() -> None:
    ids, offsets = ByteTokenizer().encode_with_offsets("é👍x")
    assert ids.tolist() == list("é👍x".encode())
    assert offsets.tolist() == [[0, 1]] * 2 + [[1, 2]] * 4 + [[2, 3]]


@pytest.mark.parametrize("text", ["\ud800", "ab\udfffc", "\ude00\ud83d"])
def test_a_lone_surrogate_is_refused_in_one_line(tokenizer: ByteLevelTokenizer, text: str) -> None:
    with pytest.raises(ZooError, match=r"lone surrogate \(U\+D[0-9A-F]{3}\)") as caught:
        tokenizer.encode(text)
    assert "\n" not in str(caught.value)
    with pytest.raises(ZooError, match="surrogate"):
        tokenizer.encode_with_offsets(text)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([0, -1], "id -1 at position 1 is outside"),
        ([1 << 40], "outside the vocabulary"),
        ([[1, 2]], r"shape \(time,\)"),
        ([0.5], "whole numbers"),
    ],
)
def test_bad_ids_are_refused(tokenizer: ByteLevelTokenizer, ids: list[int], message: str) -> None:
    with pytest.raises(ZooError, match=message):
        tokenizer.decode(torch.tensor(ids))


def test_the_first_id_past_the_vocabulary_is_refused(tokenizer: ByteLevelTokenizer) -> None:
    size = tokenizer.spec.vocabulary_size
    tokenizer.decode([size - 1])
    with pytest.raises(ZooError, match=f"id {size} "):
        tokenizer.decode([size])
    with pytest.raises(ZooError, match=f"id {size} at position 1"):
        list(tokenizer.stream(iter([0, size])))


def test_bytes_are_not_text(tokenizer: ByteLevelTokenizer) -> None:
    with pytest.raises(ZooError, match="expected text, got bytes"):
        tokenizer.encode(b"abc")


def test_byte_facts() -> None:
    tokenizer = ByteTokenizer()
    assert tokenizer.spec.vocabulary_size == 257
    assert tokenizer.spec.end_id == 256
    assert tokenizer.spec.lossless
    assert tokenizer.encode("é\n").tolist() == [0xC3, 0xA9, 10]
    assert tokenizer.decode([104, 105, 256]) == "hi"
    assert tokenizer.decode([0xFF, 0x41, 0xE2, 0x82]) == "�A�"
