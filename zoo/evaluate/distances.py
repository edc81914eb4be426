"""How near two sets of vectors are: distances of distributions, not of pairs.

All take float arrays (samples, width). Features may be of any network; figures compare only where features, data and
numbers of samples are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import ZooError

Vectors = NDArray[Any]
BLOCK = 1024
"""Rows whose distances to all others are in memory at once."""
NEIGHBOURS = 3
"""k of precision and recall (Kynkäänniemi et al. 2019, section 3)."""


def frechet_distance(one: Vectors, other: Vectors) -> float:
    """Return the squared Fréchet distance of two normal distributions that have the sets' means and covariances.

    ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`` (Dowson and Landau 1982; Heusel et al. 2017, section 3). The trace
    of the root is the sum of the singular values of ``X1 X2^T``, X being the centred samples over the root of their
    number less one: exact also where there are fewer samples than dimensions, and no root of a matrix is taken.

    Raises:
        ZooError: fewer than two samples, or sets of different widths.
    """
    _check(one, other, least=2)
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    means = first.mean(axis=0), second.mean(axis=0)
    roots = [_root(values - mean) for values, mean in zip((first, second), means, strict=True)]
    shared = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    traces = sum(float(np.square(root).sum()) for root in roots)
    distance = float(np.square(means[0] - means[1]).sum()) + traces - 2.0 * float(shared)
    return max(distance, 0.0)


def precision_recall(real: Vectors, made: Vectors, *, k: int = NEIGHBOURS) -> tuple[float, float]:
    """Return which share of ``made`` lies among the real ones, and which share of ``real`` is covered.

    A set's manifold is the union of balls around its samples, each as large as the distance to its k-th neighbour in
    the set (Kynkäänniemi et al. 2019, section 2).

    Raises:
        ZooError: no more than k samples, or sets of different widths.
    """
    _check(real, made, least=k + 1)
    return _covered(made, real, k), _covered(real, made, k)


def diversity(vectors: Vectors) -> float:
    """Return the mean distance of two different samples.

    Raises:
        ZooError: fewer than two samples.
    """
    _check(vectors, vectors, least=2)
    total = sum(float(block.sum()) for block in _distances(vectors, vectors))
    return total / (len(vectors) * (len(vectors) - 1))


def nearest(vectors: Vectors, known: Vectors) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return which of ``known`` is nearest to each sample, and how far it is: int64 and float64 (samples,)."""
    _check(vectors, known, least=1)
    found = [(block.argmin(axis=1), block.min(axis=1)) for block in _distances(vectors, known)]
    return np.concatenate([place for place, _ in found]), np.concatenate([distance for _, distance in found])


def _covered(points: Vectors, manifold: Vectors, k: int) -> float:
    """Return which share of the points lies in a ball of the manifold."""
    radii = np.concatenate([np.partition(block, k, axis=1)[:, k] for block in _distances(manifold, manifold)])
    inside = sum(int((block <= radii[None]).any(axis=1).sum()) for block in _distances(points, manifold))
    return inside / len(points)


def _distances(one: Vectors, other: Vectors) -> Iterator[NDArray[np.float64]]:
    """Yield distances (rows, others) of some rows at a time."""
    second = np.asarray(other, np.float64)
    for begin in range(0, len(one), BLOCK):
        first = np.asarray(one[begin : begin + BLOCK], np.float64)
        squared = np.square(first).sum(1)[:, None] + np.square(second).sum(1)[None] - 2.0 * first @ second.T
        found = np.sqrt(np.maximum(squared, 0.0))
        if one is other:
            found[np.arange(len(first)), begin + np.arange(len(first))] = 0.0
        yield found


def _root(centred: NDArray[np.float64]) -> NDArray[Any]:
    """Return (at most width, width) whose product with itself is the covariance."""
    scaled: NDArray[Any] = centred / np.sqrt(len(centred) - 1)
    return np.asarray(np.linalg.qr(scaled, mode="r")) if len(scaled) > scaled.shape[1] else scaled


def _check(one: Vectors, other: Vectors, *, least: int) -> None:
    if one.ndim != 2 or other.ndim != 2 or one.shape[1] != other.shape[1]:
        raise ZooError(f"sets of vectors are (samples, width) of one width, got {one.shape} and {other.shape}")
    if min(len(one), len(other)) < least:
        raise ZooError(f"{min(len(one), len(other))} samples are too few for this measure; give at least {least}")
