"""What a picture is to everything here: a uint8 array (height, width, 1 or 3); and how others become one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps

from zoo.errors import ZooError
from zoo.tokenizers.image.settings import MAX_SIDE

Pixels = NDArray[np.uint8]
"""uint8 (..., height, width, channels), 1 channel for gray levels, 3 for red, green, blue."""
Picture = Pillow.Image | Pixels
"""What tokenizers take: a PIL image of any mode, or uint8 (height, width[, 1 or 3])."""

MAX_PIXELS = 25_000_000
"""Larger pictures are refused before they are unpacked: a small file can hold gigabytes of one colour."""
_CHUNK = 1 << 20
"""Pixels that are converted at once."""


def from_pillow(image: Pillow.Image) -> Pixels:
    """Return a PIL image as uint8 (height, width, 1) if its mode is a gray one, else (height, width, 3).

    The camera's orientation is applied, transparency is put on white, of 16 bits the upper 8 are kept, floating-point
    values are rounded and cut to 0 ... 255 (NaN is 0); CMYK and others become RGB as Pillow does it, without a colour
    profile; of a film, the frame that it stands at counts. Works in strips: no second copy of the whole is made.

    Raises:
        ZooError: more than ``MAX_PIXELS`` (found before anything is unpacked), none, or a damaged file behind it.
    """
    check_size(image)
    try:
        image.load()
        if image.getexif().get(0x0112, 1) != 1:
            image = ImageOps.exif_transpose(image)
        width, height = image.size
        rows = max(1, _CHUNK // width)
        if rows >= height:
            return _strip(image)
        first = _strip(image.crop((0, 0, width, rows)))
        pixels: Pixels = np.empty((height, *first.shape[1:]), dtype=np.uint8)
        pixels[:rows] = first
        for top in range(rows, height, rows):
            pixels[top : top + rows] = _strip(image.crop((0, top, width, min(top + rows, height))))
        return pixels
    except (Pillow.DecompressionBombError, OSError, SyntaxError, ValueError, EOFError) as error:
        raise ZooError(f"not a readable image ({' '.join(str(error).split())})") from None


def check_size(image: Pillow.Image) -> None:
    """Raise a ZooError if a PIL image, which need not be unpacked yet, holds more than ``MAX_PIXELS`` or none."""
    width, height = image.size
    if not 0 < math.prod(image.size) <= MAX_PIXELS:
        raise ZooError(
            f"{width} x {height} pixels are too many (limit {MAX_PIXELS:,}); make it smaller"
            if width and height
            else f"{width} x {height} pixels are no picture"
        )


def to_pixels(sample: object) -> Pixels:
    """Return a sample, a PIL image or an array, as uint8 (height, width, 1 or 3).

    Raises:
        ZooError: anything else, and what ``from_pillow`` refuses.
    """
    if isinstance(sample, Pillow.Image):
        return from_pillow(sample)
    wanted = "a picture is a PIL image or a uint8 array (height, width, 1 or 3)"
    if not isinstance(sample, np.ndarray):
        raise ZooError(f"{wanted}, got {type(sample).__name__}; read a file with PIL.Image.open(path)")
    array: NDArray[Any] = sample[..., None] if sample.ndim == 2 else sample
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (1, 3) or not array.size:
        raise ZooError(f"{wanted}, got {sample.dtype} {sample.shape}")
    return array


def to_grid(sample: object, rows: int, columns: int, channels: int) -> Pixels:
    """Return a sample as uint8 (rows, columns, channels).

    First to gray levels if that is wanted (ITU-R 601-2 luma), then to the grid's size with Pillow's bilinear filter,
    which averages where it shrinks; the whole picture is kept, whatever its proportions.
    """
    pixels = to_pixels(sample)
    if pixels.shape == (rows, columns, channels):
        return pixels
    if channels == 1 and pixels.shape[2] == 3:
        pixels = np.asarray(Pillow.fromarray(pixels).convert("L"))[..., None]
    if pixels.shape[:2] != (rows, columns):
        pixels = _resize(pixels, rows, columns)
    return np.repeat(pixels, 3, axis=2) if channels > pixels.shape[2] else pixels


def on_grid(samples: Iterable[Picture] | Pixels, rows: int, columns: int, channels: int) -> Iterator[Pixels]:
    """Yield samples as uint8 (count, rows, columns, channels), about a million pixels at a time."""
    size = max(1, _CHUNK // (rows * columns))
    grids = [(rows, columns, channels), *([(rows, columns)] if channels == 1 else [])]
    if isinstance(samples, np.ndarray) and samples.dtype == np.uint8 and samples.shape[1:] in grids:
        for start in range(0, len(samples), size):
            yield samples[start : start + size].reshape(-1, rows, columns, channels)
        return
    rest = iter(samples)
    while some := [to_grid(sample, rows, columns, channels) for sample in islice(rest, size)]:
        yield np.stack(some)


def to_pillow(pixels: Pixels) -> Pillow.Image:
    """Return pixels (height, width, 1 or 3) as a PIL image of mode L or RGB."""
    return Pillow.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def grid_of(samples: Iterable[Picture], size: int | tuple[int, int] | None) -> tuple[int, int, Iterable[Picture]]:
    """Return rows and columns of a grid, those of ``size``, else of the first sample; and ``samples``, all still there.

    Raises:
        ZooError: no samples to take the size from, or a first one that is too large.
    """
    if isinstance(size, int):
        return size, size, samples
    if size is not None:
        return *size, samples
    rest = iter(samples)
    first = next(rest, None)
    if first is None:
        raise ZooError("no pictures to take the grid's size from; set tokenizer.size, say to 32")
    height, width, _ = to_pixels(first).shape
    if max(height, width) > MAX_SIDE:
        raise ZooError(f"the first picture has {width} x {height} pixels; set tokenizer.size, say to 32")
    return height, width, chain([first], rest) if rest is samples else samples


def _resize(pixels: Pixels, rows: int, columns: int) -> Pixels:
    resized: Pixels = np.asarray(to_pillow(pixels).resize((columns, rows), Pillow.Resampling.BILINEAR))
    return resized[..., None] if pixels.shape[2] == 1 else resized


def _strip(image: Pillow.Image) -> Pixels:
    if image.mode[0] in "IF":  # Pillow would clip 16 bits instead of scaling them
        values = np.asarray(image)
        values = values >> 8 if image.mode[0] == "I" else np.rint(np.nan_to_num(values))
        gray: Pixels = np.clip(values, 0, 255).astype(np.uint8)
        return gray[..., None]
    if image.mode in ("1", "L"):
        return np.array(image.convert("L"))[..., None]
    if "A" in image.getbands() or "transparency" in image.info:
        clear = image.convert("RGBA")
        image = Pillow.alpha_composite(Pillow.new("RGBA", clear.size, "white"), clear)
    return np.array(image.convert("RGB"))
