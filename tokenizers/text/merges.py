"""Byte-pair merges: read from files, trained, and applied to words of any length in linear time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models

from zoo.errors import ZooError
from zoo.tokenizers import folder as folders
from zoo.tokenizers.text.check import check_vocabulary
from zoo.tokenizers.text.words import Ids

FILES = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"), ("encoder_bpe_40000.json", "vocab_40000.bpe"))
"""Names of ids and merges: Hugging Face's, GPT-2's, GPT-1's."""

HEADER = "#version"

WINDOW = 1 << 14
MARGIN = 1 << 11
"""Symbols at the end of a window that are read again: no merge in practice reaches so far back."""


@dataclass(frozen=True, kw_only=True)
class Merges:
    """A byte-pair vocabulary: merges in the order of their rank, and the id of every symbol.

    Attributes:
        ids: symbol to id; the ids are 0 to n - 1.
        ranks: pairs of symbols; the first is merged first.
        suffix: what the last symbol of a word ends with ("</w>" in GPT-1), counted as no character.
        unknown: symbol that stands for characters without an id, if there is one.
    """

    ids: dict[str, int]
    ranks: tuple[tuple[str, str], ...]
    suffix: str = ""
    unknown: str | None = None

    def __post_init__(self) -> None:
        check_vocabulary(self.ids)
        for pair in self.ranks:
            for symbol in (*pair, "".join(pair)):
                if symbol not in self.ids:
                    raise ZooError(
                        f"merge {pair[0]!r} {pair[1]!r}: the vocabulary has no {symbol!r}; files of two vocabularies?"
                    )

    def tokenize(self, word: str) -> Ids:
        """Return the ids of one word, whose characters are symbols."""
        return self._tokenize(word) if len(word) <= WINDOW else self._tokenize_long(word)

    def files(self) -> dict[str, str]:
        """Return the vocabulary as ``vocab.json`` and ``merges.txt``, which Hugging Face reads too."""
        lines = [f"{HEADER}: 0.2", *(f"{left} {right}" for left, right in self.ranks)]
        return {"vocab.json": json.dumps(self.ids, ensure_ascii=False) + "\n", "merges.txt": "\n".join(lines) + "\n"}

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """The symbol of every id."""
        return tuple(sorted(self.ids, key=self.ids.__getitem__))

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Characters of a word that every id stands for."""
        return np.array(
            [1 if symbol == self.unknown else len(symbol.removesuffix(self.suffix)) for symbol in self.symbols]
        )

    @cached_property
    def _model(self) -> models.BPE:
        options = {"unk_token": self.unknown, "end_of_word_suffix": self.suffix or None}
        given = {name: value for name, value in options.items() if value is not None}
        return models.BPE(vocab=self.ids, merges=list(self.ranks), **given)

    def _tokenize(self, word: str) -> tuple[int, ...]:
        return tuple(token.id for token in self._model.tokenize(word))

    def _tokenize_long(self, word: str) -> NDArray[np.int32]:
        """Tokenize window by window.

        Ids are the encoding of their text exactly if every two neighbours are (a merge across a boundary would have
        happened between these two alone). So two encodings of overlapping windows may be joined at an id that both hold
        at the same place: every pair of neighbours then occurs in one of them.
        """
        done: list[NDArray[np.int32]] = []
        start, size = 0, WINDOW
        current = np.array(self._tokenize(word[:size]), dtype=np.int32)
        while start + size < len(word):
            ends = np.cumsum(self.lengths[current])
            kept = int(np.searchsorted(ends, size - MARGIN))
            step = int(ends[kept - 1]) if kept else 0
            following = np.array(self._tokenize(word[start + step : start + step + WINDOW]), dtype=np.int32)
            if kept and following[0] == current[kept]:
                done.append(current[:kept])
                start, size, current = start + step, WINDOW, following
            else:
                size *= 2
                current = np.array(self._tokenize(word[start : start + size]), dtype=np.int32)
        return np.concatenate([*done, current])


def read(folder: Path | str, *, suffix: str = "", unknown: str | None = None) -> Merges:
    """Return the byte-pair vocabulary in ``folder``: OpenAI's two files, Hugging Face's two, or its ``tokenizer.json``.

    Raises:
        ZooError: files are missing, or do not fit together.
    """
    path = Path(folder)
    found = [(path / ids, path / ranks) for ids, ranks in FILES if (path / ids).is_file() and (path / ranks).is_file()]
    if found:
        ids, ranks = folders.read_json(found[0][0]), _ranks_of_lines(folders.read_text(found[0][1]), found[0][1])
    elif (path / "tokenizer.json").is_file():
        ids, ranks = _from_tokenizer_json(path / "tokenizer.json")
    else:
        raise ZooError(f"{path}: no byte-pair vocabulary here; expected {' or '.join(map(' and '.join, FILES[:2]))}")
    try:
        check_vocabulary(ids)
        return Merges(ids=ids, ranks=ranks, suffix=suffix, unknown=unknown if unknown in ids else None)
    except ZooError as error:
        raise ZooError(f"{path}: {error}") from None


def ranks_of(trained: Tokenizer) -> tuple[tuple[str, str], ...]:
    """Return the merges that the tokenizers library has trained."""
    return tuple((left, right) for left, right in json.loads(trained.to_str())["model"]["merges"])


def _ranks_of_lines(text: str, path: Path) -> tuple[tuple[str, str], ...]:
    lines = text.replace("\r\n", "\n").split("\n")
    return tuple(_pair(line, path) for line in lines[lines[0].startswith(HEADER) :] if line)


def _from_tokenizer_json(path: Path) -> tuple[dict[str, Any], tuple[tuple[str, str], ...]]:
    match folders.read_json(path):
        case {"model": {"vocab": dict(ids), "merges": list(merges)}, **rest}:
            specials = rest.get("added_tokens")
            for special in specials if isinstance(specials, list) else []:
                match special:
                    case {"content": str(name), "id": int(index)}:
                        ids[name] = index
            return ids, tuple(_pair(merge, path) for merge in merges)
    raise ZooError(f"{path}: no byte-pair model in it")


def _pair(merge: object, path: Path) -> tuple[str, str]:
    match merge.split(" ") if isinstance(merge, str) else merge:
        case [str(left), str(right)] if left and right:
            return left, right
    raise ZooError(f"{path}: a merge is two symbols with a blank between them, not {str(merge)[:40]!r}")
