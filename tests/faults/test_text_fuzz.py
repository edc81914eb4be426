"""Fault 15: any text comes back byte for byte, or one clear line says why not; a line may be 100 MB long."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tokenizers.samples import CORPUS, HARD_TEXTS, unpack_vocabulary
from zoo.errors import ZooError
from zoo.tokenizers.text.bpe import BpeTokenizer, Gpt2Tokenizer
from zoo.tokenizers.text.byte import ByteTokenizer
from zoo.tokenizers.text.byte_level import ByteLevelTokenizer

FEW, MANY = 2_000, 100_000


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> list[ByteLevelTokenizer]:
    gpt2 = Gpt2Tokenizer.load(unpack_vocabulary("gpt2", tmp_path_factory.mktemp("gpt2")))
    return [ByteTokenizer(), BpeTokenizer.fit([CORPUS], vocabulary=320), gpt2]


def random_text(rng: random.Random) -> str:
    """Return up to 40 characters from all of Unicode, lone surrogates included, or from a few that meet badly."""
    kind = rng.randrange(5)
    length = rng.randrange(40)
    if kind == 0:
        return "".join(chr(rng.randrange(0x110000)) for _ in range(length))
    if kind == 1:
        return "".join(chr(rng.randrange(128)) for _ in range(length))
    if kind == 2:
        return "".join(chr(rng.choice((rng.randrange(0x3000), rng.randrange(0x1F000, 0x1FB00)))) for _ in range(length))
    if kind == 3:
        return "".join(
            rng.choice(" \n\t\r\x00\ufeff\u200d\u202e\u0301'aAéſ1½\U0010ffff\U0001f468") for _ in range(length)
        )
    return "".join(rng.choice(HARD_TEXTS) for _ in range(rng.randrange(4)))


def check_round_trips(tokenizers: list[ByteLevelTokenizer], count: int) -> None:
    rng = random.Random(count)
    refused = 0
    for _ in range(count):
        text = random_text(rng)
        surrogate = any("\ud800" <= character <= "\udfff" for character in text)
        refused += surrogate
        for tokenizer in tokenizers:
            if surrogate:
                with pytest.raises(ZooError, match="lone surrogate") as caught:
                    tokenizer.encode(text)
                assert "\n" not in str(caught.value)
            else:
                ids = tokenizer.encode(text)
                assert tokenizer.decode(ids) == text
                assert "".join(tokenizer.stream(iter(ids.tolist()))) == text
    assert 0 < refused < count / 10


def test_random_texts_come_back(tokenizers: list[ByteLevelTokenizer]) -> None:
    check_round_trips(tokenizers, FEW)


@pytest.mark.slow
def test_many_random_texts_come_back(tokenizers: list[ByteLevelTokenizer]) -> None:
    check_round_trips(tokenizers, MANY)


def test_random_ids_decode_and_stream_alike(tokenizers: list[ByteLevelTokenizer]) -> None:
    rng = random.Random(0)
    for tokenizer in tokenizers:
        for _ in range(FEW // 4):
            ids = [rng.randrange(tokenizer.spec.vocabulary_size) for _ in range(rng.randrange(30))]
            assert "".join(tokenizer.stream(iter(ids))) == tokenizer.decode(ids)


LONG_LINE = """
import resource, sys, time
from zoo.tokenizers.registry import Bpe, Byte, Gpt2
unit, size, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
tokenizer = Byte().fit([]) if path == "byte" else Gpt2(path=path).fit([])
text = (unit * (size // len(unit) + 1))[:size]
tokenizer.encode(text[:100_000])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.process_time()
ids = tokenizer.encode(text)
seconds = time.process_time() - start
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert tokenizer.decode(ids) == text
print(seconds, (after - before) / 1024)
"""


def long_line(unit: str, size: int, path: str) -> tuple[float, float]:
    """Encode one line in a process of its own; return seconds and the megabytes that it took."""
    command = [sys.executable, "-c", LONG_LINE, unit, str(size), path]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, megabytes = map(float, shown.stdout.split())
    return seconds, megabytes


UNITS = ["the cat sat on the mat; don't you see? ", "a", " ", "!?", "漢字仮名"]


@pytest.mark.parametrize("unit", UNITS[:2])
def test_a_line_of_two_million_characters(unit: str, tmp_path: Path) -> None:
    seconds, megabytes = long_line(unit, 2_000_000, str(unpack_vocabulary("gpt2", tmp_path)))
    assert seconds < 20
    assert megabytes < 200


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS)
def test_a_line_of_100_megabytes(unit: str, tmp_path: Path) -> None:
    size = 100_000_000 // len(unit.encode()) * len(unit)
    seconds, megabytes = long_line(unit, size, str(unpack_vocabulary("gpt2", tmp_path)))
    assert seconds < 600
    assert megabytes < 4000  # ids alone are 8 bytes each


@pytest.mark.slow
def test_a_line_of_100_megabytes_as_bytes() -> None:
    seconds, megabytes = long_line("x", 100_000_000, "byte")
    assert seconds < 20
    assert megabytes < 1500
