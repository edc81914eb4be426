"""BERT's word pieces, held to the tokenizers library's own pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from tests.tokenizers.samples import CORPUS, HARD_TEXTS, check_offsets, check_stream, texts
from zoo.errors import ZooError
from zoo.tokenizers.text.settings import Wordpiece
from zoo.tokenizers.text.wordpiece import SPECIALS, WordpieceTokenizer

PIECES = (*SPECIALS, *"abcdefghijklmnopqrstuvwxyz0123456789.,!?'-", *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"))
SMALL = WordpieceTokenizer([*PIECES, "hello", "world", "un", "##aff", "##able", "##ᄀ", "ᄀ", "##ᅡ", "ﬁ", "漢", "##́"])
CASED = WordpieceTokenizer([*PIECES, "É", "##é", "Hello"], lowercase=False)


def reference(tokenizer: WordpieceTokenizer) -> Tokenizer:
    """Return the tokenizers library's own BERT pipeline with the same pieces."""
    peer = Tokenizer(tokenizer._model._model)
    low = tokenizer.lowercase
    peer.normalizer = normalizers.BertNormalizer(lowercase=low, strip_accents=low)
    peer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return peer


@given(text=texts)
@settings(max_examples=150, deadline=None)
@example("ÀÉ\u0301ß ẞ İ ſ ǅ \u0085\u2028 \ufffd\u00ad ≠ \u037e ﬁ ＡＢ")
@pytest.mark.parametrize("tokenizer", [SMALL, CASED], ids=["lowercase", "cased"])
def test_ids_are_those_of_the_library(tokenizer: WordpieceTokenizer, text: str) -> None:
    assert tokenizer.encode(text).tolist() == reference(tokenizer).encode(text).ids
    check_offsets(tokenizer, text)
    check_stream(tokenizer, tokenizer.encode(text).tolist())


def test_every_character_of_the_basic_plane_is_treated_as_the_library_treats_it() -> None:
    every = " ".join(chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000)
    assert SMALL.encode(every).tolist() == reference(SMALL).encode(every).ids


def test_offsets_point_into_the_raw_text() -> None:
    text = "  Héllo,\tun\u0301affable 漢\u3000Wörld\x00!"
    ids, offsets = SMALL.encode_with_offsets(text)
    assert offsets.tolist() == [list(pair) for pair in reference(SMALL).encode(text).offsets]
    shown = [
        (SMALL.decode([index]), text[start:end]) for index, (start, end) in zip(ids, offsets.tolist(), strict=True)
    ]
    assert shown == [
        ("hello", "Héllo"),
        (",", ","),
        ("un", "un"),
        ("aff", "aff"),
        ("able", "able"),
        ("漢", "漢"),
        ("world", "Wörld"),
        ("!", "!"),
    ]


def test_an_unknown_word_is_one_id_with_its_whole_place() -> None:
    text = "a Ωmega " + "x" * 101 + " " + "x" * 100
    ids, offsets = SMALL.encode_with_offsets(text)
    assert ids.tolist()[:3] == [SMALL.encode("a").item(), SMALL.unknown_id, SMALL.unknown_id]
    assert len(ids) == 3 + 100
    assert offsets.tolist()[:3] == [[0, 1], [2, 7], [8, 109]]


def test_special_ids() -> None:
    ids = (SMALL.padding_id, SMALL.unknown_id, SMALL.class_id, SMALL.separator_id, SMALL.mask_id)
    assert ids == (0, 1, 2, 3, 4)
    assert SMALL.spec.pad_id == 0
    assert SMALL.spec.end_id == 3
    assert SMALL.encode_with_specials("[CLS]hello [MASK]![SEP]").tolist() == [
        2,
        *SMALL.encode("hello").tolist(),
        4,
        *SMALL.encode("!").tolist(),
        3,
    ]
    assert 4 not in SMALL.encode("[MASK]").tolist()


def test_decoding_reads_well() -> None:
    text = "hello, world! unaffable."
    assert SMALL.decode(SMALL.encode(text)) == text
    assert not SMALL.spec.lossless


def test_training(tmp_path: Path) -> None:
    tokenizer = Wordpiece(vocabulary=70).fit([CORPUS])
    assert isinstance(tokenizer, WordpieceTokenizer)
    assert tokenizer.spec.vocabulary_size == 70
    assert [tokenizer._pieces[index].text for index in range(5)] == list(SPECIALS)
    assert tokenizer.unknown_id not in tokenizer.encode(CORPUS).tolist()
    for _ in range(5):  # the library's own training gives another vocabulary every time
        assert Wordpiece(vocabulary=70).fit([CORPUS]).spec == tokenizer.spec
    for text in HARD_TEXTS:
        check_offsets(tokenizer, text)

    tokenizer.save(tmp_path)
    assert Wordpiece(path=str(tmp_path), lowercase=False).fit([]).spec == tokenizer.spec  # the folder decides
    peer = Tokenizer(models.WordPiece.from_file(str(tmp_path / "vocab.txt"), unk_token="[UNK]"))
    assert peer.get_vocab_size() == 70
    peer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "vocab.txt").unlink()
    assert WordpieceTokenizer.load(tmp_path).spec == tokenizer.spec


def test_rare_characters_give_way_to_a_small_vocabulary() -> None:
    tokenizer = WordpieceTokenizer.fit(["aaa aab b c 漢字"] * 3 + ["a b ab"], vocabulary=9)
    assert [piece.text for piece in tokenizer._pieces] == [*SPECIALS, "a", "b", "a", "b"]
    assert tokenizer.encode("ab c").tolist()[-1] == tokenizer.unknown_id
    assert WordpieceTokenizer.fit([], vocabulary=9).spec.vocabulary_size == 5


def test_bert_files_with_other_line_ends_and_case(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes("\r\n".join([*SPECIALS, "Hello", "hello"]).encode())
    assert WordpieceTokenizer.load(tmp_path).encode("Hello").tolist() == [6]
    assert WordpieceTokenizer.load(tmp_path, lowercase=False).encode("Hello").tolist() == [5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"needs \[PAD\]"),
        (b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n", r"needs \[MASK\]"),
        (b"a\na\n", "each piece once"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(ZooError, match=message) as caught:
        WordpieceTokenizer.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_very_long_word_is_unknown_at_once() -> None:
    assert SMALL.encode("x" * 1_000_000).tolist() == [SMALL.unknown_id]
