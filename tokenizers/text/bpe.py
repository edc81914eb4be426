"""Byte-level byte-pair encoding, as GPT-2 has it (Radford et al. 2019, section 2.2)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Self

import regex
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor

from zoo.errors import ZooError
from zoo.tokenizers import folder as folders
from zoo.tokenizers.base import TokenSpec
from zoo.tokenizers.ids import to_tensor
from zoo.tokenizers.text import merges
from zoo.tokenizers.text.byte_level import ByteLevelTokenizer
from zoo.tokenizers.text.check import check_text
from zoo.tokenizers.text.merges import Merges
from zoo.tokenizers.text.words import Ids, WordIds, batches, encode_with_specials, stretches

END = "<|endoftext|>"

WORDS = regex.compile(r"'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
"""GPT-2's words: contractions, then runs of letters, of digits or of anything else, each with one blank before it."""


def byte_symbols() -> dict[int, str]:
    """Return the printable character that stands for each byte in GPT-2's files, in the order of GPT-2's ids.

    Printable bytes stand for themselves; the other 68, in increasing order, are U+0100 and on.
    """
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [value for value in range(256) if value not in own]
    return {value: chr(value) for value in own} | {value: chr(256 + index) for index, value in enumerate(others)}


SYMBOL_OF_BYTE = byte_symbols()
BYTE_OF_SYMBOL = {symbol: value for value, symbol in SYMBOL_OF_BYTE.items()}


class BpeTokenizer(ByteLevelTokenizer):
    """Byte-pair encoding over bytes: every text has ids, and they decode to it.

    ``encode`` takes a literal ``<|endoftext|>`` in the text for the letters that it is, as the original does;
    ``encode_with_specials`` takes it for the end id.
    """

    type: ClassVar[str] = "bpe"

    def __init__(self, vocabulary: Merges) -> None:
        missing = [value for value, symbol in SYMBOL_OF_BYTE.items() if symbol not in vocabulary.ids]
        if missing:
            raise ZooError(f"not a byte-level vocabulary: it has no symbol for byte {missing[0]}")
        self.vocabulary = vocabulary
        self.pieces = tuple(_bytes(symbol) for symbol in vocabulary.symbols)
        self._words = WordIds(self._tokenize)
        end = vocabulary.ids.get(END)
        self._specials = {} if end is None else {END: end}
        self._spec = TokenSpec(
            type=self.type,
            modality="text",
            vocabulary_size=len(vocabulary.ids),
            end_id=end,
            lossless=True,
            fingerprint=folders.fingerprint("byte_level_bpe", vocabulary.files()),
        )

    @classmethod
    def fit(cls, samples: Iterable[str], *, vocabulary: int) -> Self:
        """Return a tokenizer trained on ``samples``, ids in GPT-2's order: bytes, merges, the end."""
        trained = Tokenizer(models.BPE())
        trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary - 1, initial_alphabet=list(BYTE_OF_SYMBOL), show_progress=False, special_tokens=[]
        )
        trained.train_from_iterator(stretches(WORDS, samples), trainer)
        ranks = merges.ranks_of(trained)
        symbols = dict.fromkeys([*BYTE_OF_SYMBOL, *(left + right for left, right in ranks), END])  # a+aa is aa+a
        return cls(Merges(ids={symbol: index for index, symbol in enumerate(symbols)}, ranks=ranks))

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Return the tokenizer whose vocabulary is in ``folder``: saved here, OpenAI's files, or Hugging Face's."""
        return cls(merges.read(folder))

    @property
    def spec(self) -> TokenSpec:
        """The facts that models, samplers and checkpoints rely on."""
        return self._spec

    def encode(self, sample: str) -> Tensor:
        """Return the ids of ``sample``, int64 (time,); a ZooError if it holds a lone surrogate."""
        return to_tensor(self._words.encode(batches(WORDS, check_text(sample))))

    def encode_with_specials(self, text: str) -> Tensor:
        """Return the ids of ``text``, int64 (time,), where ``<|endoftext|>`` stands for the end id."""
        return encode_with_specials(text, self._specials, self.encode) if self._specials else self.encode(text)

    def save(self, folder: Path | str) -> None:
        """Write ``spec.json``, ``vocab.json`` and ``merges.txt`` into ``folder``."""
        folders.write(folder, self.spec, self.vocabulary.files())

    def _tokenize(self, word: str) -> Ids:
        return self.vocabulary.tokenize(word.encode().decode("latin-1").translate(SYMBOL_OF_BYTE))


class Gpt2Tokenizer(BpeTokenizer):
    """GPT-2's vocabulary of 50,257 ids, read from its files."""

    type: ClassVar[str] = "gpt2"


def _bytes(symbol: str) -> bytes:
    if all(character in BYTE_OF_SYMBOL for character in symbol):
        return bytes(BYTE_OF_SYMBOL[character] for character in symbol)
    return symbol.encode()  # a special token's name
