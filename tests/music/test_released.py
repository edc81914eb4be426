"""The original priors on the meta device: published sizes, each tensor's name and shape, and the recipes' settings."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zoo.architecture import count_parameters, outline
from zoo.music.config import PriorConfig
from zoo.music.prior import Prior
from zoo.recipe import build as build_recipe
from zoo.recipe import compose
from zoo.settings import build
from zoo.transformer.config import TransformerConfig
from zoo.weights.jukebox_prior import RELEASED, Settings, config_of, patterns, released
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


SMALL = {
    "levels": 2, "downs_t": (5, 3), "strides_t": (2, 2), "l_bins": 1024, "sr": 22_050, "prior_width": 1024,
    "prior_depth": 48, "heads": 1, "blocks": 64, "init_scale": 0.7, "n_vocab": 79,
}  # fmt: skip
LABELLED = {"y_bins": (10, 100), "max_bow_genre_size": 1, "t_bins": 64}
LYRICS = {"n_ctx": 6144, "heads": 2, "use_tokens": True, "n_tokens": 384, "prime_loss_fraction": 0.4}
ENCODER = {
    "prior_depth": 50, "attn_order": 8, "prime_width": 256, "prime_depth": 9, "prime_heads": 2, "prime_attn_order": 2,
    "prime_blocks": 32, "prime_init_scale": 0.7,
}  # fmt: skip
RECIPES: dict[tuple[str, str | None], dict[str, Any]] = {
    ("jukebox", None): RELEASED["prior_1b_lyrics"],
    ("jukebox", "small"): {**SMALL, "level": 1, **LABELLED, **LYRICS, "attn_order": 12, "single_enc_dec": True},
    ("jukebox_5b", None): RELEASED["prior_5b"],
    ("jukebox_5b", "lyrics"): RELEASED["prior_5b_lyrics"],
    ("jukebox_small", None): {**SMALL, "level": 1, "labels": False},
    ("jukebox_small", "labelled"): {**SMALL, "level": 1, **LABELLED},
    ("jukebox_small", "encoder"): {**SMALL, "level": 1, **LABELLED, **LYRICS, **ENCODER},
    ("jukebox_upsampler", None): RELEASED["upsampler_level_1"],
    ("jukebox_upsampler", "level_0"): RELEASED["upsampler_level_0"],
    ("jukebox_upsampler", "small"): {**SMALL, "level": 0, "labels": False, "cond_width": 512},
}


def by_layer(config: TransformerConfig) -> TransformerConfig:
    """Return the same with a pattern for each layer."""
    return replace(config, patterns=tuple(config.pattern(layer) for layer in range(config.depth)))


@pytest.mark.parametrize(("name", "size"), RECIPES)
def test_recipes_are_the_original_settings(name: str, size: str | None) -> None:
    recipe = build_recipe(compose(f"music/{name}", size=size))
    ours, theirs = recipe.model, config_of(build(Settings, RECIPES[name, size], name))
    assert isinstance(ours, PriorConfig)
    assert by_layer(ours.transformer) == by_layer(theirs.transformer)
    assert (ours.labels, ours.above, ours.lyrics) == (theirs.labels, theirs.above, theirs.lyrics)


@pytest.mark.parametrize(
    ("name", "size", "parameters"),
    [
        ("music/jukebox_small", None, 161_862_656),
        ("music/jukebox_small", "labelled", 162_170_880),
        ("music/jukebox_small", "encoder", 168_633_280),
        ("music/jukebox", "small", 160_547_840),
    ],
)
def test_small_priors_with_the_codes_of_the_released_codec(name: str, size: str | None, parameters: int) -> None:
    """Their recipes stand above ``small_vqvae`` with 1,024 codes; the original's own count is taken with 2,048."""
    config = build_recipe(compose(name, size=size)).model
    assert isinstance(config, PriorConfig)
    assert count_parameters(outline(config.with_codes(2048))) == parameters
