"""GPT-2's and GPT-1's byte-pair encoding: every recorded text has the ids that the original programs gave it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tokenizers.samples import unpack_vocabulary
from zoo.tokenizers.registry import Gpt1, Gpt2
from zoo.tokenizers.text.bpe import Gpt2Tokenizer

Find = Callable[[str], Path]


def cases(find: Find, name: str) -> dict[str, Any]:
    """Return what is recorded about ``gpt1`` or ``gpt2``."""
    recorded: dict[str, Any] = json.loads(find(f"text-image/bpe/{name}_bpe_cases.json").read_text(encoding="utf-8"))
    assert recorded["encode"]
    return recorded


@pytest.fixture(scope="module")
def vocabulary(fixtures_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Return a function from a vocabulary's name to its folder: beside the fixtures, else the packed copy."""

    def find(name: str) -> str:
        beside = fixtures_folder.parent / "data" / "bpe" / name
        return str(beside if beside.is_dir() else unpack_vocabulary(name, tmp_path_factory.mktemp(name)))

    return find


@pytest.fixture(scope="module")
def gpt2(vocabulary: Callable[[str], str]) -> Gpt2Tokenizer:
    tokenizer = Gpt2(path=vocabulary("gpt2")).fit([])
    assert isinstance(tokenizer, Gpt2Tokenizer)
    return tokenizer


def test_gpt2_files_are_those_of_the_fixture(fixture_case: Find, vocabulary: Callable[[str], str]) -> None:
    for name in ("encoder.json", "vocab.bpe"):
        digest = hashlib.sha256((Path(vocabulary("gpt2")) / name).read_bytes()).hexdigest()
        assert f"{name} sha256 {digest}" in cases(fixture_case, "gpt2")["vocab"]


def test_gpt2_encode(fixture_case: Find, gpt2: Gpt2Tokenizer) -> None:
    recorded = cases(fixture_case, "gpt2")["encode"]
    wrong = [case["text"] for case in recorded if gpt2.encode(case["text"]).tolist() != case["ids"]]
    assert wrong == []


def test_gpt2_encode_with_specials(fixture_case: Find, gpt2: Gpt2Tokenizer) -> None:
    special = [case for case in cases(fixture_case, "gpt2")["encode"] if "ids_with_special" in case]
    assert special
    for case in special:
        assert gpt2.encode_with_specials(case["text"]).tolist() == case["ids_with_special"]


def test_gpt2_encode_offsets(fixture_case: Find, gpt2: Gpt2Tokenizer) -> None:
    for case in cases(fixture_case, "gpt2")["encode"]:
        ids, offsets = gpt2.encode_with_offsets(case["text"])
        assert ids.tolist() == case["ids"]
        for index, (start, end) in zip(case["ids"], offsets.tolist(), strict=True):
            assert gpt2.pieces[index] in case["text"][start:end].encode()


def test_gpt2_decode(fixture_case: Find, gpt2: Gpt2Tokenizer) -> None:
    for case in cases(fixture_case, "gpt2")["decode"]:
        assert gpt2.decode(case["ids"]) == case["text"]
        assert "".join(gpt2.stream(iter(case["ids"]))) == case["text"]
    for case in cases(fixture_case, "gpt2")["encode"]:
        assert gpt2.decode(case["ids"]) == case["text"]


@pytest.mark.parametrize(("words", "key"), [("bert", "ids_hf"), ("english", "ids_original")])
def test_gpt1_encode(fixture_case: Find, vocabulary: Callable[[str], str], words: Any, key: str) -> None:
    tokenizer = Gpt1(path=vocabulary("gpt1"), words=words).fit([])
    recorded = cases(fixture_case, "gpt1")["encode"]
    wrong = [case["text"] for case in recorded if tokenizer.encode(case["text"]).tolist() != case[key]]
    assert wrong == []
