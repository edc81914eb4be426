"""Zip files of arrays (``.npz``, PyTorch's ``.pt``): looked through before anything in them is used.

Nothing is ever unpacked to disk. Members that are stored as they are can be read in place, the way tensors are.
"""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from zoo.errors import ZooError

CATALOGUE_LIMIT = 1 << 20
"""Longest list of members (bytes) that is read; a model's has about 100 a tensor."""
CHUNK = 1 << 20
_HEADER, _END, _END64, _LOCATOR64 = b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"


class Archive:
    """A zip file whose list of members makes sense.

    Args:
        path: the file.

    Raises:
        ZooError: not a zip file, cut short, a list that is too long, a name twice, a name that leads elsewhere (``..``,
            absolute, a drive), a link, an encrypted member, or a way of packing that arrays never have.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._size = path.stat().st_size
            self._check_catalogue()
            with zipfile.ZipFile(path) as file:
                infos = file.infolist()
        except ZooError:
            raise
        except OSError as error:
            raise ZooError(f"{path} cannot be read: {error.strerror or error}") from None
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError) as error:
            raise self.refuse(f"its list of members is broken ({error})") from None
        self._infos: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            self._admit(info)

    def refuse(self, reason: str) -> ZooError:
        """Return the error for this file."""
        return ZooError(f"{self.path} is no sound zip file of arrays: {reason}; get the file again")

    @property
    def sizes(self) -> Mapping[str, int]:
        """Name of every member and its size in bytes, unpacked."""
        return {name: info.file_size for name, info in self._infos.items()}

    def stored(self, name: str) -> bool:
        """Return whether a member's bytes stand in the file as they are."""
        return self._infos[name].compress_type == zipfile.ZIP_STORED

    def start(self, name: str) -> int:
        """Return where in the file the bytes of a member begin.

        Raises:
            ZooError: the member lies outside of the file or is not what the list says.
        """
        info = self._infos[name]
        with self.path.open("rb") as file:
            file.seek(info.header_offset)
            header = file.read(30)
            length, extra = int.from_bytes(header[26:28], "little"), int.from_bytes(header[28:30], "little")
            stated = file.read(length)
        start = info.header_offset + 30 + length + extra
        if header[:4] != _HEADER or stated != name.encode():
            raise self.refuse(f"member {name!r} is not where the list says")
        if start + info.compress_size > self._size or (self.stored(name) and info.compress_size != info.file_size):
            raise self.refuse(f"member {name!r} lies outside of the file")
        return start

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield a member's bytes, unpacked, in pieces of at most 1 MB.

        Raises:
            ZooError: they are more or fewer than the list says, are not packed soundly, or their checksum is wrong.
        """
        info, done, crc = self._infos[name], 0, 0
        for piece in self._unpacked(info, self.start(name)):
            done, crc = done + len(piece), zlib.crc32(piece, crc)
            if done > info.file_size:
                raise self.refuse(f"member {name!r} is longer than the list says")
            yield piece
        if done != info.file_size or crc != info.CRC:
            raise self.refuse(f"member {name!r} is cut short or changed")

    def head(self, name: str, limit: int) -> bytes:
        """Return the first ``limit`` bytes of a member, unpacked, or all of it if it is shorter."""
        content = b""
        for piece in self.pieces(name):
            content += piece
            if len(content) >= limit:
                break
        return content[:limit]

    def _unpacked(self, info: zipfile.ZipInfo, start: int) -> Iterator[bytes]:
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        left = info.compress_size
        with self.path.open("rb") as file:
            file.seek(start)
            while left and (packed := file.read(min(left, CHUNK if self.stored(info.filename) else CHUNK >> 4))):
                left -= len(packed)
                if self.stored(info.filename):
                    yield packed
                    continue
                try:
                    while packed:
                        yield unpacker.decompress(packed, CHUNK)
                        packed = unpacker.unconsumed_tail
                except zlib.error as error:
                    raise self.refuse(f"member {info.filename!r} cannot be unpacked ({error})") from None

    def _admit(self, info: zipfile.ZipInfo) -> None:
        name = info.orig_filename
        if name in self._infos:
            raise self.refuse(f"the name {name!r} stands twice")
        if not re.fullmatch(r"[\x20-\x7e]{1,1024}", name) or re.match(r"/|\\|[A-Za-z]:", name):
            raise self.refuse(f"the name {name[:80]!r} is no plain relative path")
        if ".." in re.split(r"[/\\]", name):
            raise self.refuse(f"the name {name[:80]!r} leads out of the archive")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise self.refuse(f"member {name!r} is a link")
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise self.refuse(f"member {name!r} is encrypted, or packed in a way that arrays never are")
        self._infos[name] = info

    def _check_catalogue(self) -> None:
        """Refuse a list of members too long to be read, before Python's zipfile reads it whole."""
        with self.path.open("rb") as file:
            file.seek(max(0, self._size - 98))
            tail = file.read(98).rjust(98, b"\0")
        if tail[-22:-18] != _END or tail[-2:] != b"\0\0":
            raise ZooError(f"{self.path} is no zip file, or is cut short; get the file again")
        length = int.from_bytes(tail[-10:-6], "little")
        if tail[-42:-38] == _LOCATOR64:
            if tail[:4] != _END64 or int.from_bytes(tail[-34:-26], "little") != self._size - 98:
                raise self.refuse("its end is broken")
            length = int.from_bytes(tail[40:48], "little")
        if length > CATALOGUE_LIMIT:
            raise self.refuse(f"it lists more members than any model has ({length >> 20} MB of names)")
