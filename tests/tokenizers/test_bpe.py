"""Byte-level byte-pair encoding: training, loading, and equality with the tokenizers library and tiktoken."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from tokenizers import Tokenizer, pre_tokenizers

from tests.tokenizers.samples import CORPUS, HARD_TEXTS, texts
from zoo.errors import ZooError
from zoo.tokenizers.text import merges
from zoo.tokenizers.text.bpe import END, SYMBOL_OF_BYTE, WORDS, BpeTokenizer, Gpt2Tokenizer
from zoo.tokenizers.text.words import STRIDE, batches

quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_gpt2_facts(gpt2: Gpt2Tokenizer) -> None:
    assert gpt2.spec.type == "gpt2"
    assert gpt2.spec.vocabulary_size == 50257
    assert gpt2.spec.end_id == 50256
    text = "Hello!! I'm Andrej Karpathy. It's 2022. w00t :D 🤗"  # minGPT's own example
    ids = [15496, 3228, 314, 1101, 10948, 73, 509, 5117, 10036, 13, 632, 338, 33160, 13, 266, 405, 83, 1058, 35, 12520]
    assert gpt2.encode(text).tolist() == [*ids, 97, 245]


def test_the_end_is_text_or_an_id(gpt2: Gpt2Tokenizer) -> None:
    assert gpt2.encode(END).tolist() == [27, 91, 437, 1659, 5239, 91, 29]
    assert gpt2.encode_with_specials(f"a{END}b{END}").tolist() == [64, 50256, 65, 50256]
    assert gpt2.encode_with_specials("").tolist() == []
    assert gpt2.decode([64, 50256]) == f"a{END}"


def test_trained_ids_are_bytes_then_merges_then_the_end(trained: BpeTokenizer) -> None:
    assert trained.spec.vocabulary_size == 300
    assert trained.spec.end_id == 299
    assert trained.vocabulary.symbols[:256] == tuple(SYMBOL_OF_BYTE.values())
    assert trained.vocabulary.symbols[256:299] == tuple(left + right for left, right in trained.vocabulary.ranks)
    assert trained.vocabulary.symbols[299] == END
    assert sorted(trained.pieces[:256]) == [bytes([value]) for value in range(256)]
    assert len(trained.encode(CORPUS)) < len(CORPUS.encode()) / 2


def test_training_gives_the_same_twice_and_from_one_line_or_many(trained: BpeTokenizer) -> None:
    again = BpeTokenizer.fit([CORPUS], vocabulary=300)
    assert again.spec == trained.spec
    assert BpeTokenizer.fit([CORPUS[:1000], CORPUS[1000:]], vocabulary=300).spec.vocabulary_size == 300


@pytest.mark.parametrize(("samples", "size"), [([], 257), ([""], 257), (["aaaa"], 259), (["ab"], 258)])
def test_too_little_text_gives_fewer_ids(samples: list[str], size: int) -> None:
    tokenizer = BpeTokenizer.fit(samples, vocabulary=1000)
    assert tokenizer.spec.vocabulary_size == size
    assert tokenizer.decode(tokenizer.encode("né 👍")) == "né 👍"


def test_one_symbol_made_in_two_ways_has_one_id() -> None:
    tokenizer = BpeTokenizer.fit(["aab aab ab aa a b aaab aaaab " * 10], vocabulary=400)
    symbols = tokenizer.vocabulary.symbols
    assert len(set(symbols)) == len(symbols) == tokenizer.spec.vocabulary_size


@given(text=texts)
@quick
def test_ids_are_those_of_the_tokenizers_library(gpt2: Gpt2Tokenizer, text: str) -> None:
    assert gpt2.encode(text).tolist() == reference(gpt2).encode(text).ids


def test_ids_are_those_of_tiktoken(gpt2: Gpt2Tokenizer) -> None:
    tiktoken = pytest.importorskip("tiktoken")
    ranks = {piece: index for index, piece in enumerate(gpt2.pieces[:50256])}
    peer = tiktoken.Encoding("gpt2", pat_str=WORDS.pattern, mergeable_ranks=ranks, special_tokens={})
    every = "".join(chr(code) for code in range(0x3000))  # scripts, signs, digits and blanks of all kinds
    for text in (*HARD_TEXTS, CORPUS, every, " ".join(every), "x".join(every)):
        assert gpt2.encode(text).tolist() == peer.encode(text, disallowed_special=())


@pytest.mark.parametrize("unit", ["a", "ab", " ", "\n \n", "!?", "é", "漢字", "🙂", "0", "aaaaaaaaaaab", "'s", "x'll"])
def test_a_word_without_end_has_the_ids_it_should(gpt2: Gpt2Tokenizer, unit: str) -> None:
    text = unit * (3 * merges.WINDOW // len(unit.encode()))
    assert gpt2.encode(text).tolist() == reference(gpt2).encode(text).ids


def test_windows_join_as_one_word_for_random_letters(gpt2: Gpt2Tokenizer) -> None:
    letters = np.random.default_rng(0).choice(list("aaaeinthsrq"), size=5 * merges.WINDOW)
    for word in ("".join(letters), "a" * 100_003, "ab" * 50_001, "=" * 100_001 + "a" * 70_000):
        whole = gpt2.vocabulary._tokenize(word)
        assert tuple(gpt2.vocabulary.tokenize(word).tolist()) == whole


def test_batches_are_the_words_of_the_whole_text() -> None:
    rng = np.random.default_rng(1)
    parts = ["a", "l" * 9, "'", "'ll", " ", "  ", "\n", "é", "7", "!", "x" * 70_000]
    weights = [20, 5, 10, 10, 20, 10, 5, 5, 5, 5, 0.01]
    for _ in range(20):
        picks = rng.choice(len(parts), p=np.array(weights) / sum(weights), size=60_000)
        text = "".join(parts[pick] for pick in picks)
        assert len(text) > STRIDE
        assert [word for batch in batches(WORDS, text) for word in batch] == WORDS.findall(text)


def test_time_grows_with_the_length_only(trained: BpeTokenizer) -> None:
    def seconds(text: str) -> float:
        start = time.process_time()
        trained.encode(text)
        return time.process_time() - start

    seconds("a" * 100_000)
    for unit in ("a", "the cat sat on the mat; "):
        short, long = seconds(unit * (200_000 // len(unit))), seconds(unit * (2_000_000 // len(unit)))
        assert long < 30 * short + 0.1  # ten times as long


def test_saved_files_are_those_that_the_library_reads(trained: BpeTokenizer, tmp_path: Path) -> None:
    from tokenizers import models

    trained.save(tmp_path)
    peer = Tokenizer(models.BPE.from_file(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt")))
    peer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert peer.encode(CORPUS).ids == trained.encode(CORPUS).tolist()
    peer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "vocab.json").unlink()
    assert BpeTokenizer.load(tmp_path).spec == trained.spec  # from tokenizer.json


@pytest.mark.parametrize(
    ("vocabulary", "ranks", "message"),
    [
        ("{", "", "not valid JSON"),
        ("[]", "", "maps symbols to ids"),
        ('{"a": 0.5}', "", "whole numbers"),
        ('{"a": true}', "", "whole numbers"),
        ('{"a": 1}', "", "0 to 0"),
        ('{"a": 0, "b": 0}', "", "each once"),
        ('{"a": 0}', "", "no symbol for byte"),
        ('{"a": 0}', "a b\n", "the vocabulary has no 'b'"),
        ('{"a": 0}', "a\n", "two symbols"),
        ('{"a": 0}', "a b c\n", "two symbols"),
        ('{"\\ud800": 0}', "", "surrogate"),
        ("[" * 100_000, "", "nested too deeply"),
        ('{"a": 1' + "0" * 5000 + "}", "", "not valid JSON"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, vocabulary: str, ranks: str, message: str) -> None:
    (tmp_path / "vocab.json").write_text(vocabulary)
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + ranks)
    with pytest.raises(ZooError, match=message) as caught:
        BpeTokenizer.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_files_says_which(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=r"expected vocab\.json and merges\.txt"):
        BpeTokenizer.load(tmp_path)


def reference(tokenizer: BpeTokenizer) -> Tokenizer:
    """Return the tokenizers library's own pipeline with the same merges."""
    peer = Tokenizer(tokenizer.vocabulary._model)
    peer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return peer


def test_vocabulary_files_are_plain(trained: BpeTokenizer, tmp_path: Path) -> None:
    trained.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merges.txt", "spec.json", "vocab.json"]
    stated = json.loads((tmp_path / "spec.json").read_text())
    assert stated["type"] == "bpe"
    assert stated["vocabulary_size"] == 300
