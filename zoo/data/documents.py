"""Text as documents that are read piece by piece: a file of any size never has to fit in memory."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zoo.data.files import DataFile, open_bytes
from zoo.data.split import train_bytes
from zoo.errors import ZooError

BLOCK = 1 << 20
PIECE = 4 << 20
"""Bytes that are decoded and encoded at once; a shorter document is one piece."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """One text, or a range of its bytes.

    Attributes:
        name: for messages; no machine path.
        blocks: opens the whole text anew as blocks of UTF-8 bytes, without a byte order mark.
        start: first byte that belongs to this document.
        stop: byte after the last one.
    """

    name: str
    blocks: Callable[[], Iterator[bytes]]
    start: int = 0
    stop: int

    @property
    def size(self) -> int:
        """UTF-8 bytes of the text."""
        return self.stop - self.start

    def pieces(self) -> Iterator[str]:
        """Yield the text in order, in strings of about ``PIECE`` bytes that end where words do if that is possible."""
        buffer = bytearray()
        for block in self._range():
            buffer += block
            while len(buffer) > PIECE:
                cut = _place_to_cut(buffer, PIECE)
                yield buffer[:cut].decode()
                del buffer[:cut]
        if buffer:
            yield buffer.decode()

    def text(self) -> str:
        """Return the whole text."""
        return "".join(self.pieces())

    def sha256(self) -> str:
        """Return the hex hash of the text's UTF-8 bytes."""
        total = hashlib.sha256()
        for block in self._range():
            total.update(block)
        return total.hexdigest()

    def split(self, size: int) -> tuple[Document, Document]:
        """Cut after ``size`` bytes, or up to three more where that would be inside a character."""
        cut = self._boundary(self.start + size)
        return replace(self, stop=cut), replace(self, start=cut)

    def _range(self) -> Iterator[bytes]:
        position = 0
        for block in self.blocks():
            wanted = block[max(self.start - position, 0) : max(self.stop - position, 0)]
            position += len(block)
            if wanted:
                yield wanted
            if position >= self.stop:
                return

    def _boundary(self, cut: int) -> int:
        position = 0
        for block in self.blocks():
            while position <= cut < position + len(block):
                if block[cut - position] & 0xC0 != 0x80:
                    return cut
                cut += 1
            position += len(block)
        return self.stop


def from_text(name: str, text: str) -> Document:
    """Return a document that is already in memory.

    Raises:
        ZooError: the text has a lone surrogate, which no UTF-8 file can hold.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise ZooError(f"{name}: lone surrogate at character {error.start}: not valid Unicode text") from None
    return Document(name=name, blocks=lambda: iter((data,)), stop=len(data))


def from_file(file: DataFile, encoding: str = "utf-8") -> Document:
    """Return the document in a text file, checked from end to end.

    A byte order mark is not part of the text; line ends are kept as they are.

    Raises:
        ZooError: binary, or not in ``encoding``: the message gives the first bad byte.
    """
    size = sum(len(block) for block in utf8_blocks(file.path, encoding))
    return Document(name=file.name, blocks=lambda: utf8_blocks(file.path, encoding), stop=size)


def split_bytes(documents: Sequence[Document], fraction: float) -> tuple[list[Document], list[Document]]:
    """Return all but the last ``fraction`` of the bytes of ``documents`` in order, and the rest."""
    cut = train_bytes(sum(document.size for document in documents), fraction)
    train: list[Document] = []
    held_out: list[Document] = []
    begin = 0
    for document in documents:
        end = begin + document.size
        if end <= cut:
            train.append(document)
        elif begin >= cut:
            held_out.append(document)
        else:
            before, after = document.split(cut - begin)
            train += [before] if before.size else []
            held_out += [after] if after.size else []
        begin = end
    return train, held_out


def check_encoding(encoding: str) -> None:
    """Refuse an encoding that Python does not know.

    Raises:
        ZooError: say so.
    """
    try:
        text = codecs.lookup(encoding)
        "".encode(text.name)
    except LookupError:
        raise ZooError(
            f"unknown encoding '{encoding}'; use utf-8, utf-16, latin-1 or another of Python's names"
        ) from None


def utf8_blocks(path: Path, encoding: str = "utf-8") -> Iterator[bytes]:
    """Yield a text file as blocks of UTF-8 bytes, without its byte order mark.

    Raises:
        ZooError: binary, or not in ``encoding``.
    """
    name = codecs.lookup("utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding).name
    decoder = codecs.getincrementaldecoder(name)()
    position = 0
    with open_bytes(path) as stream:
        while True:
            block = stream.read(BLOCK)
            if position == 0:
                _refuse_binary(path, block, name)
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                offset = position - pending + error.start
                raise ZooError(
                    f"{path}: not valid {encoding} at byte {offset}; make it UTF-8, or say data.encoding=NAME"
                ) from None
            position += len(block)
            if text:
                yield text.encode()
            if not block:
                return


def _refuse_binary(path: Path, block: bytes, encoding: str) -> None:
    signatures = {b"\x89PNG": "a PNG image", b"PK\x03\x04": "a zip archive", b"%PDF": "a PDF", b"\x1f\x8b": "gzip data"}
    for signature, what in signatures.items():
        if block.startswith(signature):
            raise ZooError(f"{path}: is {what}, not text")
    if encoding == "utf-8-sig" and block[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ZooError(f"{path}: is UTF-16 text; say data.encoding=utf-16")
    if encoding == "utf-8-sig" and b"\0" in block[:8192] and block[:8192].count(0) * 20 > len(block[:8192]):
        raise ZooError(f"{path}: looks binary (many NUL bytes), expected text")


def _place_to_cut(buffer: bytearray, limit: int) -> int:
    """Return where to cut, at most ``limit``: after a newline between two lines, else before a space, else between two
    characters. ``buffer`` is longer than ``limit``.

    A cut between lines leaves the ids of every tokenizer here as they would be without it.
    """
    end = limit - 1
    while (newline := buffer.rfind(b"\n", 1, end)) > 0:
        if not buffer[newline - 1 : newline].isspace() and not buffer[newline + 1 : newline + 2].isspace():
            return newline + 1
        end = newline
    space = buffer.rfind(b" ", 1, limit)
    if space > 0:
        return space
    cut = limit
    while buffer[cut] & 0xC0 == 0x80:
        cut -= 1
    return cut
