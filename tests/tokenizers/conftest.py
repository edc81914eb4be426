"""Vocabularies that tests of this folder share."""

from __future__ import annotations

import pytest

from tests.tokenizers.samples import CORPUS, unpack_vocabulary
from zoo.tokenizers.text.bpe import BpeTokenizer, Gpt2Tokenizer
from zoo.tokenizers.text.gpt1 import Gpt1Tokenizer


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Gpt2Tokenizer:
    """Return GPT-2's tokenizer."""
    return Gpt2Tokenizer.load(unpack_vocabulary("gpt2", tmp_path_factory.mktemp("gpt2")))


@pytest.fixture(scope="session")
def gpt1(tmp_path_factory: pytest.TempPathFactory) -> Gpt1Tokenizer:
    """Return GPT-1's tokenizer with the Hugging Face port's words."""
    return Gpt1Tokenizer.load(unpack_vocabulary("gpt1", tmp_path_factory.mktemp("gpt1")))


@pytest.fixture(scope="session")
def trained() -> BpeTokenizer:
    """Return 300 ids trained on a few sentences."""
    return BpeTokenizer.fit([CORPUS], vocabulary=300)
