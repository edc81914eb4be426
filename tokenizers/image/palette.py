"""Palettes of colours: fitted to pixels by k-means, written, and read from OpenAI's and Hugging Face's files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import ZooError
from zoo.tokenizers import folder as folders
from zoo.tokenizers.image.pixels import Pixels

Colours = NDArray[np.float64]
"""(colours, channels) in [-1, 1]: value v of 0 ... 255 is v / 127.5 - 1."""

MAX_COLOURS = 65_535
"""With the start id, as many ids as 16 bits hold."""
HUGGING_FACE = "preprocessor_config.json"
OPENAI = "kmeans_centers.npy"
_LARGEST = 16 << 20
_MOST_POINTS = 1 << 16
_ROUNDS = 20
_TIE = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class Palette:
    """Colours, and what is known about them.

    Attributes:
        colours: float64 (colours, 1 or 3) in [-1, 1], in the order of their ids.
        size: (rows, columns) of the grid that their file states, None where there is none.
        rmse: root mean square error, 0 ... 255, over the pixels that they were fitted to; None where they were read.
    """

    colours: Colours
    size: tuple[int, int] | None = None
    rmse: float | None = None


def read(path: Path | str) -> Palette:
    """Read a palette.

    Args:
        path: a ``.npy`` array (colours, 1 or 3), as OpenAI's ``kmeans_centers.npy``; a JSON file with ``clusters``, as
            Hugging Face's ``preprocessor_config.json``; or a folder with one of these two names.

    Raises:
        ZooError: nothing there, or not a palette; nothing is unpickled, and no more is read than a palette can need.
    """
    place = Path(path)
    if place.is_dir():
        found = next((place / name for name in (HUGGING_FACE, OPENAI) if (place / name).exists()), None)
        if found is None:
            raise ZooError(f"{place}: no palette here; expected {HUGGING_FACE} or {OPENAI}")
        place = found
    try:
        size = place.stat().st_size
    except OSError as error:
        raise ZooError(f"cannot read the palette {place}: {error.strerror}") from None
    if size > _LARGEST:
        raise ZooError(f"{place}: {size:,} bytes are no palette (limit {_LARGEST:,})")
    return _read_array(place) if place.suffix == ".npy" else _read_json(place)


def text(colours: Colours, size: tuple[int, int]) -> str:
    """Return the palette and grid as Hugging Face's ``preprocessor_config.json``, every number exact."""
    settings = {
        "image_processor_type": "ImageGPTImageProcessor",
        "do_resize": True,
        "size": {"height": size[0], "width": size[1]},
        "resample": 2,
        "do_normalize": True,
        "do_color_quantize": True,
        "clusters": colours.tolist(),
    }
    return json.dumps(settings, indent=1) + "\n"


def to_levels(colours: Colours) -> Pixels:
    """Return colours as uint8 (..., channels), rounded."""
    return np.clip(np.rint(127.5 * (colours + 1)), 0, 255).astype(np.uint8)


def from_levels(levels: NDArray[Any]) -> Colours:
    """Return levels 0 ... 255 (..., channels) as colours in [-1, 1]."""
    return levels.astype(np.float64) / 127.5 - 1


