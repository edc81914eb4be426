"""The released priors on the meta device: their published sizes, and each tensor's name and shape in the original."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from zoo.architecture import count_parameters, outline
from zoo.music.config import PriorConfig
from zoo.music.prior import Prior
from zoo.weights.jukebox_prior import RELEASED, patterns, released
from zoo.weights.jukebox_prior_names import COPIES, links
from zoo.weights.links import written

PARAMETERS = {
    "upsampler_level_0": 981_298_176,
    "upsampler_level_1": 981_298_176,
    "prior_5b": 5_060_452_800,
    "prior_5b_lyrics": 5_640_506_800,
    "prior_1b_lyrics": 942_643_200,
}


def shapes(name: str) -> Counter[tuple[str, tuple[int, ...]]]:
    """Return how many tensors of the original have a name (numbers left out) and shape."""
    found: Counter[tuple[str, tuple[int, ...]]] = Counter()
    current = ""
    for line in (Path(__file__).parent / "released_shapes.txt").read_text().splitlines():
        if not line.startswith(" "):
            current = line
        elif current == name:
            pattern, shape, count = line.split()
            found[pattern, tuple(map(int, shape.split(",")))] += int(count)
    return found


@pytest.mark.parametrize("name", RELEASED)
def test_sizes_names_and_shapes(name: str) -> None:
    network = outline(released(name))
    assert isinstance(network, Prior)
    assert count_parameters(network) == PARAMETERS[name]
    tensors = {key: tuple(view.shape) for key, view in written(network, links(network.config))}
    copies = {copy: tensors[other] for copy, other in COPIES.items() if copy not in tensors}
    ours = Counter((re.sub(r"(?<=\.)\d+(?=\.)", "#", key), shape) for key, shape in (tensors | copies).items())
    assert ours == shapes(name)


def test_windows_of_the_released_models() -> None:
    lyrics = released("prior_1b_lyrics")
    assert (lyrics.context, lyrics.prefix, lyrics.shift, lyrics.codes) == (6144, 384, 79, 2048)
    assert released("upsampler_level_0").context == 8192
    assert lyrics.vocabulary == 79 + 2048 + 1


def test_orders_of_attention() -> None:
    kinds = [type(pattern).__name__ for pattern in patterns(12, 72, 6528, 64, 384)]
    assert [at for at, kind in enumerate(kinds) if kind == "Prefix"] == [15, 31, 63]
    assert [at for at, kind in enumerate(kinds) if kind == "Dense"] == [47]
    assert Counter(kinds) == {"Block": 22, "Column": 23, "PreviousBlock": 23, "Prefix": 3, "Dense": 1}
    kinds = [type(pattern).__name__ for pattern in patterns(10, 79, 8192, 128, 0)]
    assert [at for at, kind in enumerate(kinds) if kind == "Cross"] == [18, 28, 38, 48, 58, 68, 78]


def test_a_config_checks_itself() -> None:
    config = released("prior_5b")
    mended: PriorConfig = config.with_codes(512)
    assert (mended.codes, mended.transformer.vocabulary) == (512, 512)
