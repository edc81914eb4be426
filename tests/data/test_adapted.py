"""Text for a tokenizer that was made for other text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zoo.data.adapted import Adapted, fit, unknown_id
from zoo.data.documents import from_text
from zoo.tokenizers.text.byte import ByteTokenizer
from zoo.tokenizers.text.char import CharTokenizer
from zoo.tokenizers.text.word import WordTokenizer

LETTERS = CharTokenizer(sorted("abcdefghijklmnopqrstuvwxyzABC '-.,\n"))


def test_plain_characters_stand_for_typographic_ones() -> None:
    text = "“Été… naïve\u00a0æsir” — ﬁn’s\t–½☃"
    known = fit(LETTERS, [from_text("text", text)])
    assert known.adapt(text) == "'te... naive aesir' -- fin's -"
    assert (known.characters, known.dropped) == (len(text), 3)  # capital É and ½ and the snowman
    assert known.examples == ("½", "É", "☃")
    assert known.replaced == len("“”é…ï\u00a0æ—ﬁ’\t–")


def test_a_tokenizer_that_knows_all_is_left_alone() -> None:
    known = fit(ByteTokenizer(), [from_text("text", "☃ \u0000 é")])
    assert (known.table, known.characters, known.dropped) == ({}, 0, 0)
    assert known.adapt("☃") == "☃"


@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=4))
def test_every_text_can_be_read_then(texts: list[str]) -> None:
    known = fit(LETTERS, [from_text(str(number), text) for number, text in enumerate(texts)])
    reader = Adapted(LETTERS, known)
    for text in texts:
        assert reader.decode(reader.encode(text)) == known.adapt(text)
    everything = "".join(texts)
    kept = [character for character in everything if character in LETTERS.alphabet]
    assert known.table == {} or known.characters == len(everything)
    if known.table:
        assert len(kept) + known.replaced + known.dropped == len(everything)


def test_adapted_text_has_its_own_fingerprint_and_is_not_lossless() -> None:
    known = fit(LETTERS, [from_text("text", "é")])
    spec = Adapted(LETTERS, known).spec
    assert (spec.vocabulary_size, spec.lossless) == (LETTERS.spec.vocabulary_size, False)
    assert spec.fingerprint != LETTERS.spec.fingerprint


def test_the_id_of_what_is_not_known() -> None:
    words = WordTokenizer.fit(["one two three"], vocabulary=None)
    assert unknown_id(words) == 0
    assert unknown_id(LETTERS) is None
    assert unknown_id(ByteTokenizer()) is None
    assert unknown_id(CharTokenizer("abc", unknown="mark")) == 3
