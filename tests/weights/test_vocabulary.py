"""Tokenizer files in Hugging Face's forms: read as ours, and written so that AutoTokenizer gives the same ids."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from tests.tokenizers.samples import CORPUS, HARD_TEXTS, texts, unpack_vocabulary
from zoo.errors import ZooError
from zoo.tokenizers.base import Tokenizer
from zoo.tokenizers.text.bpe import BpeTokenizer, Gpt2Tokenizer
from zoo.tokenizers.text.byte import ByteTokenizer
from zoo.tokenizers.text.char import CharTokenizer
from zoo.tokenizers.text.gpt1 import Gpt1Tokenizer
from zoo.tokenizers.text.wordpiece import WordpieceTokenizer
from zoo.weights import vocabulary

transformers = pytest.importorskip("transformers")

KINDS = {"bpe": "gpt2", "gpt2": "gpt2", "gpt1": "openai-gpt", "wordpiece": "bert", "wordpiece_cased": "bert"}
"""Ours -> the model type whose folder it is put into."""


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer[str]]:
    return {
        "bpe": BpeTokenizer.fit([CORPUS], vocabulary=300),
        "gpt2": Gpt2Tokenizer.load(unpack_vocabulary("gpt2", tmp_path_factory.mktemp("gpt2"))),
        "gpt1": Gpt1Tokenizer.load(unpack_vocabulary("gpt1", tmp_path_factory.mktemp("gpt1"))),
        "wordpiece": WordpieceTokenizer.fit([CORPUS], vocabulary=120),
        "wordpiece_cased": WordpieceTokenizer.fit([CORPUS], vocabulary=120, lowercase=False),
    }


@pytest.fixture(scope="module")
def folders(ours: dict[str, Tokenizer[str]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a folder for each, as it stands beside a model's weights."""
    found = {}
    for kind, tokenizer in ours.items():
        folder = found[kind] = tmp_path_factory.mktemp(kind)
        vocabulary.write(folder, tokenizer, context=64)
        (folder / "config.json").write_text(json.dumps({"model_type": KINDS[kind]}))
    return found


@pytest.fixture(scope="module")
def theirs(folders: dict[str, Path]) -> dict[str, Any]:
    return {kind: transformers.AutoTokenizer.from_pretrained(folder) for kind, folder in folders.items()}


def same_ids(tokenizer: Tokenizer[str], other: Any, text: str) -> None:
    ids = other.encode(text, add_special_tokens=False)
    specials = [token for token in other.all_special_tokens if token in text]
    encode = getattr(tokenizer, "encode_with_specials", tokenizer.encode) if specials else tokenizer.encode
    if specials == ["<unk>"]:  # in GPT-1's files a literal <unk> is the unknown id, and text to us
        return
    assert encode(text).tolist() == ids


@pytest.mark.parametrize("kind", KINDS)
def test_auto_tokenizer_gives_the_same_ids(ours: dict[str, Any], theirs: dict[str, Any], kind: str) -> None:
    assert len(theirs[kind]) == ours[kind].spec.vocabulary_size
    for text in HARD_TEXTS:
        same_ids(ours[kind], theirs[kind], text)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(text=texts)
def test_auto_tokenizer_gives_the_same_ids_for_any_text(
    ours: dict[str, Any], theirs: dict[str, Any], kind: str, text: str
) -> None:
    same_ids(ours[kind], theirs[kind], text)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_what_is_read(ours: dict[str, Any], folders: dict[str, Path], kind: str) -> None:
    back = vocabulary.read(folders[kind])
    assert back is not None
    assert back.spec == ours[kind].spec


@pytest.mark.parametrize("kind", KINDS)
def test_their_own_form_is_read(ours: dict[str, Any], theirs: dict[str, Any], kind: str, tmp_path: Path) -> None:
    theirs[kind].save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").is_file()
    for name in ("vocab.json", "merges.txt", "vocab.txt"):
        (tmp_path / name).unlink(missing_ok=True)
    back = vocabulary.read(tmp_path)
    assert back is not None
    assert back.spec.vocabulary_size == ours[kind].spec.vocabulary_size
    for text in HARD_TEXTS:
        assert back.encode(text).tolist() == ours[kind].encode(text).tolist()


@pytest.mark.parametrize("make", [ByteTokenizer, lambda: CharTokenizer.fit([CORPUS])], ids=["byte", "char"])
def test_tokenizers_that_they_do_not_have_are_kept_in_our_form(make: Callable[[], Any], tmp_path: Path) -> None:
    tokenizer = make()
    vocabulary.write(tmp_path, tokenizer, context=64)
    back = vocabulary.read(tmp_path)
    assert back is not None
    assert back.spec == tokenizer.spec


def test_a_folder_without_a_tokenizer_has_none(tmp_path: Path) -> None:
    assert vocabulary.read(tmp_path) is None
    (tmp_path / "vocab.json").write_text("{}")  # merges are missing
    assert vocabulary.read(tmp_path) is None


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "a blank before the text": ("bpe", {"tokenizer_config.json": {"add_prefix_space": True}}, "add_prefix_space"),
    "accents that stay": ("wordpiece", {"tokenizer_config.json": {"strip_accents": False}}, "strip_accents"),
    "case as text": ("wordpiece", {"tokenizer_config.json": {"do_lower_case": "yes"}}, "do_lower_case"),
    "another way of cutting": (
        "bpe",
        {"tokenizer.json": {"model": {"type": "BPE"}, "pre_tokenizer": {"type": "Whitespace"}}},
        "ByteLevel",
    ),
    "a normalizer": (
        "bpe",
        {"tokenizer.json": {"normalizer": {"type": "NFC"}, "pre_tokenizer": {"type": "ByteLevel"}}},
        "normalizer",
    ),
    "a unigram model": (
        "none",
        {"tokenizer.json": {"model": {"type": "Unigram"}}},
        "'Unigram' is not BPE or WordPiece",
    ),
    "a model that is a list": ("none", {"tokenizer.json": {"model": []}}, "is not BPE or WordPiece"),
    "words of GPT-1 cut otherwise": ("gpt1", {"tokenizer.json": {"pre_tokenizer": None}}, "BertPreTokenizer"),
    "no byte level": (
        "none",
        {
            "tokenizer.json": {
                "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []},
                "pre_tokenizer": {"type": "ByteLevel"},
            }
        },
        "no symbol for byte",
    ),
    "a list": ("none", {"tokenizer.json": []}, "holds no JSON object"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_give_other_ids_is_refused(folders: dict[str, Path], tmp_path: Path, case: str) -> None:
    kind, files, message = REFUSED[case]
    folder = tmp_path / "folder"
    if kind in folders:
        shutil.copytree(folders[kind], folder)
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    with pytest.raises(ZooError, match=message) as error:
        vocabulary.read(folder)
    assert "\n" not in str(error.value)
