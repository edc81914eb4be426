"""Text in pieces, ranges and encodings."""

from __future__ import annotations

import gzip
import hashlib
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.data import documents
from zoo.data.documents import Document, check_encoding, from_file, from_text, split_bytes
from zoo.data.files import DataFile
from zoo.errors import ZooError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


def written(tmp_path: Path, data: bytes, name: str = "a.txt") -> DataFile:
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return DataFile(path=path, name=name)


@given(text=TEXT, piece=st.integers(4, 40))
def test_pieces_join_to_the_text(text: str, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "PIECE", piece)
        pieces = list(from_text("x", text).pieces())
    assert "".join(pieces) == text
    assert all(len(part.encode()) <= piece for part in pieces)


@given(texts=st.lists(TEXT, min_size=1, max_size=5), fraction=st.floats(0.01, 0.99))
def test_a_split_by_bytes_is_disjoint_and_complete(texts: list[str], fraction: float) -> None:
    whole = [from_text(str(index), text) for index, text in enumerate(texts)]
    train, held_out = split_bytes(whole, fraction)
    assert "".join(part.text() for part in [*train, *held_out]) == "".join(texts)
    total = sum(document.size for document in whole)
    excess = sum(document.size for document in train) - documents.train_bytes(total, fraction)
    assert 0 <= excess <= 3


@given(text=TEXT, block=st.integers(1, 7))
def test_blocks_may_end_inside_characters(text: str, block: int) -> None:
    data = text.encode()
    blocks = [data[at : at + block] for at in range(0, len(data), block)]
    document = Document(name="x", blocks=lambda: iter(blocks), stop=len(data))
    before, after = document.split(len(data) // 2)
    assert before.text() + after.text() == text


def test_pieces_end_between_lines_then_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "PIECE", 12)
    assert list(from_text("x", "one two\nthree four five\n\nsix").pieces()) == [
        "one two\n",
        "three four",
        " five\n\nsix",
    ]


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_line_ends_stay_and_a_byte_order_mark_goes(tmp_path: Path, name: str) -> None:
    document = from_file(written(tmp_path, b"\xef\xbb\xbfone\r\ntwo\n\0three\xc3\xa9", name))
    assert document.text() == "one\r\ntwo\n\0threeé"
    assert document.size == 17
    assert document.sha256() == hashlib.sha256("one\r\ntwo\n\0threeé".encode()).hexdigest()


@pytest.mark.parametrize(("encoding", "bad"), [("latin-1", False), ("utf-16", False), ("utf-8", True)])
def test_other_encodings(tmp_path: Path, encoding: str, bad: bool) -> None:
    file = written(tmp_path, "Götter".encode("latin-1" if bad else encoding))
    if bad:
        with pytest.raises(ZooError, match=r"a\.txt: not valid utf-8 at byte 1; make it UTF-8, or say data\.encoding"):
            from_file(file, encoding)
    else:
        assert from_file(file, encoding).text() == "Götter"


def test_an_invalid_byte_is_found_far_into_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "BLOCK", 16)
    for place in (0, 15, 16, 17, 40):
        text = ("é" * 30).encode()
        data = text[: 2 * (place // 2)] + b"\xff" + text
        with pytest.raises(ZooError, match=f"at byte {2 * (place // 2)};"):
            from_file(written(tmp_path, data))
    with pytest.raises(ZooError, match="at byte 60;"):
        from_file(written(tmp_path, ("é" * 30).encode() + b"\xc3"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x89PNG\r\n\x1a\n123", "is a PNG image, not text"),
        (b"PK\x03\x04123", "is a zip archive"),
        (b"%PDF-1.4", "is a PDF"),
        ("text".encode("utf-16"), "UTF-16 text; say data.encoding=utf-16"),
        (bytes(1000), "looks binary"),
    ],
)
def test_binary_files_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(ZooError, match=message):
        from_file(written(tmp_path, data))


def test_unknown_encodings_and_lone_surrogates() -> None:
    with pytest.raises(ZooError, match="unknown encoding 'utf8x'"):
        check_encoding("utf8x")
    with pytest.raises(ZooError, match="unknown encoding 'base64'"):
        check_encoding("base64")
    with pytest.raises(ZooError, match="x: lone surrogate at character 1"):
        from_text("x", "a\ud800")


def test_a_large_single_line_is_read_in_little_memory(tmp_path: Path) -> None:
    file = written(tmp_path, b"ab" * (20 << 20))
    tracemalloc.start()
    document = from_file(file)
    assert sum(len(piece) for piece in document.pieces()) == document.size == 40 << 20
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 << 20
