"""Readers of images: files, one folder per class, .npz arrays, MNIST's idx files, and CIFAR-10."""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from zoo.data.files import DataFile, find, open_bytes, sha256_of_all
from zoo.data.read import choose, class_folders
from zoo.data.read_cifar import read_cifar
from zoo.data.records import Image, Records
from zoo.data.split import require_both, split_count, split_names
from zoo.errors import ZooError
from zoo.tokenizers.image.pixels import MAX_PIXELS, from_pillow

MAX_DRAFT = 64_000_000
"""Pixels of the largest photograph that is read at a fraction of its size."""
MAX_BYTES = 128 << 20
"""Largest file, unpacked if it is gzipped."""
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
"""Whatever a file's name says; what Pillow reads beyond these may run other programs."""


def read_images(path: str, *, alone: bool = False) -> Records[Image]:
    """Read images: a file, a folder (one folder per class, or flat), a glob, an .npz, MNIST's idx files, CIFAR-10.

    An .npz holds ``x`` and optionally ``y``, or ``x_train, y_train, x_test, y_test``; ``x`` is uint8 (count, height,
    width) or (count, height, width, channels), ``y`` whole numbers or texts. Nothing in it is ever unpickled.

    Args:
        path: of the images.
        alone: they need not be enough to be split into two parts.

    Raises:
        ZooError: nothing there, a damaged file, arrays of another shape: one line that names it.
    """
    found = find(path)
    files = choose(found, "image", "array", "idx", "cifar", "archive")
    if files[0].kind == "array":
        if len(files) > 1:
            raise ZooError(f"{path}: holds {len(files)} .npz files; name one of them")
        records = _read_npz(files[0])
    elif files[0].kind == "idx":
        records = _read_idx(files, path)
    elif files[0].kind in ("cifar", "archive"):
        images, labels = read_cifar(files if files[0].kind == "archive" else found.files, path)
        records = _in_memory(found.title, images, labels, [], sha256_of_all(files))
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
    if not alone and (found.form != "file" or files[0].kind != "image"):
        require_both(records.train, records.held_out, path)
    return records


def read_image(path: Path) -> Image:
    """Read one image file: uint8 (height, width, 1) for gray levels, (height, width, 3) for anything else.

    What becomes of orientation, transparency, 16 bits, CMYK and films: see ``from_pillow``. A JPEG photograph of more
    than ``MAX_PIXELS`` is read at half its size, or a quarter, an eighth: what its format can do while unpacking.

    Raises:
        ZooError: not an image of the formats listed above, damaged, or too large.
    """
    with open_bytes(path) as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ZooError(f"{path}: more than {MAX_BYTES >> 20} MB; make it smaller")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata; the limits on sizes here are lower than Pillow's
            with Pillow.open(io.BytesIO(data), formats=FORMATS) as image:
                _draft(image)
                return from_pillow(image)
    except ZooError as error:
        raise ZooError(f"{path}: {error}") from None
    except UnidentifiedImageError:
        raise ZooError(f"{path}: not a readable image (unknown format; known: {', '.join(FORMATS)})") from None
    except Pillow.DecompressionBombError:
        raise ZooError(f"{path}: too many pixels (limit {MAX_PIXELS:,}); make it smaller") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ZooError(f"{path}: not a readable image ({' '.join(str(error).split())})") from None


def _draft(image: Pillow.Image) -> None:
    """Have a large JPEG unpacked at a fraction of its size; other formats cannot, and are left alone."""
    width, height = image.size
    if MAX_PIXELS < width * height <= MAX_DRAFT:
        scale = next(scale for scale in (2, 4, 8) if width * height <= MAX_PIXELS * scale**2)
        image.draft(image.mode, (width // scale, height // scale))


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
