"""GPT-1's tokenizer with both kinds of words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from tokenizers import Tokenizer, normalizers, pre_tokenizers

from tests.tokenizers.samples import HARD_TEXTS, check_offsets, check_stream, texts
from zoo.errors import ZooError
from zoo.tokenizers import registry
from zoo.tokenizers.text.gpt1 import Gpt1Tokenizer
from zoo.tokenizers.text.settings import Gpt1

quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def english(gpt1: Gpt1Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Gpt1Tokenizer:
    folder = tmp_path_factory.mktemp("english")
    gpt1.save(folder)
    (folder / "options.json").unlink()
    return Gpt1Tokenizer.load(folder, words="english")


def symbols(tokenizer: Gpt1Tokenizer, text: str) -> list[str]:
    return [tokenizer._model.symbols[index] for index in tokenizer.encode(text).tolist()]


def test_facts(gpt1: Gpt1Tokenizer) -> None:
    assert gpt1.spec.vocabulary_size == 40478
    assert not gpt1.spec.lossless
    assert gpt1.encode(".,t").tolist() == [239, 240, gpt1._model.ids["t</w>"]]
    assert gpt1._model.ids["<unk>"] == 0


@given(text=texts)
@quick
def test_ids_are_those_of_the_library(gpt1: Gpt1Tokenizer, text: str) -> None:
    peer = Tokenizer(gpt1._model._model)
    peer.normalizer = normalizers.BertNormalizer(lowercase=True)
    peer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    assert gpt1.encode(text).tolist() == peer.encode(text).ids


@given(text=texts)
@quick
@pytest.mark.parametrize("kind", ["bert", "english"])
def test_offsets_and_streams(gpt1: Gpt1Tokenizer, english: Gpt1Tokenizer, kind: str, text: str) -> None:
    tokenizer = {"bert": gpt1, "english": english}[kind]
    check_offsets(tokenizer, text)
    check_stream(tokenizer, tokenizer.encode(text).tolist())


def test_offsets_point_into_the_raw_text(gpt1: Gpt1Tokenizer, english: Gpt1Tokenizer) -> None:
    text = "Héllo…  “Wörld”\n don’t"
    for tokenizer, expected in (
        (gpt1, ["Héllo", "…", "“", "Wörld", "”", "don", "’", "t"]),
        (english, ["H", "é", "l", "lo", "…", "“", "W", "ö", "r", "ld", "”", "\n ", "do", "n’t"]),
    ):
        _, offsets = tokenizer.encode_with_offsets(text)
        assert [text[start:end] for start, end in offsets.tolist()] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't! It's John's.", ["do</w>", "n't</w>", "!</w>", "it</w>", "'s</w>", "john</w>", "'s</w>", ".</w>"]),
        ("\n one\n\n two \n", ["one</w>", "\n</w>", "two</w>"]),
        ("Dr. Who... e.g. 3.5", ["dr.</w>", "who</w>", "...</w>", "e.", "g.</w>", "3.", "5</w>"]),
        ("a — b", ["a</w>", "-</w>", "b</w>"]),
    ],
)
def test_english_words(english: Gpt1Tokenizer, text: str, expected: list[str]) -> None:
    assert symbols(english, text) == expected


def test_decoding_reads_well(gpt1: Gpt1Tokenizer, english: Gpt1Tokenizer) -> None:
    assert gpt1.decode(gpt1.encode("Hello, (big) World!")) == "hello, (big) world!"
    assert english.decode(english.encode("I don't\nknow.")) == "i don't\nknow."


def test_saving_keeps_the_kind_of_words(gpt1: Gpt1Tokenizer, english: Gpt1Tokenizer, tmp_path: Path) -> None:
    assert english.spec.fingerprint != gpt1.spec.fingerprint
    english.save(tmp_path)
    loaded = registry.load(tmp_path)
    assert loaded.spec == english.spec
    assert loaded.encode("don't").tolist() == english.encode("don't").tolist()
    assert Gpt1(path=str(tmp_path)).fit([]).spec == english.spec
    (tmp_path / "options.json").write_text('{"words": "french"}')
    with pytest.raises(ZooError, match="bert or english"):
        registry.load(tmp_path)


def test_hard_and_long_texts(gpt1: Gpt1Tokenizer, english: Gpt1Tokenizer) -> None:
    for tokenizer in (gpt1, english):
        for text in HARD_TEXTS:
            check_offsets(tokenizer, text)
        whole = tokenizer._model._tokenize("ab" * 20_000)
        assert tuple(tokenizer.encode("ab" * 20_000).tolist()) == whole
        with pytest.raises(ZooError, match="surrogate"):
            tokenizer.encode("\ud83d")
        with pytest.raises(ZooError, match="outside the vocabulary of 40478"):
            tokenizer.decode([40478])
    assert len(english.encode("n't" * 50_000 + "a." * 50_000)) > 0
