"""The walk over all recipes: compose, build without memory, count, train a little, save, load, sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from PIL import Image

import zoo
from zoo.architecture import build_network, count_parameters
from zoo.codec import CodecRun
from zoo.model import Model
from zoo.music.config import PriorConfig
from zoo.paths import recipes_folder
from zoo.recipe import CodecRecipe, Recipe, build, compose, describe, names
from zoo.run import Run
from zoo.tokenizers.codecs import build_codec

OWN_DATA = ("image/digits", "music/wave", "text/adder", "text/seq2seq", "text/topics")
"""Recipes whose data needs no network."""
SIZES = [(name, size) for name in names() for size in (None, *describe(name)["sizes"])]


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a text that every recipe can read: stories under titles, about 14 kB."""
    animals = ["fox", "crow", "wolf", "lamb", "lion", "mouse", "ass", "dog"]
    text = ""
    for number in range(90):
        one, other = animals[number % 8], animals[number * 3 % 7]
        text += f"## THE {one.upper()} AND THE {other.upper()}\n\nA {one}, walking by, met a {other}. "
        text += (
            f"It said: What have you got? Then the {other} ran off {number} times, and the {one} was left alone.\n\n"
        )
    path = tmp_path_factory.mktemp("stories") / "stories.txt"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 24 pictures of two classes that every image recipe can read."""
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("pictures")
    for number in range(24):
        place = folder / ("dark" if number % 2 else "bright")
        place.mkdir(exist_ok=True)
        levels = random.integers(0, 128, (32, 32, 3)) + (0 if number % 2 else 127)
        Image.fromarray(levels.astype(np.uint8)).save(place / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 12 sounds of two classes that every music recipe can read: tones of a second."""
    folder = tmp_path_factory.mktemp("sounds")
    for number in range(12):
        place = folder / ("low" if number % 2 else "high")
        place.mkdir(exist_ok=True)
        pitch = (110.0 if number % 2 else 440.0) * 2 ** (number / 12)
        soundfile.write(place / f"{number}.wav", 0.5 * np.sin(2 * np.pi * pitch * np.arange(8000) / 8000), 8000)
    return folder


@pytest.mark.parametrize(("name", "size"), SIZES)
def test_the_stated_parameters_are_the_real_ones(name: str, size: str | None) -> None:
    recipe = build(compose(name, size=size))
    with torch.device("meta"):
        network = build_codec(recipe.model) if isinstance(recipe, CodecRecipe) else build_network(recipe.model)
    assert recipe.parameters == count_parameters(network)
    facts = describe(name)
    assert recipe.parameters == (facts["parameters"] if size is None else facts["sizes"][size])


@pytest.mark.parametrize("name", names())
def test_a_recipe_trains_and_its_checkpoint_writes(
    name: str, stories: Path, pictures: Path, sounds: Path, tmp_path: Path
) -> None:
    overrides = {"train.steps": "3", "train.evaluate_every": "0", "train.log_every": "1"}
    if name not in OWN_DATA:
        given = {"text": stories, "image": pictures, "music": sounds}
        overrides["data.path"] = str(given[describe(name)["modality"]])
    recipe = build(compose(name, overrides, size="tiny"))
    if isinstance(recipe, CodecRecipe):
        keeps_samples(recipe, tmp_path / "run")
    else:
        draws_samples(recipe, tmp_path / "run")


def keeps_samples(recipe: CodecRecipe, out: Path) -> None:
    prepared = CodecRun(recipe=recipe, out=out, device="cpu").prepare()
    result = prepared.train()
    assert result.step == 3
    assert 0 < result.metrics["codebook_usage"] <= 1
    codec = zoo.load_codec(out, device="cpu")
    samples = next(prepared.data.held_out(2)).samples
    for level, ids in enumerate(codec.encode(samples)):
        assert codec.decode(ids, level).shape == samples.shape
        assert torch.equal(ids, prepared.codec.eval().encode(samples, [level])[0])
    assert build(yaml.safe_load((out / "recipe.yaml").read_text())).model == codec.config


