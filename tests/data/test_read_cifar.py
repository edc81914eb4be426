"""CIFAR-10's binary version: hand-made files, and archives that no one should trust (fault 20)."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from zoo.data.images import Images
from zoo.data.read_image import read_images
from zoo.errors import ZooError

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FOLDER = "cifar-10-batches-bin"


def record(label: int, red: int) -> bytes:
    """Return a picture: reds counting up from ``red`` row by row, greens 7, blues 9."""
    reds = (np.arange(1024) + red).astype(np.uint8)
    return bytes([label]) + reds.tobytes() + bytes([7]) * 1024 + bytes([9]) * 1024


FILES = {
    "data_batch_1.bin": record(3, 0) + record(9, 5),
    "data_batch_2.bin": record(0, 11),
    "test_batch.bin": record(6, 40),
    "batches.meta.txt": ("\n".join(NAMES) + "\n\n").encode(),
    "readme.html": b"<meta>",
}


def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def tar(path: Path, *more: tuple[tarfile.TarInfo, bytes], form: int = tarfile.USTAR_FORMAT) -> Path:
    """Write the archive as its authors did, then ``more`` members."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as file:
        for info, content in (
            member(FOLDER, type=tarfile.DIRTYPE),
            *(member(f"{FOLDER}/{name}", content) for name, content in FILES.items()),
            *more,
        ):
            file.addfile(info, io.BytesIO(content))
    path.write_bytes(gzip.compress(packed.getvalue()) if path.suffix in (".gz", ".tgz") else packed.getvalue())
    return path


@pytest.mark.parametrize("name", ["cifar-10-binary.tar.gz", "c.tgz", "c.tar", "folder"])
def test_pictures_and_classes(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
        for file, content in FILES.items():
            (path / file).write_bytes(content)
    else:
        tar(path, form=tarfile.GNU_FORMAT)
    images = read_images(str(path))
    assert (list(images.train), list(images.held_out)) == ([0, 1, 2], [3])
    assert list(images.labels) == ["cat", "truck", "airplane", "frog"]
    assert images[1].shape == (32, 32, 3)
    assert images[1][0, :3].tolist() == [[5, 7, 9], [6, 7, 9], [7, 7, 9]]
    assert images[3][1, 0].tolist() == [40 + 32, 7, 9]
    assert Images(path=str(path), conditional=True).open().classes == ("airplane", "cat", "frog", "truck")


def test_an_extended_header_is_passed_over(tmp_path: Path) -> None:
    path = tar(tmp_path / "c.tar", member("x", b"y", pax_headers={"comment": "hello"}), form=tarfile.PAX_FORMAT)
    assert len(read_images(str(path))) == 4


HOSTILE = {
    "up": ("leads out of the archive", member("../escaped", b"x")),
    "up inside": ("leads out of the archive", member("a/../../escaped", b"x")),
    "up on Windows": ("leads out of the archive", member("..\\escaped", b"x")),
    "absolute": ("no plain relative path", member("/escaped", b"x")),
    "a drive": ("no plain relative path", member("C:\\escaped", b"x")),
    "a new line": ("no plain relative path", member("a\nb", b"x")),
    "twice": ("stands twice", member(f"{FOLDER}/test_batch.bin", record(1, 1))),
    "a symbolic link": ("link, a device", member("a", type=tarfile.SYMTYPE, linkname="/etc/passwd")),
    "a hard link": ("link, a device", member("a", type=tarfile.LNKTYPE, linkname="../a")),
    "a device": ("link, a device", member("a", type=tarfile.CHRTYPE)),
    "a large member": (r"has 1,048,577 bytes", member("zeros", bytes((1 << 20) + 1))),
    "a large file of pictures": ("bytes", member("data_batch_9.bin", bytes(10_000 * 3073 + 1))),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_an_archive_that_is_not_sound(tmp_path: Path, case: str) -> None:
    message, extra = HOSTILE[case]
    (tmp_path / "in").mkdir()
    path = tar(tmp_path / "in" / "c.tar.gz", extra)
    with pytest.raises(ZooError, match=message) as error:
        read_images(str(path))
    assert "\n" not in str(error.value)
    assert [found.name for found in tmp_path.rglob("*")] == ["in", "c.tar.gz"]


DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "cut short": ("cut short", lambda data: data[:9000]),
    "cut in a header": ("no member", lambda data: data[: 512 + 100]),
    "changed": ("checksum is wrong", lambda data: data[:3] + b"x" + data[4:]),
    "no tar": ("no member", lambda data: b"not a tar file at all"),
    "empty": ("no data_batch_1.bin", lambda data: b""),
    "a member that grows": ("checksum is wrong", lambda data: data[:124] + b"77777777777\0" + data[136:]),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_archive(tmp_path: Path, case: str) -> None:
    message, change = DAMAGE[case]
    path = tar(tmp_path / "c.tar")
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ZooError, match=message):
        read_images(str(path))
    (tmp_path / "c.tar.gz").write_bytes(b"\x1f\x8b broken")
    with pytest.raises(ZooError, match="damaged gzip file"):
        read_images(str(tmp_path / "c.tar.gz"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data_batch_1.bin", record(3, 0)[:-1], "6145 bytes are no pictures of 3073"),
        ("data_batch_1.bin", record(10, 0), "class 10 of 0 to 9"),
        ("test_batch.bin", None, "no data_batch_1.bin and test_batch.bin"),
        ("batches.meta.txt", b"one\ntwo\n", "does not list 10 classes"),
    ],
)
def test_other_files(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    for file, whole in (FILES | {name: content}).items():
        if whole is not None:
            (tmp_path / file).write_bytes(whole)
    with pytest.raises(ZooError, match=message):
        read_images(str(tmp_path))
