"""Recipes as their papers' tables have them: numbers of parameters, shapes, training settings."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from zoo.architecture import build_network, count_parameters
from zoo.recipe import Recipe, build, compose, describe
from zoo.train.optimizer import AdamW
from zoo.train.schedule import Constant, Cosine
from zoo.transformer.block import PostNorm, PreNorm
from zoo.transformer.config import TransformerConfig
from zoo.transformer.feedforward import GatedMlp
from zoo.transformer.norm import RMSNorm
from zoo.transformer.patterns import Banded, Dense
from zoo.transformer.position import Rotary

GPT2 = {"small": 124_439_808, "medium": 354_823_168, "large": 774_030_080, "xl": 1_557_611_200}
GPT3 = {
    "small": 125_226_240,
    "medium": 355_871_744,
    "large": 760_300_032,
    "xl": 1_315_723_264,
    "2.7b": 2_651_553_280,
    "6.7b": 6_658_404_352,
    "13b": 12_853_386_240,
    "175b": 174_604_259_328,
}
GPT3_TABLE = {  # table 2.1: batch in millions of tokens, learning rate; appendix D.1: millions of parameters
    "small": (0.5, 6.0e-4, 125),
    "medium": (0.5, 3.0e-4, 356),
    "large": (0.5, 2.5e-4, 760),
    "xl": (1.0, 2.0e-4, 1320),
    "2.7b": (1.0, 1.6e-4, 2650),
    "6.7b": (2.0, 1.2e-4, 6660),
    "13b": (2.0, 1.0e-4, 12_850),
    "175b": (3.2, 0.6e-4, 174_600),
}


def recipe(name: str, size: str | None = None, **overrides: str) -> tuple[Recipe, TransformerConfig]:
    """Return a recipe and its model; in the names of overrides, ``__`` stands for a dot."""
    built = build(compose(name, {key.replace("__", "."): text for key, text in overrides.items()}, size=size))
    assert isinstance(built.model, TransformerConfig)
    return built, built.model


def parameters(config: TransformerConfig) -> int:
    with torch.device("meta"):
        return count_parameters(build_network(config))


def test_gpt1() -> None:
    built, model = recipe("text/gpt1")
    assert parameters(model) == built.parameters == 116_534_784
    assert isinstance(model.block, PostNorm)
    assert not model.final_norm
    assert model.dropout == 0.1
    train = built.train
    assert (train.batch * train.accumulation, model.context, train.learning_rate) == (64, 512, 2.5e-4)
    assert train.optimizer == AdamW(betas=(0.9, 0.999), weight_decay=0.01, eps=1e-8)
    assert train.schedule == Cosine(warmup=2000, final_ratio=0.0)


@pytest.mark.parametrize(("size", "count"), [(None, GPT2["small"]), *GPT2.items()])
def test_gpt2(size: str | None, count: int) -> None:
    built, model = recipe("text/gpt2", size)
    assert parameters(model) == built.parameters == count
    assert (model.context, model.vocabulary, model.head_width) == (1024, 50257, 64)
    assert isinstance(model.block, PreNorm)
    assert built.train.batch * built.train.accumulation == 512


@pytest.mark.parametrize(("size", "count"), [(None, GPT3["small"]), *GPT3.items()])
def test_gpt3(size: str | None, count: int) -> None:
    built, model = recipe("text/gpt3", size)
    assert parameters(model) == built.parameters == count
    assert (model.context, model.vocabulary) == (2048, 50257)
    assert [model.pattern(layer) for layer in range(3)] == [Dense(), Banded(window=256), Dense()]
    millions, rate, stated = GPT3_TABLE[size or "small"]
    assert count / 1e6 == pytest.approx(stated, rel=4e-3)
    train = built.train
    tokens = train.batch * train.accumulation * model.context
    assert tokens / 1e6 == pytest.approx(millions, rel=0.06)
    assert train.learning_rate == rate
    assert train.steps * tokens == pytest.approx(300e9, rel=1e-5)
    assert isinstance(train.schedule, Cosine)
    assert (train.schedule.warmup + 0.5) * tokens == pytest.approx(375e6, abs=tokens)
    assert train.optimizer == AdamW(betas=(0.9, 0.95), weight_decay=0.1, eps=1e-8)
    assert train.clip == 1.0
    factor = lambda billions: train.schedule.factor(round(billions * 1e9 / tokens), train.steps)  # noqa: E731  # one expression, used here only
    assert [factor(billions) for billions in (259.99, 260.01, 280, 300)] == pytest.approx([0.1] * 4, abs=1e-6)
    assert factor(0.375 + (260 - 0.375) / 2) == pytest.approx(0.55, abs=1e-3)


def test_the_band_of_gpt3_is_one_word_on_the_command_line() -> None:
    assert recipe("text/gpt3", model__patterns__1__window="128")[1].patterns == (Dense(), Banded(window=128))
    assert recipe("text/gpt3", model__patterns="[banded,dense]")[1].patterns == (Banded(window=256), Dense())
    assert recipe("text/gpt3", "tiny")[1].patterns == (Dense(), Banded(window=16))
    assert recipe("text/gpt3", "tiny", model__patterns__1__window="8")[1].patterns == (Dense(), Banded(window=8))


@pytest.mark.parametrize(
    ("size", "depth", "heads", "width"),
    [  # mingpt/model.py
        ("openai-gpt", 12, 12, 768),
        ("gpt2", 12, 12, 768),
        ("gpt2-medium", 24, 16, 1024),
        ("gpt2-large", 36, 20, 1280),
        ("gpt2-xl", 48, 25, 1600),
        ("gopher-44m", 8, 16, 512),
        ("gpt-mini", 6, 6, 192),
        ("gpt-micro", 4, 4, 128),
        ("gpt-nano", 3, 3, 48),
    ],
)
def test_mingpt_presets(size: str, depth: int, heads: int, width: int) -> None:
    built, model = recipe("text/mingpt", size)
    assert (model.depth, model.heads, model.width, model.tied) == (depth, heads, width, False)
    counted = depth * (12 * width**2 + 13 * width) + 2 * width + (65 + 128) * width  # as minGPT counts
    assert parameters(model) == built.parameters == counted + 65 * width


def test_mingpt_as_gpt2_has_gpt2_s_parameters_and_an_output_matrix() -> None:
    _, model = recipe("text/mingpt", "gpt2", tokenizer="gpt2", model__context="1024")
    named: Any = {"vocabulary": 50257}
    assert parameters(type(model)(**{**vars(model), **named})) == GPT2["small"] + 50257 * 768


def test_chargpt() -> None:
    built, model = recipe("text/mingpt")
    assert model == recipe("text/mingpt", "gpt-mini")[1]
    assert (model.context, model.vocabulary, model.dropout) == (128, 65, 0.1)
    train = built.train
    assert (train.batch, train.learning_rate, train.clip, train.schedule) == (64, 5e-4, 1.0, Constant())
    assert train.optimizer == AdamW(betas=(0.9, 0.95), weight_decay=0.1)
    assert (built.prompt, built.generate.max_new_tokens, built.generate.top_k) == ("O God, O God!", 500, 10)


@pytest.mark.parametrize("size", [None, *GPT2, "laptop", "tiny"])
def test_the_modern_reference_is_as_large_as_gpt2_and_trained_alike(size: str | None) -> None:
    built, model = recipe("text/modern", size)
    old, old_model = recipe("text/gpt2", size)
    assert parameters(model) == pytest.approx(parameters(old_model), rel=0.03 if size == "tiny" else 0.02)
    assert [getattr(model, name) for name in ("width", "depth", "heads", "context", "vocabulary", "dropout")] == [
        getattr(old_model, name) for name in ("width", "depth", "heads", "context", "vocabulary", "dropout")
    ]
    assert built.train == old.train
    assert built.tokenizer == old.tokenizer
    assert (model.norm, model.positions, model.bias, model.tied) == (RMSNorm(), Rotary(), False, True)
    assert isinstance(model.feedforward, GatedMlp)
    assert model.key_value_heads is not None
    assert 2 <= model.heads // model.key_value_heads <= 5


IMAGE_GPT = {  # parameters, width, depth, updates, pictures an update, learning rate
    "small": (76_571_648, 512, 24, 1_000_000, 128, 3e-3),
    "medium": (455_157_760, 1024, 36, 1_000_000, 128, 3e-3),
    "large": (1_362_250_752, 1536, 48, 1_000_000, 128, 2e-3),
    "xl": (6_801_438_720, 3072, 60, 2_000_000, 64, 6e-4),
}


@pytest.mark.parametrize("size", [None, *IMAGE_GPT])
def test_image_gpt(size: str | None) -> None:
    built, model = recipe("image/imagegpt", size)
    count, width, depth, steps, batch, rate = IMAGE_GPT[size or "small"]
    assert parameters(model) == built.parameters == count
    assert (model.width, model.depth, model.context, model.vocabulary, model.output_vocabulary) == (
        width,
        depth,
        1024,
        513,
        512,
    )
    assert (model.norm, model.bias, model.tied, model.dropout) == (RMSNorm(eps=1e-5), False, False, 0.0)
    train = built.train
    assert (train.steps, train.batch * train.accumulation, train.learning_rate) == (steps, batch, rate)
    assert train.optimizer == AdamW(betas=(0.9, 0.95), weight_decay=0.0)
    assert isinstance(train.schedule, Cosine)
    assert train.schedule.final_ratio == 0
    assert train.schedule.warmup * batch == pytest.approx(1_281_167 * 0.96, rel=1e-3)  # an epoch
    hidden, both = recipe("image/imagegpt_bert", size)
    assert parameters(both) == hidden.parameters == count - width
    assert (both.causal, both.vocabulary, hidden.train) == (False, 512, train)


@pytest.mark.parametrize(
    "name", ["text/gpt1", "text/gpt2", "text/gpt3", "text/mingpt", "text/modern", "image/imagegpt"]
)
def test_all_of_the_table_is_offered(name: str) -> None:
    wanted = {"text/gpt2": GPT2, "text/gpt3": GPT3, "text/modern": GPT2, "image/imagegpt": IMAGE_GPT}.get(name, {})
    assert wanted.keys() | {"tiny"} <= describe(name)["sizes"].keys()