def draws_samples(recipe: Recipe, out: Path) -> None:
    name = recipe.name
    prepared = Run(recipe=recipe, out=out, command=f"zoo train {name}", device="cpu").prepare()
    result = prepared.train()
    assert result.step == 3
    assert result.metrics["loss"] > 0
    model = zoo.load(out, device="cpu")
    assert model.parameters == prepared.parameters
    assert torch.equal(
        model.network.state_dict()[next(iter(model.network.state_dict()))],
        prepared.network.state_dict()[next(iter(model.network.state_dict()))],
    )
    if recipe.modality == "image":
        draws_pictures(model)
    elif recipe.modality == "music":
        plays_music(model)
    else:
        writes_text(model, recipe.prompt, own=name in OWN_DATA)
    stored = yaml.safe_load((out / "recipe.yaml").read_text())
    assert build(stored).model == model.config


def writes_text(model: Model, prompt: str, *, own: bool) -> None:
    fills = not model.network.causal  # [MASK], and adds nothing
    prompt = prompt if own or fills else "A fox"
    sample = model.generate(prompt, max_new_tokens=None if fills else 3, seed=1)
    assert isinstance(sample, str)
    assert model.generate(prompt, max_new_tokens=None if fills else 3, seed=1) == sample


def draws_pictures(model: Model) -> None:
    rows, columns = (model.tokenizer.spec.shape or ())[:2]
    if not model.network.causal:  # sees pixels on both sides of hidden ones
        ids = torch.zeros(1, rows * columns, dtype=torch.int64)
        assert model.logits(ids, conditions={"visible": ids}).isfinite().all()
        return
    sample = model.generate(seed=1)
    assert sample.size == (columns, rows)
    assert sample.tobytes() == model.generate(seed=1).tobytes()


def plays_music(model: Model) -> None:
    conditions = {}
    if isinstance(model.config, PriorConfig) and model.config.above is not None:
        length = model.config.context // model.config.above.ratio
        conditions["above"] = torch.arange(length) % model.config.above.codes
    sample = model.generate(max_new_tokens=20, seed=1, conditions=conditions)
    assert isinstance(sample, zoo.Audio)
    assert len(sample.samples) == 20 * model.tokenizer.hop
    assert np.array_equal(sample.samples, model.generate(max_new_tokens=20, seed=1, conditions=conditions).samples)


@pytest.mark.parametrize("name", names())
def test_a_recipe_says_what_it_is_in_few_lines(name: str) -> None:
    lines = (recipes_folder() / f"{name}.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_"
    assert len(lines) <= 40
    assert lines[1].startswith("# ")
    facts = describe(name)
    assert all(facts[key] for key in ("summary", "paper", "parameters", "modality"))
    assert facts["tokenizer"] or isinstance(build(compose(name)), CodecRecipe)
    assert "tiny" in facts["sizes"]
    assert len(facts["summary"]) <= 40


@pytest.mark.parametrize(
    ("name", "size", "parameters"),
    [
        ("text/adder", None, 85_680 + 10 * 48),  # minGPT's count, and the output matrix that it leaves out
        ("text/shakespeare_char", "cpu", 795_904 + 64 * 128),  # nanoGPT says 0.80M, without positions
        ("text/shakespeare_char", "gpu", 10_646_784 + 256 * 384),  # nanoGPT says 10.65M, without positions
        ("text/fables_lstm", None, 1_853_901 + 4 * 256),  # Keras's count, and the second bias of PyTorch
        ("image/imagegpt", None, 76_571_648),  # openai/image-gpt: 76M, 455M, 1362M, 6801M
        ("image/imagegpt", "medium", 455_157_760),
        ("image/imagegpt", "large", 1_362_250_752),
        ("image/imagegpt", "xl", 6_801_438_720),
        ("image/imagegpt_bert", None, 76_571_648 - 512),  # no start
        # With pooler; then transform, norm, output bias, and the head for the next sentence, which pre-training needs.
        ("text/bert", "base", 109_482_240 + 768 * 768 + 3 * 768 + 30_522 + 2 * 768 + 2),
        ("text/bert", "large", 335_141_888 + 1024 * 1024 + 3 * 1024 + 30_522 + 2 * 1024 + 2),
    ],
)
def test_the_papers_counts(name: str, size: str | None, parameters: int) -> None:
    assert compose(name, size=size)["parameters"] == parameters
