"""Fault 16: any image file becomes a picture in a documented way, or one line, and never takes much memory."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from zoo.data import read_image as reader
from zoo.data.read_image import read_image
from zoo.errors import ZooError
from zoo.tokenizers.image import pixels
from zoo.tokenizers.registry import GrayLevels

NOISE = np.random.default_rng(0).integers(0, 256, (24, 30, 3), dtype=np.uint8)
LIMIT = 500 << 20
"""Bytes of memory that reading one file may take."""


def packed(image: Pillow.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, **options)
    return stream.getvalue()


def read(folder: Path, data: bytes, name: str = "a.png") -> np.ndarray:
    (folder / name).write_bytes(data)
    return read_image(folder / name)


def outcome(folder: Path, data: bytes) -> np.ndarray | str:
    """Return what reading gives: a picture, or what the error says."""
    try:
        return read(folder, data)
    except ZooError as error:
        return str(error)


def bomb(width: int, height: int, kind: int = 0, bits: int = 1) -> bytes:
    """Return a valid PNG of zeros, some kilobytes, without making the picture."""
    samples = {0: 1, 2: 3, 6: 4}[kind]
    row = bytes(1 + (width * bits * samples + 7) // 8)
    packer = zlib.compressobj(1)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def peak(path: Path) -> tuple[str, int]:
    """Read a file in a process of its own; return its shape or the error, and the most memory that it took."""
    code = (
        "import re, sys; from pathlib import Path; from zoo.data.read_image import read_image\n"
        "try: print(read_image(Path(sys.argv[1])).shape)\n"
        "except ValueError as error: print(error)\n"
        "print(1024 * int(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    said, memory = done.stdout.splitlines()
    return said, int(memory)


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


@on_linux
@pytest.mark.parametrize("size", [(30_000, 30_000), (12_000, 10_000), (5001, 5000)])
def test_a_bomb_is_one_line_and_no_memory(size: tuple[int, int], tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(bomb(*size))
    said, memory = peak(tmp_path / "bomb.png")
    assert "bomb.png" in said
    assert "too many" in said
    assert memory < 200 << 20


@on_linux
@pytest.mark.parametrize(("kind", "bits"), [(6, 8), (2, 16), (0, 16), (0, 1)])
def test_the_largest_picture_stays_below_the_limit(kind: int, bits: int, tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(bomb(5000, 5000, kind, bits))
    said, memory = peak(tmp_path / "large.png")
    assert said == f"(5000, 5000, {1 if kind == 0 else 3})"
    assert memory < LIMIT


def test_a_large_photograph_is_read_at_a_fraction_of_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gray = np.repeat(np.repeat(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4, 64, 0), 64, 1)  # 512 x 512
    data = packed(Pillow.fromarray(gray), format="JPEG", quality=95)
    whole = read(tmp_path, data)[32::64, 32::64, 0].astype(int)
    for module in (reader, pixels):
        monkeypatch.setattr(module, "MAX_PIXELS", 200 * 200)
    small = read(tmp_path, data)
    assert small.shape == (128, 128, 1)
    assert np.abs(small[8::16, 8::16, 0] - whole).max() <= 2
    monkeypatch.setattr(reader, "MAX_DRAFT", 500 * 500)
    with pytest.raises(ZooError, match="512 x 512 pixels are too many"):
        read(tmp_path, data)


def test_large_pictures_are_converted_in_strips_as_if_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    colour = Pillow.fromarray(NOISE)
    clear = colour.convert("P")
    clear.info["transparency"] = 3
    deep = Pillow.fromarray(np.random.default_rng(1).integers(0, 65536, (24, 30), dtype=np.uint16))
    turned = colour.copy()
    turned.getexif()[0x0112] = 8
    images = [
        colour,
        clear,
        deep,
        turned,
        *(colour.convert(mode) for mode in ("1", "L", "F", "LA", "RGBA", "CMYK", "HSV")),
    ]
    whole = [pixels.from_pillow(image) for image in images]
    monkeypatch.setattr(pixels, "_CHUNK", 70)  # two rows
    for image, expected in zip(images, whole, strict=True):
        assert np.array_equal(pixels.from_pillow(image), expected)
    assert whole[3].shape == (30, 24, 3)


def test_modes_become_what_is_documented() -> None:
    def pixel(image: Pillow.Image) -> list[int]:
        return pixels.from_pillow(image)[0, 0].tolist()

    assert pixel(Pillow.new("RGBA", (1, 1), (200, 0, 0, 0))) == [255, 255, 255]
    assert pixel(Pillow.new("RGBA", (1, 1), (200, 0, 0, 255))) == [200, 0, 0]
    assert pixel(Pillow.new("LA", (1, 1), (100, 255))) == [100, 100, 100]
    assert pixel(Pillow.new("CMYK", (1, 1), (0, 255, 255, 0))) == [255, 0, 0]
    assert pixel(Pillow.fromarray(np.array([[40_000]], np.uint16))) == [40_000 >> 8]
    assert pixel(Pillow.fromarray(np.array([[-5]], np.int32))) == [0]
    for value, level in ((-3.0, 0), (99.6, 100), (1e30, 255), (float("nan"), 0), (float("inf"), 255)):
        assert pixel(Pillow.fromarray(np.array([[value]], np.float32))) == [level]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_a_film_the_first_frame_counts(kind: str, tmp_path: Path) -> None:
    first, second = Pillow.new("RGB", (9, 8), (255, 0, 0)), Pillow.new("RGB", (9, 8), (0, 0, 255))
    options = {"lossless": True} if kind == "WEBP" else {}
    found = read(tmp_path, packed(first, format=kind, save_all=True, append_images=[second], **options))
    assert found.shape == (8, 9, 3)
    assert np.unique(found.reshape(-1, 3), axis=0).tolist() == [[255, 0, 0]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_to_files_and_pil_images(orientation: int, tmp_path: Path) -> None:
    corners = np.array([[0, 60, 90], [120, 180, 240]], dtype=np.uint8)
    tag = Pillow.Exif()
    tag[0x0112] = orientation
    data = packed(Pillow.fromarray(corners), format="PNG", exif=tag)
    views = {1: corners, 2: corners[:, ::-1], 3: corners[::-1, ::-1], 4: corners[::-1], 5: corners.T}
    views |= {6: np.rot90(corners, -1), 7: corners[::-1, ::-1].T, 8: np.rot90(corners)}
    assert read(tmp_path, data)[..., 0].tolist() == views[orientation].tolist()
    rows, columns = views[orientation].shape
    ids = GrayLevels(size=(rows, columns)).fit([]).encode(Pillow.open(io.BytesIO(data)))
    assert ids.tolist() == views[orientation].reshape(-1).tolist()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(zoo-was-here) (w) file closefile\n",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        packed(Pillow.fromarray(NOISE), format="PNG")[:-900],
        packed(Pillow.fromarray(NOISE), format="JPEG")[:300],
        packed(Pillow.fromarray(NOISE), format="ICO", sizes=[(16, 16)]),
    ],
    ids=["nothing", "svg", "postscript", "png", "gif", "half a png", "half a jpeg", "icon"],
)
def test_what_is_no_image_is_one_line(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZooError, match=r"a\.png: not a readable image") as caught:
        read(tmp_path, data)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "zoo-was-here").exists()
    if data:
        with pytest.raises((ZooError, OSError)):  # PIL may refuse to open it at all
            GrayLevels().fit([]).encode(Pillow.open(io.BytesIO(data), formats=["PNG", "JPEG"]))


def test_a_file_without_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_BYTES", 1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    (tmp_path / "a.png.gz").write_bytes(packer.compress(bytes(32 << 20)) + packer.flush())
    with pytest.raises(ZooError, match=r"a\.png\.gz: more than 1 MB"):
        read_image(tmp_path / "a.png.gz")


@pytest.mark.filterwarnings("ignore")
def test_changed_bytes_give_a_picture_or_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    colour, tag = Pillow.fromarray(NOISE), Pillow.Exif()
    tag[0x0112] = 6
    film = {"save_all": True, "append_images": [colour.rotate(90)]}
    files = [packed(colour, format=kind, exif=tag) for kind in ("PNG", "JPEG", "WEBP", "TIFF")]
    files += [packed(colour, format=kind) for kind in ("BMP", "PPM")]
    files += [packed(colour, format=kind, **film) for kind in ("GIF", "PNG", "WEBP", "MPO")]
    files += [packed(colour.convert("P"), format="PNG", transparency=3), packed(colour.convert("CMYK"), format="JPEG")]
    read_ones = 0
    for data in files:
        for _ in range(40):
            changed = bytearray(data)
            for place in rng.integers(0, min(len(data), 400), rng.integers(1, 6)):
                changed[place] = rng.integers(0, 256)
            found = outcome(tmp_path, bytes(changed[: rng.integers(1, 2 * len(data))]))
            if isinstance(found, str):
                assert "\n" not in found
                assert "a.png" in found
            else:
                assert found.dtype == np.uint8
                assert found.ndim == 3
                assert found.shape[2] in (1, 3)
                read_ones += 1
    assert read_ones > 50
