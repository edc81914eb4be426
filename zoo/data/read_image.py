"""Readers of images: files, one folder per class, .npz arrays, and MNIST's idx files."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from zoo.data.files import DataFile, find, open_bytes, sha256_of_all
from zoo.data.read import choose, class_folders
from zoo.data.records import Image, Records
from zoo.data.split import require_both, split_count, split_names
from zoo.errors import ZooError

MAX_PIXELS = 64_000_000
"""Larger images are refused before they are unpacked: a small file can hold gigabytes of one colour."""
GRAY_MODES = ("1", "L", "F")


def read_images(path: str) -> Records[Image]:
    """Read images: a file, a folder (one folder per class, or flat), a glob, an .npz, or a folder of MNIST's idx files.

    An .npz holds ``x`` and optionally ``y``, or ``x_train, y_train, x_test, y_test``; ``x`` is uint8 (count, height,
    width) or (count, height, width, channels), ``y`` whole numbers or texts. Nothing in it is ever unpickled.

    Raises:
        ZooError: nothing there, a damaged file, arrays of another shape: one line that names it.
    """
    found = find(path)
    files = choose(found, "image", "array", "idx")
    if files[0].kind == "array":
        if len(files) > 1:
            raise ZooError(f"{path}: holds {len(files)} .npz files; name one of them")
        records = _read_npz(files[0])
    elif files[0].kind == "idx":
        records = _read_idx(files, path)
    else:
        train, held_out = split_names([file.name for file in files])
        records = Records(
            title=found.title,
            names=[file.name for file in files],
            labels=class_folders(files),
            train=train,
            held_out=held_out,
            load=lambda index: read_image(files[index].path),
            sha256=sha256_of_all(files),
        )
    if found.form != "file" or files[0].kind != "image":
        require_both(records.train, records.held_out, path)
    return records


def read_image(path: Path) -> Image:
    """Read one image file: uint8 (height, width, 1) for gray levels, (height, width, 3) for anything else.

    The camera's orientation is applied, transparency is put on white, 16 bits become 8; of a film,
    the first frame counts.

    Raises:
        ZooError: not an image, damaged, or larger than ``MAX_PIXELS``.
    """
    with open_bytes(path) as stream:
        data = io.BytesIO(stream.read())
    try:
        with Pillow.open(data) as image:
            if math.prod(image.size) > MAX_PIXELS:
                width, height = image.size
                raise ZooError(
                    f"{path}: {width} x {height} pixels are too many (limit {MAX_PIXELS:,}); make it smaller"
                )
            return _to_array(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        raise ZooError(f"{path}: not a readable image (unknown format)") from None
    except (Pillow.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        if isinstance(error, ZooError):
            raise
        raise ZooError(f"{path}: not a readable image ({' '.join(str(error).split())})") from None


def _to_array(image: Pillow.Image) -> Image:
    if image.mode.startswith("I"):  # 16-bit gray: Pillow would clip instead of scaling
        return (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)[..., None]
    if image.mode in GRAY_MODES:
        return np.asarray(image.convert("L"))[..., None].copy()
    if "A" in image.getbands() or "transparency" in image.info:
        clear = image.convert("RGBA")
        image = Pillow.alpha_composite(Pillow.new("RGBA", clear.size, "white"), clear)
    return np.asarray(image.convert("RGB")).copy()


def _read_npz(file: DataFile) -> Records[Image]:
    try:
        with np.load(file.path, allow_pickle=False) as arrays:
            names = set(arrays.files)
            parts = ("_train", "_test") if "x_train" in names else ("",)
            images = [_images(arrays["x" + part], f"{file.path}: x{part}") for part in parts if "x" + part in names]
            labels = [_labels(arrays["y" + part], f"{file.path}: y{part}") for part in parts if "y" + part in names]
            stated = [str(name) for name in arrays["name"]] if "name" in names and parts == ("",) else []
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        if isinstance(error, ZooError):
            raise
        reason = (
            "arrays of Python objects are refused" if "pickle" in str(error).lower() else " ".join(str(error).split())
        )
        raise ZooError(f"{file.path}: not a readable .npz file ({reason})") from None
    if len(images) != len(parts):
        raise ZooError(
            f"{file.path}: no array '{'x' if parts == ('',) else 'x_test'}'; expected x[, y] or x_train, y_train, …"
        )
    if labels and [len(part) for part in labels] != [len(part) for part in images]:
        raise ZooError(
            f"{file.path}: {[len(part) for part in images]} images but {[len(part) for part in labels]} labels"
        )
    return _in_memory(file.path.name, images, labels, stated, sha256_of_all([file]))


def _images(array: npt.NDArray[np.generic], where: str) -> Image:
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3)):
        raise ZooError(f"{where} must be uint8 (count, height, width[, 1 or 3]), got {array.dtype} {array.shape}")
    images: Image = np.asarray(array, dtype=np.uint8)
    return images[..., None] if images.ndim == 3 else images


def _labels(array: npt.NDArray[np.generic], where: str) -> list[str]:
    if array.ndim != 1 or array.dtype.kind not in "iubU":
        raise ZooError(f"{where} must be whole numbers or texts (count,), got {array.dtype} {array.shape}")
    return [str(label) for label in array.tolist()]


def _in_memory(
    title: str, images: Sequence[Image], labels: Sequence[list[str]], stated: list[str], sha256: str
) -> Records[Image]:
    """Make records of one array, split by number, or of a training and a test array."""
    counts = [len(part) for part in images]
    total = sum(counts)
    train, held_out = (range(counts[0]), range(counts[0], total)) if len(images) == 2 else split_count(total)
    return Records(
        title=title,
        names=stated if len(stated) == total else [str(index) for index in range(total)],
        labels=[label for part in labels for label in part],
        train=train,
        held_out=held_out,
        load=lambda index: images[0][index] if index < counts[0] else images[1][index - counts[0]],
        sha256=sha256,
    )


def _read_idx(files: Sequence[DataFile], path: str) -> Records[Image]:
    """Read MNIST's four files: {train,t10k}-{images-idx3,labels-idx1}-ubyte, gzipped or not."""
    named = {Path(file.name).name.removesuffix(".gz"): file for file in files}
    images, labels = [], []
    for part in ("train", "t10k"):
        for kind, rank in (("images", 3), ("labels", 1)):
            name = f"{part}-{kind}-idx{rank}-ubyte"
            if name not in named:
                raise ZooError(f"{path}: no file {name}[.gz]; MNIST's folder holds four such files")
            array = _read_idx_file(named[name].path, rank)
            if kind == "images":
                images.append(array[..., None])
            else:
                labels.append([str(label) for label in array.tolist()])
        if len(images[-1]) != len(labels[-1]):
            raise ZooError(f"{path}: {len(images[-1])} {part} images but {len(labels[-1])} labels")
    return _in_memory(Path(path).name, images, labels, [], sha256_of_all(files))


def _read_idx_file(path: Path, rank: int) -> Image:
    with open_bytes(path) as stream:
        data = stream.read()
    header = 4 + 4 * rank
    if len(data) < header or data[:4] != bytes((0, 0, 8, rank)):
        raise ZooError(f"{path}: not an idx file of {rank}-dimensional bytes")
    shape = tuple(int(size) for size in np.frombuffer(data, dtype=">u4", count=rank, offset=4))
    if len(data) != header + math.prod(shape):
        raise ZooError(
            f"{path}: {len(data) - header} bytes, but its header promises {math.prod(shape)}; fetch it again"
        )
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)
