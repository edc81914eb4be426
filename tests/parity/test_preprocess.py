"""Image GPT's pixels: a palette's ids, and the colours of ids, are those of the original processing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from safetensors.numpy import load_file

from zoo.tokenizers.image.base import ImageTokenizer
from zoo.tokenizers.image.pixels import to_grid
from zoo.tokenizers.registry import PixelClusters

Find = Callable[[str], Path]


@pytest.fixture(scope="module")
def recorded(fixture_case: Find) -> dict[str, np.ndarray]:
    return load_file(fixture_case("text-image/preprocess") / "reference.safetensors")


def images(recorded: dict[str, np.ndarray]) -> range:
    """Return the numbers of the pictures."""
    count = sum(name.startswith("in/image.") for name in recorded)
    assert count
    return range(count)


@pytest.fixture(scope="module", params=["clusters.npy", "preprocessor_config.json"])
def palette(fixture_case: Find, request: pytest.FixtureRequest) -> str:
    return str(fixture_case("text-image/preprocess") / request.param)


def tokenizer(palette: str, size: int) -> ImageTokenizer:
    return PixelClusters(path=palette, size=size).fit([])


def test_palette(recorded: dict[str, np.ndarray], palette: str) -> None:
    made = PixelClusters(path=palette).fit([])
    assert np.array_equal(made.colours, recorded["in/clusters"])  # type: ignore[attr-defined]  # a palette
    count = len(recorded["in/clusters"])
    assert (made.spec.start_id, made.spec.vocabulary_size, made.spec.output_vocabulary) == (count, count + 1, count)


@pytest.mark.parametrize("size", [32, 48])
def test_resized(recorded: dict[str, np.ndarray], size: int) -> None:
    for image in images(recorded):
        grid = to_grid(recorded[f"in/image.{image}"], size, size, 3)
        assert np.array_equal(grid, recorded[f"out/resized{size}.{image}"])


@pytest.mark.parametrize("size", [32, 48])
def test_ids(recorded: dict[str, np.ndarray], palette: str, size: int) -> None:
    made = tokenizer(palette, size)
    samples = [recorded[f"in/image.{image}"] for image in images(recorded)]
    for image in images(recorded):
        expected = recorded[f"out/ids{size}.{image}"]
        assert np.array_equal(made.encode(samples[image]).numpy(), expected)
        assert np.array_equal(made.encode(Pillow.fromarray(samples[image])).numpy(), expected)
    assert np.array_equal(
        made.encode_many(samples), np.stack([recorded[f"out/ids{size}.{image}"] for image in images(recorded)])
    )


def test_decoded(recorded: dict[str, np.ndarray], palette: str) -> None:
    made = tokenizer(palette, 32)
    for image in images(recorded):
        ids = recorded[f"out/ids32.{image}"]
        shown = made.decode(ids)
        assert np.array_equal(np.asarray(shown), recorded[f"out/decoded32.{image}"])
        assert made.encode(shown).tolist() == ids.tolist()
