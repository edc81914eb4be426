"""Distances of sets of vectors against closed forms and brute force."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.errors import ZooError
from zoo.evaluate.distances import diversity, frechet_distance, nearest, precision_recall


def normal(count: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width))


def test_frechet_distance_is_the_formula_s() -> None:
    from scipy.linalg import sqrtm

    one, other = normal(60, 5) @ np.diag([1, 2, 3, 0.5, 1]), normal(40, 5, 1) + 0.7
    first, second = np.cov(one.T), np.cov(other.T)
    root = np.trace(sqrtm(first @ second).real)
    expected = np.square(one.mean(0) - other.mean(0)).sum() + np.trace(first) + np.trace(second) - 2 * root
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(one, one) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(one, one + 3.0) == pytest.approx(45.0)
    few, wide = normal(6, 50), normal(8, 50, 2)
    assert frechet_distance(few, wide) == pytest.approx(frechet_distance(wide, few))


def test_precision_and_recall() -> None:
    real = np.concatenate([normal(200, 2), normal(200, 2, 1) + 100])
    half = normal(200, 2, 2)  # one of the two groups, and nothing else
    precision, recall = precision_recall(real, half)
    assert precision > 0.9
    assert 0.4 < recall < 0.55
    assert precision_recall(real, real) == (1.0, 1.0)
    assert precision_recall(real, normal(50, 2, 3) - 1000) == (0.0, 0.0)


def test_brute_force() -> None:
    one, other = normal(30, 4), normal(20, 4, 1)
    all_distances = np.linalg.norm(one[:, None] - other[None], axis=2)
    places, distances = nearest(one, other)
    np.testing.assert_array_equal(places, all_distances.argmin(1))
    np.testing.assert_allclose(distances, all_distances.min(1))
    own = np.linalg.norm(one[:, None] - one[None], axis=2)
    assert diversity(one) == pytest.approx(own.sum() / (30 * 29))


def test_too_few() -> None:
    for measure in (frechet_distance, precision_recall):
        with pytest.raises(ZooError, match="samples are too few for this measure"):
            measure(normal(1, 2), normal(9, 2))
    with pytest.raises(ZooError, match="of one width"):
        frechet_distance(normal(9, 2), normal(9, 3))
