"""Composing and checking recipes: what the command line may change, and what is refused."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest

from zoo.errors import ZooError
from zoo.recipe import build, compose, describe, names, tokenizer_settings, tokenizers
from zoo.tokenizers.image.settings import GrayLevels, PixelClusters
from zoo.tokenizers.text.settings import Bpe, Byte
from zoo.train.optimizer import AdamW, Muon
from zoo.transformer.feedforward import GatedMlp

CHAR = "text/shakespeare_char"


def test_names() -> None:
    assert CHAR in names()
    assert not any(name.startswith(("base/", "tokenizer/")) for name in names())
    assert names() == sorted(names())
    assert tokenizers() == sorted(tokenizers())
    assert {"bpe", "byte", "char", "digits", "gpt1", "gpt2", "word", "wordpiece"} <= set(tokenizers())


def test_a_recipe_is_a_frozen_value() -> None:
    recipe = build(compose(CHAR))
    assert (recipe.name, recipe.modality, recipe.parameters) == (CHAR, "text", 804_096)
    assert recipe.train.optimizer == AdamW(betas=(0.9, 0.99), weight_decay=0.1)
    assert build(recipe.to_mapping()) == recipe
    with pytest.raises(FrozenInstanceError):
        recipe.prompt = "other"  # type: ignore[misc]  # frozen: wrong on purpose


def test_order_file_then_size_then_command_line() -> None:
    assert compose(CHAR)["model"]["width"] == 128
    gpu = compose(CHAR, size="gpu")
    assert (gpu["model"]["width"], gpu["model"]["heads"], gpu["parameters"]) == (384, 6, 10_745_088)
    changed = compose(CHAR, {"model.width": "192"}, size="gpu")
    assert (changed["model"]["width"], changed["model"]["heads"], changed["parameters"]) == (192, 6, None)


def test_tokenizer_is_swapped_whole_wherever_it_stands() -> None:
    assert build(compose("text/books")).tokenizer == Bpe(vocabulary=4096)
    assert build(compose("text/books", {"tokenizer": "byte"})).tokenizer == Byte()
    for pairs in (["tokenizer", "tokenizer.vocabulary"], ["tokenizer.vocabulary", "tokenizer"]):
        overrides = {key: {"tokenizer": "bpe", "tokenizer.vocabulary": "512"}[key] for key in pairs}
        assert build(compose(CHAR, overrides)).tokenizer == Bpe(vocabulary=512)


def test_naming_the_tokenizer_that_a_recipe_has_changes_nothing() -> None:
    assert build(compose("text/books", {"tokenizer": "bpe"})).tokenizer == Bpe(vocabulary=4096)
    assert build(compose("text/books", {"tokenizer": "bpe"}, size="tiny")).tokenizer == Bpe(vocabulary=512)
    assert build(compose("text/fables_lstm", {"tokenizer": "word"})) == replace(
        build(compose("text/fables_lstm")), parameters=None
    )


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("train.steps", "1_000", 1000),
        ("train.learning_rate", "3e-4", 3e-4),
        ("train.compile", "true", True),
        ("train.optimizer", "muon", "muon"),
        ("model.patterns", "[dense,{type: banded, window: 8}]", ["dense", {"type": "banded", "window": 8}]),
        ("model.key_value_heads", "null", None),
        ("data.path", "a,b 'c' {d=e} ${oc.env:HOME} [1]", "a,b 'c' {d=e} ${oc.env:HOME} [1]"),
        ("data.path", "null", "null"),
        ("data.more", "a,b 'c' {d=e} ${oc.env:HOME}", ["a,b 'c' {d=e} ${oc.env:HOME}"]),
        ("data.more", "[a/,b/]", ["a/", "b/"]),
        ("data.columns.text", "my column=1,2", "my column=1,2"),
    ],
)
def test_values(key: str, text: str, value: object) -> None:
    found: Any = compose(CHAR, {key: text})
    for part in key.split("."):
        found = found[part]
    assert found == value


def test_another_type_replaces_the_old_settings() -> None:
    recipe = build(compose(CHAR, {"train.optimizer.type": "muon", "model.feedforward.type": "gated_mlp"}))
    assert recipe.train.optimizer == Muon()
    assert recipe.model.feedforward == GatedMlp()  # type: ignore[union-attr]  # this recipe's model is a transformer
    kept = build(compose(CHAR, {"train.optimizer.weight_decay": "0.5"}))
    assert kept.train.optimizer == AdamW(betas=(0.9, 0.99), weight_decay=0.5)


def test_references_to_own_keys_are_resolved() -> None:
    assert compose(CHAR, {"train.evaluate_every": "${train.steps}"})["train"]["evaluate_every"] == 2000


def test_the_data_s_codec_follows_the_tokenizer_s_path() -> None:
    for path in ("mine", "a, {b}.pth"):
        made = compose("music/upsampler_1", {"tokenizer.path": path})
        assert (made["tokenizer"]["path"], made["data"]["codec"]) == (path, path)
    apart = compose("music/upsampler_1", {"tokenizer.path": "one", "data.codec": "two"})
    assert (apart["tokenizer"]["path"], apart["data"]["codec"]) == ("one", "two")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"train.step": "3"}, "unknown setting 'train.step'; did you mean 'steps'?"),
        ({"step": "3"}, "unknown setting 'step'; did you mean 'train.steps'?"),
        ({"widht": "3"}, "unknown setting 'widht'; did you mean 'model.width'?"),
        ({"trian.steps": "3"}, "unknown setting 'trian.steps'; did you mean 'train.steps'?"),
        ({"zzz": "3"}, "a recipe's settings start with tokenizer, model, data, train, generate"),
        ({"train..steps": "3"}, "unknown setting 'train..steps'"),
        ({"train.steps.more": "3"}, "train.steps: expected a whole number"),
        ({"train.steps": "2.5"}, "train.steps: expected a whole number, got 2.5"),
        ({"train.steps": "1,2"}, "train.steps: one value, got '1,2'"),
        ({"train.steps": "{"}, "train.steps: cannot read '{'"),
        ({"train.steps": ""}, "train.steps: expected a whole number, got ''"),
        ({"train": "fast"}, "train: expected a mapping of settings, got 'fast'"),
        ({"model.vocabulary": "3"}, "model.vocabulary is the tokenizer's"),
        ({"parameters": "3"}, "parameters is a fact about the recipe"),
        ({"name": "x"}, "name is a fact about the recipe"),
        ({"hydra.run.dir": "x"}, "unknown setting 'hydra.run.dir'"),
        ({"tokenizer": "bpee"}, "unknown tokenizer 'bpee'; did you mean 'bpe'?"),
        ({"tokenizer": "../text/adder"}, "unknown tokenizer '../text/adder'"),
        ({"tokenizer.vocabulary": "300"}, "unknown setting 'tokenizer.vocabulary'"),
        ({"train.steps": "${oc.env:HOME}"}, "reaches outside the recipe"),
        ({"train.steps": "${train.nothing}"}, "recipe: Interpolation key 'train.nothing' not found"),
        ({"model.type": "perceptron"}, "model: unknown type 'perceptron'"),
    ],
)
def test_refused(overrides: dict[str, str], message: str) -> None:
    with pytest.raises(ZooError) as caught:
        build(compose(CHAR, overrides))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["text/topics", "text/fables_lstm"])
def test_own_texts_of_a_recipe_can_be_replaced_by_a_table(name: str) -> None:
    recipe = build(compose(name, {"data.path": "a.csv", "data.columns.text": "body", "data.encoding": "latin-1"}))
    assert recipe.to_mapping()["data"]["columns"] == {"text": "body"}


def test_unknown_recipes_and_sizes() -> None:
    with pytest.raises(ZooError, match=r"did you mean 'text/adder'\?.*text/books"):
        compose("text/ader")
    with pytest.raises(ZooError, match=r"unknown recipe '\.\./pyproject'"):
        compose("../pyproject")
    with pytest.raises(ZooError, match="has no size 'tinny'; did you mean 'tiny'"):
        compose(CHAR, size="tinny")


def test_a_broken_recipe_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "bad.yaml").write_text("# @package _global_\nmodel: [\n")
    (tmp_path / "text" / "empty.yaml").write_text("# @package _global_\n")
    for module in ("recipe", "catalogue"):
        monkeypatch.setattr(f"zoo.{module}.recipes_folder", lambda: tmp_path)
    for read in (compose, describe):
        with pytest.raises(ZooError, match=r"recipes/text/bad\.yaml: ") as caught:
            read("text/bad")
        assert "\n" not in str(caught.value)
    with pytest.raises(ZooError, match=r"recipes/text/empty\.yaml: expected settings, found none"):
        describe("text/empty")


def test_describe() -> None:
    facts = describe(CHAR)
    assert list(facts) == ["name", "modality", "tokenizer", "parameters", "paper", "summary", "sizes"]
    assert facts["tokenizer"] == "char"
    assert facts["sizes"] == {"cpu": 804_096, "gpu": 10_745_088, "modern": 2_669_184, "tiny": 27_840}
    assert describe("text/mingpt")["modality"] == "text"  # stated two files below


@pytest.mark.parametrize("name", names())
def test_describe_reads_what_hydra_composes(name: str) -> None:
    facts, whole = describe(name), compose(name)
    assert facts["tokenizer"] == whole.get("tokenizer", {}).get("type")  # codecs have none: they become one
    assert all(facts[key] == whole[key] for key in ("name", "modality", "parameters", "paper", "summary"))


def test_places_of_a_list_can_be_set() -> None:
    config = compose("text/gpt3", {"model.patterns.1.window": "128"})
    assert config["model"]["patterns"] == ["dense", {"type": "banded", "window": 128}]
    config = compose("text/gpt3", {"model.patterns.0": "{type: block, size: 64}", "model.patterns.1": "dense"})
    assert config["model"]["patterns"] == [{"type": "block", "size": 64}, "dense"]
    config = compose("text/gpt3", {"model.patterns.0.causal": "true"})
    assert config["model"]["patterns"][0] == {"type": "dense", "causal": True}
    with pytest.raises(
        ZooError, match=r"^model\.patterns\.2\.window: there is no place 2 in a list of 2; places count"
    ):
        compose("text/gpt3", {"model.patterns.2.window": "128"})
    for key in ("model.patterns.x.window", "model.patterns." + "9" * 5000):
        with pytest.raises(ZooError, match=r"model\.patterns: expected a list"):
            build(compose("text/gpt3", {key: "1"}))


def test_a_tokenizer_without_a_recipe() -> None:
    assert tokenizer_settings("gray_levels", {"tokenizer.levels": "16"}) == GrayLevels(levels=16, size=None)
    path = "${oc.env:HOME}, {a=b} 'x'"  # taken to the letter
    assert tokenizer_settings("pixel_clusters", {"tokenizer.path": path}) == PixelClusters(path=path, size=None)
    for name, words, message in (
        ("gray_level", {}, "unknown tokenizer 'gray_level'; did you mean 'gray_levels'?"),
        ("byte", {"tokenizer.levels": "3"}, "unknown setting 'tokenizer.levels'"),
        ("gray_levels", {"tokenizer.levels": "1"}, "tokenizer: levels must be 2 to 256, got 1"),
        ("gray_levels", {"tokenizer.levels": "${oc.env:HOME}"}, "reaches outside the recipe"),
        ("gray_levels", {"model.width": "3"}, "'model.width' is no setting of a tokenizer"),
    ):
        with pytest.raises(ZooError) as caught:
            tokenizer_settings(name, words)
        assert message in str(caught.value)