def nearest(colours: Colours, wanted: Colours) -> NDArray[np.int64]:
    """Return the number of the nearest of ``colours`` to each row of ``wanted``, (count, channels).

    Of equally near ones, the first counts. Distances closer than rounding can tell are equal, so that every machine
    finds the same numbers.
    """
    found = np.empty(len(wanted), dtype=np.int64)
    squares = np.square(colours).sum(axis=1)
    doubled = np.ascontiguousarray(-2 * colours.T)
    block = max(1, (1 << 18) // len(colours))  # what fits a core's cache
    for start in range(0, len(wanted), block):
        distances = wanted[start : start + block] @ doubled
        distances += squares
        limits = distances.min(axis=1, keepdims=True) + _TIE
        found[start : start + block] = (distances <= limits).argmax(axis=1)
    return found


def fit(pixels: Iterable[Pixels], *, colours: int, channels: int, seed: int) -> Palette:
    """Return a palette for all pixels, from dark to bright.

    Pixels are counted by colour, so any number of them takes no more memory or time than their 2^24 colours at most.
    k-means then works on the colours, weighted by how often they occur; where there are more than 65,536, on the means
    of small cubes of colours. Its centres are rounded to whole levels, so that decoding and encoding again gives the
    same ids.

    Args:
        pixels: uint8 (..., channels), many at a time.
        colours: how many; fewer where the pixels have fewer different ones.
        channels: 1 or 3.
        seed: of the k-means++ start.
    """
    counts = np.zeros(1 << (8 * channels), dtype=np.int64)
    for some in pixels:
        met, times = np.unique(codes(some), return_counts=True)
        counts[met] += times
    seen = np.flatnonzero(counts)
    if not len(seen):
        raise ZooError("no pictures to fit the palette on")
    points, weights = colours_of(seen, channels), counts[seen].astype(np.float64)
    if len(points) <= colours:
        return Palette(colours=from_levels(_from_dark_to_bright(points)), rmse=0.0)
    means, masses = _thinned(points, weights)
    centres = _k_means(means, masses, min(colours, len(means)), seed)
    levels = np.unique(to_levels(from_levels(centres)), axis=0).astype(np.int64)
    levels = _from_dark_to_bright(_filled(levels, points, weights, colours))
    squares = weights @ np.square(_missed(points, levels))
    return Palette(colours=from_levels(levels), rmse=math.sqrt(squares.sum() / (weights.sum() * channels)))


def codes(pixels: Pixels) -> NDArray[np.int64]:
    """Return one number for each colour: pixels (..., channels) to (...), red the highest byte."""
    code = pixels[..., 0].astype(np.int64)
    for channel in range(1, pixels.shape[-1]):
        code = code << 8 | pixels[..., channel]
    return code


def colours_of(code: NDArray[np.int64], channels: int) -> NDArray[np.int64]:
    """Return the levels (..., channels) of colour numbers (...)."""
    return np.stack([code >> 8 * (channels - 1 - channel) & 255 for channel in range(channels)], axis=-1)


def _k_means(points: NDArray[np.float64], weights: NDArray[np.float64], count: int, seed: int) -> NDArray[np.float64]:
    """Return ``count`` centres of weighted points."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # so that sums do not depend on the number of cores
        found = KMeans(count, n_init=1, max_iter=_ROUNDS, random_state=seed).fit(points, sample_weight=weights)
    return np.asarray(found.cluster_centers_, dtype=np.float64)


def _thinned(
    points: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weighted means of the points in cubes as small as leaves at most ``_MOST_POINTS``, and their weights."""
    for shift in range(8):
        cubes, cube_of = np.unique(codes((points >> shift).astype(np.uint8)), return_inverse=True)
        if len(cubes) <= _MOST_POINTS:
            break
    masses = np.bincount(cube_of, weights).astype(np.float64)
    means = [np.bincount(cube_of, weights * points[:, axis]) / masses for axis in range(points.shape[1])]
    return np.stack(means, axis=1), masses


def _filled(
    levels: NDArray[np.int64], points: NDArray[np.int64], weights: NDArray[np.float64], count: int
) -> NDArray[np.int64]:
    """Add colours until there are ``count``, where centres fell together by rounding: those that are missed most."""
    while len(levels) < count:
        errors = weights * np.square(_missed(points, levels)).sum(axis=1)
        levels = np.concatenate([levels, points[np.argsort(-errors, kind="stable")[: count - len(levels)]]])
    return levels


def _missed(points: NDArray[np.int64], levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return points minus the levels nearest to them."""
    return points - levels[nearest(from_levels(levels), from_levels(points))]


def _from_dark_to_bright(levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sort colours (count, channels) by luma, those of one luma by their numbers."""
    luma = levels @ np.array([299, 587, 114] if levels.shape[1] == 3 else [1])
    return levels[np.lexsort([codes(levels.astype(np.uint8)), luma])]


def _read_array(path: Path) -> Palette:
    try:
        with path.open("rb") as file:
            if file.read(6) != b"\x93NUMPY":
                raise ValueError("it does not begin like one")
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)  # checks the shape against the file's length
        colours = np.array(mapped)
    except (OSError, ValueError, OverflowError, TypeError, EOFError, MemoryError) as error:
        raise ZooError(f"{path}: not a readable .npy array ({' '.join(str(error).split())})") from None
    return Palette(colours=_checked(colours, path))


def _read_json(path: Path) -> Palette:
    settings = folders.read_json(path)
    clusters = settings.get("clusters") if isinstance(settings, dict) else None
    if not isinstance(clusters, list):
        raise ZooError(f"{path}: no 'clusters', the palette's colours, in it")
    rows = [row for row in clusters if isinstance(row, list) and all(type(value) in (int, float) for value in row)]
    if len(rows) != len(clusters) or len({len(row) for row in rows}) != 1:
        raise ZooError(f"{path}: 'clusters' must be a list of colours of 1 or 3 numbers each")
    try:
        colours = np.array(rows, dtype=np.float64)
    except OverflowError:
        raise ZooError(f"{path}: 'clusters' must lie in [-1, 1]") from None
    match settings.get("size"):
        case {"height": int(rows_), "width": int(columns)}:
            size: tuple[int, int] | None = (rows_, columns)
        case int(side):
            size = (side, side)
        case _:
            size = None
    return Palette(colours=_checked(colours, path), size=size)


def _checked(colours: NDArray[Any], path: Path) -> Colours:
    if colours.dtype.kind != "f" or colours.ndim != 2 or colours.shape[1] not in (1, 3):
        raise ZooError(
            f"{path}: a palette is an array of floats (colours, 1 or 3), got {colours.dtype} {colours.shape}"
        )
    if not 2 <= len(colours) <= MAX_COLOURS:
        raise ZooError(f"{path}: a palette has 2 to {MAX_COLOURS:,} colours, got {len(colours)}")
    if not (np.abs(colours) <= 1.001).all():  # NaN is not, either
        raise ZooError(f"{path}: a palette's values lie in [-1, 1] (value v of 0 to 255 is v / 127.5 - 1)")
    return colours.astype(np.float64)
