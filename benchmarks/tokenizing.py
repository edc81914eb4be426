"""Encoding text with one byte-pair vocabulary: ours, Hugging Face's tokenizers and tiktoken."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import corpus
from benchmarks.measure import Row, in_turn, peer, row, version
from zoo.errors import ZooError
from zoo.tokenizers.text.bpe import WORDS, BpeTokenizer

TITLE = "megabytes of text a second with the same byte-pair vocabulary, beside tokenizers and tiktoken"
Encode = Callable[[str], Sequence[int]]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is encoded.

    Attributes:
        ids: size of the vocabulary that is trained on the text.
        characters: at most so much of the text is encoded.
        text: file to encode, None for Python's help texts.
        vocabulary: folder with GPT-2's files; then these are measured too.
    """

    ids: int
    characters: int
    text: Path | None = None
    vocabulary: Path | None = None


FULL = Sizes(ids=1024, characters=5_000_000)
TINY = Sizes(ids=300, characters=20_000)


def measure(sizes: Sizes, runs: int) -> list[Row]:
    """Return megabytes of UTF-8 a second of every contestant, each new at each run, so that no cache is warm."""
    peer("tiktoken")
    text = corpus.read(sizes.text)[: sizes.characters]
    rows = _rows(f"bpe, {sizes.ids} ids", BpeTokenizer.fit([text], vocabulary=sizes.ids), text, runs)
    if sizes.vocabulary is not None:
        rows += _rows("gpt2, 50257 ids", BpeTokenizer.load(sizes.vocabulary), text, runs)
    return rows


def _rows(name: str, tokenizer: BpeTokenizer, text: str, runs: int) -> list[Row]:
    parts, megabytes = corpus.pieces(text), len(text.encode()) / 1e6
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(folder)
        makers: dict[str, Callable[[], Encode]] = {
            "zoo": lambda: _ours(Path(folder)),
            version("tokenizers"): lambda: _hugging_face(Path(folder)),
            version("tiktoken"): lambda: _tiktoken(tokenizer),
        }
        first = {who: list(make()(parts[0])) for who, make in makers.items()}
        if len({tuple(ids) for ids in first.values()}) > 1:
            raise ZooError(f"{name}: the contestants give different ids, so their speeds cannot be compared")
        times = in_turn({who: partial(_time, make, parts) for who, make in makers.items()}, runs)
    return [row(name, who, "MB/s", [megabytes / taken for taken in seconds]) for who, seconds in times.items()]


def _time(make: Callable[[], Encode], parts: Sequence[str]) -> float:
    encode = make()
    start = time.perf_counter()
    for part in parts:
        encode(part)
    return time.perf_counter() - start


def _ours(folder: Path) -> Encode:
    tokenizer = BpeTokenizer.load(folder)
    tokenizer.encode("warm")  # the merges' table is built at the first word
    return lambda text: tokenizer.encode(text).tolist()


def _hugging_face(folder: Path) -> Encode:
    import tokenizers

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    model = tokenizers.models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return lambda text: list(tokenizer.encode(text).ids)


def _tiktoken(tokenizer: BpeTokenizer) -> Encode:
    ranks = {piece: index for index, piece in enumerate(tokenizer.pieces) if index != tokenizer.spec.end_id}
    encoding = peer("tiktoken").Encoding("own", pat_str=WORDS.pattern, mergeable_ranks=ranks, special_tokens={})
    return lambda text: list(encoding.encode_ordinary(text))
