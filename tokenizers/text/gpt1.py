"""GPT-1's tokenizer: lower-case words, then byte-pair merges over characters (Radford et al. 2018, section 4.1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from zoo.errors import ZooError
from zoo.tokenizers import folder as folders
from zoo.tokenizers.base import TokenSpec
from zoo.tokenizers.text import merges
from zoo.tokenizers.text.merges import Merges
from zoo.tokenizers.text.normal_words import BertWords, EnglishWords, NormalWords
from zoo.tokenizers.text.pieces import Piece, PieceTokenizer, read_as

Splitting = Literal["bert", "english"]
SUFFIX = "</w>"
UNKNOWN = "<unk>"
OPTIONS = "options.json"


class Gpt1Tokenizer(PieceTokenizer):
    """Lower-case words, whose last piece ends with ``</w>``; characters without an id are ``<unk>``, id 0.

    Args:
        vocabulary: GPT-1's 40,478 symbols and 40,000 merges.
        words: ``bert`` (the Hugging Face port's words) or ``english`` (after the original's); see the settings.
    """

    def __init__(self, vocabulary: Merges, *, words: Splitting = "bert") -> None:
        if UNKNOWN not in vocabulary.ids:
            raise ZooError(f"not GPT-1's vocabulary: it has no {UNKNOWN}")
        files = {**vocabulary.files(), OPTIONS: json.dumps({"words": words}) + "\n"}
        splitters: dict[Splitting, NormalWords] = {"bert": BertWords(lowercase=True), "english": EnglishWords()}
        super().__init__(
            spec=TokenSpec(
                type="gpt1",
                modality="text",
                vocabulary_size=len(vocabulary.ids),
                lossless=False,
                fingerprint=folders.fingerprint("gpt1", files),
            ),
            files=files,
            words=splitters[words],
            model=vocabulary,
            pieces=[_piece(symbol) for symbol in vocabulary.symbols],
        )
        self.vocabulary, self.words = vocabulary, words

    @classmethod
    def load(cls, folder: Path | str, *, words: Splitting = "bert") -> Gpt1Tokenizer:
        """Return the tokenizer in ``folder``: saved here, OpenAI's files, or Hugging Face's.

        Args:
            words: used where ``folder`` has no ``options.json``, which only ``save`` writes.
        """
        path = Path(folder)
        if (path / OPTIONS).is_file():
            match folders.read_json(path / OPTIONS):
                case {"words": "bert" | "english" as stated, **rest} if not rest:
                    words = stated
                case _:
                    raise ZooError(f"{path / OPTIONS}: expected 'words' (bert or english) and nothing else")
        return cls(merges.read(path, suffix=SUFFIX, unknown=UNKNOWN), words=words)


def _piece(symbol: str) -> Piece:
    ends_word = symbol.endswith(SUFFIX) and symbol != SUFFIX
    return read_as(symbol.removesuffix(SUFFIX) if ends_word else symbol, ends_word=ends_word)
