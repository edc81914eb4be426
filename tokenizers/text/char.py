"""Characters as tokens."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from zoo.errors import ZooError
from zoo.tokenizers import folder as folders
from zoo.tokenizers.base import TextTokenizer, TokenSpec
from zoo.tokenizers.ids import check_ids, to_tensor
from zoo.tokenizers.text.check import check_stream, check_text, spans

Unknown = Literal["refuse", "mark"]
FILE = "alphabet.json"
LAST_CODE_POINT = 0x10FFFF


class CharTokenizer(TextTokenizer):
    """One id per character of an alphabet.

    Args:
        alphabet: the characters, in the order of their ids.
        unknown: ``refuse`` other characters with a ZooError, or ``mark`` them with one more id, decoded as U+FFFD.
    """

    type: ClassVar[str] = "char"

    def __init__(self, alphabet: Sequence[str], *, unknown: Unknown = "refuse") -> None:
        if not alphabet:
            raise ZooError("the alphabet is empty; fit the tokenizer on some text")
        if len(set(alphabet)) != len(alphabet) or any(len(character) != 1 for character in alphabet):
            raise ZooError("an alphabet lists single characters, each once")
        check_text("".join(alphabet))
        self.alphabet = tuple(alphabet)
        self.unknown: Unknown = unknown
        self._characters = (*self.alphabet, "\N{REPLACEMENT CHARACTER}") if unknown == "mark" else self.alphabet
        self._spec = TokenSpec(
            type=self.type,
            modality="text",
            vocabulary_size=len(self._characters),
            lossless=unknown == "refuse",
            fingerprint=folders.fingerprint("char", self._files()),
        )

    @classmethod
    def fit(cls, samples: Iterable[str], *, unknown: Unknown = "refuse") -> CharTokenizer:
        """Return a tokenizer whose alphabet is every character of ``samples``, by code point."""
        seen: set[str] = set()
        for sample in samples:
            seen.update(check_text(sample))
        return cls(sorted(seen), unknown=unknown)

    @classmethod
    def load(cls, folder: Path | str) -> CharTokenizer:
        """Return the tokenizer saved in ``folder``."""
        path = Path(folder) / FILE
        saved = folders.read_json(path)
        match saved:
            case {"alphabet": str(alphabet), "unknown": "refuse" | "mark" as unknown, **rest} if not rest:
                return cls(alphabet, unknown=unknown)
        raise ZooError(f"{path}: expected 'alphabet' (text) and 'unknown' (refuse or mark) and nothing else")

    @property
    def spec(self) -> TokenSpec:
        """The facts that models, samplers and checkpoints rely on."""
        return self._spec

    def encode(self, sample: str) -> Tensor:
        """Return one id per character, int64 (time,)."""
        codes = np.frombuffer(check_text(sample).encode("utf-32-le"), dtype="<u4")
        ids = self._id_of_code[codes]
        if self.unknown == "refuse" and (ids < 0).any():
            position = int(np.argmax(ids < 0))
            raise ZooError(self._refusal(sample[position], position))
        return to_tensor(np.where(ids < 0, len(self.alphabet), ids))

    def decode(self, ids: Tensor | Sequence[int]) -> str:
        """Return the text of ``ids``, shape (time,)."""
        return "".join(map(self._characters.__getitem__, check_ids(ids, len(self._characters)).tolist()))

    def encode_with_offsets(self, text: str) -> tuple[Tensor, Tensor]:
        """Return ids (time,) and [start, end) in characters (time, 2)."""
        ids = self.encode(text)
        starts = np.arange(len(ids))
        return ids, spans(starts, starts + 1)

    def stream(self, ids: Iterator[int]) -> Iterator[str]:
        """Decode ids as they come."""
        for index in check_stream(ids, len(self._characters)):
            yield self._characters[index]

    def save(self, folder: Path | str) -> None:
        """Write ``spec.json`` and ``alphabet.json`` into ``folder``."""
        folders.write(folder, self.spec, self._files())

    def _files(self) -> dict[str, str]:
        return {FILE: json.dumps({"alphabet": "".join(self.alphabet), "unknown": self.unknown}) + "\n"}

    def _refusal(self, character: str, position: int) -> str:
        return (
            f"character {character!r} at position {position} is not in the alphabet of {len(self.alphabet)}; "
            "fit on text that has it, or set tokenizer.unknown=mark"
        )

    @cached_property
    def _id_of_code(self) -> NDArray[np.int32]:
        table = np.full(LAST_CODE_POINT + 1, -1, dtype=np.int32)
        table[[ord(character) for character in self.alphabet]] = np.arange(len(self.alphabet))
        return table
