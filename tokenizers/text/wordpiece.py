"""Word pieces, as BERT has them (Devlin et al. 2019, section 3; Wu et al. 2016)."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor

from zoo.errors import ZooError
from zoo.tokenizers import folder as folders
from zoo.tokenizers.base import TokenSpec
from zoo.tokenizers.text.check import check_text, check_vocabulary
from zoo.tokenizers.text.normal_words import BertWords
from zoo.tokenizers.text.pieces import Piece, PieceTokenizer, read_as
from zoo.tokenizers.text.words import Ids, encode_with_specials

UNKNOWN = "[UNK]"
SPECIALS = ("[PAD]", UNKNOWN, "[CLS]", "[SEP]", "[MASK]")
INSIDE = "##"
LONGEST_WORD = 100
"""Characters; a longer word is unknown, as in BERT."""

FILE = "vocab.txt"
CONFIG = "tokenizer_config.json"


class WordpieceTokenizer(PieceTokenizer):
    """The longest pieces from a vocabulary, word by word; a piece inside a word is written ``##piece``.

    ``encode`` adds no special ids and reads a literal ``[MASK]`` as text; ``encode_with_specials`` reads it as its id.

    Args:
        pieces: the vocabulary in the order of ids; the five special tokens must be in it.
        lowercase: lower-case and strip accents first.

    Attributes:
        padding_id, unknown_id, class_id, separator_id, mask_id: ids of [PAD], [UNK], [CLS], [SEP], [MASK].
    """

    def __init__(self, pieces: Sequence[str], *, lowercase: bool = True) -> None:
        ids = {piece: index for index, piece in enumerate(pieces)}
        if len(ids) != len(pieces):
            raise ZooError("a vocabulary of word pieces lists each piece once")
        if absent := [special for special in SPECIALS if special not in ids]:
            raise ZooError(f"a vocabulary of word pieces needs {absent[0]}")
        check_vocabulary(ids)
        self.padding_id, self.unknown_id, self.class_id, self.separator_id, self.mask_id = (
            ids[name] for name in SPECIALS
        )
        self.lowercase = lowercase
        files = {
            FILE: "".join(f"{piece}\n" for piece in pieces),
            CONFIG: json.dumps({"do_lower_case": lowercase}) + "\n",
        }
        super().__init__(
            spec=TokenSpec(
                type="wordpiece",
                modality="text",
                vocabulary_size=len(pieces),
                end_id=self.separator_id,
                pad_id=self.padding_id,
                lossless=False,
                fingerprint=folders.fingerprint("wordpiece", files),
            ),
            files=files,
            words=BertWords(lowercase=lowercase),
            model=_WordPieces(pieces, self.unknown_id),
            pieces=[_piece(piece) for piece in pieces],
        )

    @classmethod
    def fit(cls, samples: Iterable[str], *, vocabulary: int, lowercase: bool = True) -> WordpieceTokenizer:
        """Return a tokenizer trained on ``samples``: special ids come first, then characters, then longer pieces."""
        splitter = BertWords(lowercase=lowercase)
        counts: Counter[str] = Counter()
        for sample in samples:
            for words in splitter.words(check_text(sample)):
                counts.update(word for word in words if len(word) <= LONGEST_WORD)
        characters, inside = _alphabet(counts, vocabulary - len(SPECIALS))
        trained = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
        trained.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        trainer = trainers.WordPieceTrainer(
            vocab_size=vocabulary,
            # Left to itself, the library numbers ##x in the random order of a hash table, and ties fall as they like.
            special_tokens=[*SPECIALS, *(INSIDE + character for character in inside)],
            initial_alphabet=characters,
            limit_alphabet=len(characters),
            continuing_subword_prefix=INSIDE,
            show_progress=False,
        )
        trained.train_from_iterator(_repeated(counts, set(characters)), trainer)
        ids = trained.get_vocab()
        return cls(sorted(ids, key=ids.__getitem__), lowercase=lowercase)

    @classmethod
    def load(cls, folder: Path | str, *, lowercase: bool = True) -> WordpieceTokenizer:
        """Return the tokenizer in ``folder``: saved here, BERT's ``vocab.txt``, or Hugging Face's ``tokenizer.json``.

        Args:
            lowercase: used where ``folder`` has no ``tokenizer_config.json`` that says ``do_lower_case``.
        """
        path = Path(folder)
        if (path / CONFIG).is_file():
            match folders.read_json(path / CONFIG):
                case {"do_lower_case": bool(stated)}:
                    lowercase = stated
        try:
            return cls(_read_pieces(path), lowercase=lowercase)
        except ZooError as error:
            raise ZooError(f"{path}: {error}") from None

    def encode_with_specials(self, text: str) -> Tensor:
        """Return the ids of ``text``, int64 (time,), where ``[MASK]`` and its like stand for their ids."""
        ids = (self.padding_id, self.unknown_id, self.class_id, self.separator_id, self.mask_id)
        return encode_with_specials(text, dict(zip(SPECIALS, ids, strict=True)), self.encode)


class _WordPieces:
    def __init__(self, pieces: Sequence[str], unknown: int) -> None:
        self._vocabulary = {piece: index for index, piece in enumerate(pieces)}
        self._unknown = unknown
        self.lengths = np.array([len(piece.removeprefix(INSIDE)) or len(piece) for piece in pieces], dtype=np.int64)

    def tokenize(self, word: str) -> Ids:
        if len(word) > LONGEST_WORD:
            return (self._unknown,)
        return tuple(token.id for token in self._model.tokenize(word))

    @cached_property
    def _model(self) -> models.WordPiece:
        return models.WordPiece(
            vocab=self._vocabulary,
            unk_token=UNKNOWN,
            max_input_chars_per_word=LONGEST_WORD,
            continuing_subword_prefix=INSIDE,
        )


def _piece(symbol: str) -> Piece:
    inside = symbol.startswith(INSIDE) and symbol != INSIDE
    return read_as(symbol.removeprefix(INSIDE) if inside else symbol, starts_word=not inside)


def _read_pieces(path: Path) -> list[str]:
    if (path / FILE).is_file() or not (path / "tokenizer.json").is_file():
        return folders.read_text(path / FILE).replace("\r\n", "\n").removesuffix("\n").split("\n")
    match folders.read_json(path / "tokenizer.json"):
        case {"model": {"type": "WordPiece", "vocab": dict(ids)}}:
            check_vocabulary(ids)
            return sorted(ids, key=ids.__getitem__)
    raise ZooError("tokenizer.json holds no WordPiece model")


def _alphabet(counts: Mapping[str, int], room: int) -> tuple[list[str], list[str]]:
    """Return the most frequent characters that fit in ``room`` ids, and those of them that stand inside words."""
    every: Counter[str] = Counter()
    within: set[str] = set()
    for word, count in counts.items():
        within.update(word[1:])
        for character in word:
            every[character] += count
    characters = sorted(every, key=lambda character: (-every[character], character))
    ids = list(accumulate(1 + (character in within) for character in characters))
    kept = characters[: bisect_right(ids, room)]
    return sorted(kept), sorted(within.intersection(kept))


def _repeated(counts: Mapping[str, int], characters: set[str]) -> Iterator[str]:
    """Yield every word made of ``characters`` as often as it was counted."""
    for word, count in counts.items():
        if characters.issuperset(word):
            for start in range(0, count, 1000):
                yield f"{word} " * min(1000, count - start)
