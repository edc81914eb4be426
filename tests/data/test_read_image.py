"""Every image format of data.path."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from zoo.data.read_image import read_image, read_images
from zoo.errors import ZooError
from zoo.tokenizers.image import pixels

RED = np.full((2, 3, 3), (255, 0, 0), dtype=np.uint8)


def idx(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def mnist(folder: Path, suffix: str = "") -> None:
    folder.mkdir(exist_ok=True)
    for part, count in (("train", 5), ("t10k", 2)):
        images = np.arange(count * 12, dtype=np.uint8).reshape(count, 4, 3)
        for name, array in (("images-idx3", images), ("labels-idx1", np.arange(count, dtype=np.uint8))):
            data = idx(array)
            (folder / f"{part}-{name}-ubyte{suffix}").write_bytes(gzip.compress(data) if suffix else data)


def test_class_folders(tmp_path: Path) -> None:
    for index in range(8):
        folder = tmp_path / ("cats" if index < 3 else "dogs")
        folder.mkdir(exist_ok=True)
        Pillow.fromarray(RED).save(folder / f"{index}.png")
    images = read_images(str(tmp_path))
    assert images.label_names == ("cats", "dogs")
    assert list(images.labels) == ["cats"] * 3 + ["dogs"] * 5
    assert list(images.held_out) == [6]
    assert np.array_equal(images[7], RED)
    assert len(read_images(str(tmp_path / "cats" / "0.png"))) == 1
    assert list(read_images(f"{tmp_path}/*/*.png").labels) == ["cats"] * 3 + ["dogs"] * 5


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_mnist(tmp_path: Path, suffix: str) -> None:
    mnist(tmp_path / "m", suffix)
    images = read_images(str(tmp_path / "m"))
    assert (len(images), list(images.train), list(images.held_out)) == (7, [0, 1, 2, 3, 4], [5, 6])
    assert list(images.labels) == ["0", "1", "2", "3", "4", "0", "1"]
    assert images[1][..., 0].tolist() == np.arange(12, 24).reshape(4, 3).tolist()
    assert images[6].shape == (4, 3, 1)


def test_broken_mnist(tmp_path: Path) -> None:
    mnist(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((2, 4, 3), np.uint8))[:-1])
    with pytest.raises(ZooError, match="t10k-images-idx3-ubyte: 23 bytes, but its header promises 24"):
        read_images(str(tmp_path))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(b"\0\0\x0d\x03" + bytes(40))
    with pytest.raises(ZooError, match="not an idx file of 3-dimensional bytes"):
        read_images(str(tmp_path))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((3, 4, 3), np.uint8)))
    with pytest.raises(ZooError, match="3 t10k images but 2 labels"):
        read_images(str(tmp_path))
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(ZooError, match=r"no file t10k-images-idx3-ubyte\[\.gz\]"):
        read_images(str(tmp_path))


def test_npz(tmp_path: Path) -> None:
    x = np.arange(9 * 2 * 2, dtype=np.uint8).reshape(9, 2, 2)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(9), name=np.array([f"n{index}" for index in range(9)]))
    images = read_images(str(tmp_path / "a.npz"))
    assert (images[8].shape, images.names[8], images.labels[8], list(images.held_out)) == ((2, 2, 1), "n8", "8", [6])
    np.savez_compressed(
        tmp_path / "b.npz", x_train=x, y_train=np.array(["a"] * 9), x_test=x[:2], y_test=np.array(["b"] * 2)
    )
    own = read_images(str(tmp_path / "b.npz"))
    assert (len(own), list(own.held_out), own.label_names) == (11, [9, 10], ("a", "b"))
    assert np.array_equal(own[9][..., 0], x[0])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"z": np.zeros(3)}, r"no array 'x'; expected x\[, y\]"),
        ({"x_train": np.zeros((3, 2, 2), np.uint8)}, "no array 'x_test'"),
        ({"x": np.zeros((3, 2, 2))}, r"x must be uint8 .* got float64 \(3, 2, 2\)"),
        ({"x": np.zeros((3, 2, 2, 4), np.uint8)}, r"x must be uint8"),
        ({"x": np.zeros((9, 2, 2), np.uint8), "y": np.zeros(8, int)}, r"\[9\] images but \[8\] labels"),
        ({"x": np.zeros((9, 2, 2), np.uint8), "y": np.zeros((9, 2))}, "y must be whole numbers"),
        ({"x": np.zeros((6, 2, 2), np.uint8)}, "6 samples are too few"),
        ({"x": np.array([{}, []], dtype=object)}, "arrays of Python objects are refused"),
    ],
)
def test_bad_npz(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ZooError, match=message) as caught:
        read_images(str(tmp_path / "a.npz"))
    assert "\n" not in str(caught.value)


def test_not_an_npz(tmp_path: Path) -> None:
    for data in (b"", b"hello", b"PK\x03\x04 broken"):
        (tmp_path / "a.npz").write_bytes(data)
        with pytest.raises(ZooError, match=r"a\.npz: not a readable \.npz file"):
            read_images(str(tmp_path / "a.npz"))


def test_modes(tmp_path: Path) -> None:
    def read(image: Pillow.Image, name: str = "a.png", **options: object) -> np.ndarray:
        image.save(tmp_path / name, **options)
        return read_image(tmp_path / name)

    assert np.array_equal(read(Pillow.fromarray(RED)), RED)
    assert np.array_equal(read(Pillow.fromarray(RED).convert("P")), RED)
    assert read(Pillow.new("1", (3, 2), 1)).tolist() == [[[255]] * 3] * 2
    assert read(Pillow.new("L", (3, 2), 7)).tolist() == [[[7]] * 3] * 2
    assert read(Pillow.fromarray(np.full((2, 3), 0x1234, np.uint16))).tolist() == [[[0x12]] * 3] * 2
    assert read(Pillow.new("RGBA", (1, 1), (0, 0, 0, 0))).tolist() == [[[255, 255, 255]]]
    assert read(Pillow.new("CMYK", (8, 8)), "a.jpg").tolist() == [[[255] * 3] * 8] * 8
    turned = Pillow.Exif()
    turned[0x0112] = 6
    assert read(Pillow.fromarray(RED), "b.jpg", exif=turned).shape == (3, 2, 3)


def test_damaged_images_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    for broken in (b"", b"hello", data[: len(data) // 2], data[:40]):
        (tmp_path / "b.png").write_bytes(broken)
        with pytest.raises(ZooError, match=r"b\.png: not a readable image") as caught:
            read_image(tmp_path / "b.png")
        assert "\n" not in str(caught.value)
    monkeypatch.setattr(pixels, "MAX_PIXELS", 64 * 64 - 1)
    with pytest.raises(ZooError, match="64 x 64 pixels are too many"):
        read_image(tmp_path / "a.png")


def test_real_images(shared_data: Path) -> None:
    digits = read_images(str(shared_data / "images" / "mnist"))
    assert (len(digits.train), len(digits.held_out), digits[0].shape, digits.labels[0]) == (
        60_000,
        10_000,
        (28, 28, 1),
        "5",
    )
    assert int(digits[0].sum()) == 27525
    signs = read_images(str(shared_data / "images" / "signdigits64"))
    assert (len(signs.train), len(signs.held_out), signs[1799].shape) == (1600, 200, (64, 64, 3))
    emoji = read_images(str(shared_data / "images" / "emoji32" / "emoji32.npz"))
    assert (len(emoji), len(emoji.held_out), emoji.names[0], emoji.labels) == (1693, 154, "emoji_u0023", [])
