"""The settings of every text tokenizer. They are light: torch comes only with ``fit`` and ``load``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from zoo.errors import ZooError
from zoo.tokenizers.base import Modality, TextTokenizer


@dataclass(frozen=True, kw_only=True)
class Byte:
    """The 256 bytes of UTF-8 and an end id: nothing to fit, nothing lost, 257 ids."""

    modality: ClassVar[Modality] = "text"

    def fit(self, samples: Iterable[str]) -> TextTokenizer:
        """Return the tokenizer; ``samples`` are not looked at."""
        from zoo.tokenizers.text.byte import ByteTokenizer

        return ByteTokenizer()

    @staticmethod
    def load(folder: Path) -> TextTokenizer:
        """Return the tokenizer saved in ``folder``."""
        from zoo.tokenizers.text.byte import ByteTokenizer

        return ByteTokenizer()


@dataclass(frozen=True, kw_only=True)
class Char:
    """One id per character of the samples, sorted by code point (65 for tiny Shakespeare).

    Attributes:
        unknown: what a character outside the samples is: ``refuse`` (an error that names it; the vocabulary is the
            alphabet and nothing is lost) or ``mark`` (one more id, decoded as U+FFFD).
    """

    modality: ClassVar[Modality] = "text"
    unknown: Literal["refuse", "mark"] = "refuse"

    def fit(self, samples: Iterable[str]) -> TextTokenizer:
        """Return a tokenizer with the alphabet of ``samples``."""
        from zoo.tokenizers.text.char import CharTokenizer

        return CharTokenizer.fit(samples, unknown=self.unknown)

    @staticmethod
    def load(folder: Path) -> TextTokenizer:
        """Return the tokenizer saved in ``folder``."""
        from zoo.tokenizers.text.char import CharTokenizer

        return CharTokenizer.load(folder)


@dataclass(frozen=True, kw_only=True)
class Word:
    """Whole words, most frequent first; id 0 is ``<unk>``, every word that is not in the vocabulary.

    Attributes:
        split: ``words`` (words and punctuation marks, each with the blank before it, so that ids decode to the text) or
            ``spaces`` (whatever stands between white space, joined by single blanks; for text that was prepared so).
        vocabulary: largest number of ids, ``<unk>`` included; None for no limit.
        minimum_count: rarer words are ``<unk>``; 2 lets a model see the unknown word in training.
    """

    modality: ClassVar[Modality] = "text"
    split: Literal["words", "spaces"] = "words"
    vocabulary: int | None = 8192
    minimum_count: int = 2

    def __post_init__(self) -> None:
        if self.vocabulary is not None and self.vocabulary < 2:
            raise ZooError(f"vocabulary must be at least 2 (<unk> and a word) or null, got {self.vocabulary}")
        if self.minimum_count < 1:
            raise ZooError(f"minimum_count must be at least 1, got {self.minimum_count}")

    def fit(self, samples: Iterable[str]) -> TextTokenizer:
        """Return a tokenizer with the words of ``samples``."""
        from zoo.tokenizers.text.word import WordTokenizer

        return WordTokenizer.fit(
            samples, split=self.split, vocabulary=self.vocabulary, minimum_count=self.minimum_count
        )

    @staticmethod
    def load(folder: Path) -> TextTokenizer:
        """Return the tokenizer saved in ``folder``."""
        from zoo.tokenizers.text.word import WordTokenizer

        return WordTokenizer.load(folder)


@dataclass(frozen=True, kw_only=True)
class Bpe:
    """Byte-level byte-pair encoding as in GPT-2 (Radford et al. 2019, section 2.2), trained on the samples.

    Attributes:
        vocabulary: number of ids: 256 bytes, the merges, and ``<|endoftext|>``, which is last. A text with too few
            different pairs gives fewer.
        path: folder with a vocabulary in GPT-2's form to load instead of training one.
    """

    modality: ClassVar[Modality] = "text"
    vocabulary: int = 1024
    path: str | None = None

    def __post_init__(self) -> None:
        if self.vocabulary < 257:
            raise ZooError(f"vocabulary must be at least 257 (256 bytes and the end), got {self.vocabulary}")

    def fit(self, samples: Iterable[str]) -> TextTokenizer:
        """Return the tokenizer in ``path``, else one trained on ``samples``."""
        from zoo.tokenizers.text.bpe import BpeTokenizer

        return BpeTokenizer.load(self.path) if self.path else BpeTokenizer.fit(samples, vocabulary=self.vocabulary)

    @staticmethod
    def load(folder: Path) -> TextTokenizer:
        """Return the tokenizer saved in ``folder``."""
        from zoo.tokenizers.text.bpe import BpeTokenizer

        return BpeTokenizer.load(folder)


@dataclass(frozen=True, kw_only=True)
class Gpt2:
    """GPT-2's own vocabulary of 50,257 ids, from OpenAI's or Hugging Face's files.

    Attributes:
        path: folder with ``encoder.json`` and ``vocab.bpe``, ``vocab.json`` and ``merges.txt``, or ``tokenizer.json``;
            None: OpenAI's, fetched once.
    """

    modality: ClassVar[Modality] = "text"
    path: str | None = None

    def fit(self, samples: Iterable[str]) -> TextTokenizer:
        """Return the tokenizer in ``path``, else the published one; ``samples`` are not looked at.

        Raises:
            ZooError: its files cannot be fetched or read: one line that names ``tokenizer.path``.
        """
        from zoo.tokenizers.text import vocabularies

        return self.load(vocabularies.GPT2.fetch() if self.path is None else Path(self.path))

    @staticmethod
    def load(folder: Path) -> TextTokenizer:
        """Return the tokenizer whose vocabulary is in ``folder``."""
        from zoo.tokenizers.text.bpe import Gpt2Tokenizer

        return Gpt2Tokenizer.load(folder)


@dataclass(frozen=True, kw_only=True)
class Gpt1:
    """GPT-1's vocabulary of 40,478 lower-case ids (Radford et al. 2018), from OpenAI's or Hugging Face's files.

    Attributes:
        path: folder with ``encoder_bpe_40000.json`` and ``vocab_40000.bpe``, or ``vocab.json`` and ``merges.txt``;
            None: the latter, fetched once.
        words: how text falls into words before merging: ``bert`` as the Hugging Face port does, or ``english`` after
            the original, which keeps line breaks, accents, contractions and abbreviations.
    """

    modality: ClassVar[Modality] = "text"
    path: str | None = None
    words: Literal["bert", "english"] = "bert"

    def fit(self, samples: Iterable[str]) -> TextTokenizer:
        """Return the tokenizer in ``path``, else the published one; ``samples`` are not looked at.

        Raises:
            ZooError: its files cannot be fetched or read: one line that names ``tokenizer.path``.
        """
        from zoo.tokenizers.text import vocabularies
        from zoo.tokenizers.text.gpt1 import Gpt1Tokenizer

        return Gpt1Tokenizer.load(vocabularies.GPT1.fetch() if self.path is None else self.path, words=self.words)

    @staticmethod
    def load(folder: Path) -> TextTokenizer:
        """Return the tokenizer saved in ``folder``."""
        from zoo.tokenizers.text.gpt1 import Gpt1Tokenizer

        return Gpt1Tokenizer.load(folder)


@dataclass(frozen=True, kw_only=True)
class Wordpiece:
    """BERT's word pieces (Devlin et al. 2019), trained on the samples or loaded.

    Attributes:
        vocabulary: number of ids, the five special ones ([PAD] [UNK] [CLS] [SEP] [MASK]) included.
        lowercase: lower-case the text and strip accents, as BERT's uncased models do. A loaded folder's
            ``tokenizer_config.json`` decides where it has one.
        path: folder with ``vocab.txt`` or ``tokenizer.json`` to load instead of training.
    """

    modality: ClassVar[Modality] = "text"
    vocabulary: int = 8192
    lowercase: bool = True
    path: str | None = None

    def __post_init__(self) -> None:
        if self.vocabulary < 6:
            raise ZooError(f"vocabulary must be at least 6 (five special ids and a character), got {self.vocabulary}")

    def fit(self, samples: Iterable[str]) -> TextTokenizer:
        """Return the tokenizer in ``path``, else one trained on ``samples``."""
        from zoo.tokenizers.text.wordpiece import WordpieceTokenizer

        if self.path is not None:
            return WordpieceTokenizer.load(Path(self.path), lowercase=self.lowercase)
        return WordpieceTokenizer.fit(samples, vocabulary=self.vocabulary, lowercase=self.lowercase)

    @staticmethod
    def load(folder: Path) -> TextTokenizer:
        """Return the tokenizer saved in ``folder``."""
        from zoo.tokenizers.text.wordpiece import WordpieceTokenizer

        return WordpieceTokenizer.load(folder)


@dataclass(frozen=True, kw_only=True)
class Digits:
    """The ten digits, id 0 to 9: minGPT's adder writes ``85+50`` as ``8550531``."""

    modality: ClassVar[Modality] = "text"

    def fit(self, samples: Iterable[str]) -> TextTokenizer:
        """Return the tokenizer; ``samples`` are not looked at."""
        from zoo.tokenizers.text.digits import DigitsTokenizer

        return DigitsTokenizer()

    @staticmethod
    def load(folder: Path) -> TextTokenizer:
        """Return the tokenizer saved in ``folder``."""
        from zoo.tokenizers.text.digits import DigitsTokenizer

        return DigitsTokenizer()
