"""What a run refuses before it takes memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import zoo
from zoo.errors import ZooError
from zoo.memory import total_bytes
from zoo.recipe import build, compose
from zoo.recurrent import RecurrentConfig
from zoo.run import Run, refuse_too_large, with_vocabulary
from zoo.tokenizers.image.gray_levels import GrayLevelsTokenizer
from zoo.tokenizers.text.byte import ByteTokenizer
from zoo.transformer.config import TransformerConfig
from zoo.transformer.patterns import Dense


def test_a_network_beyond_this_machine_is_refused_with_its_size() -> None:
    config = TransformerConfig(vocabulary=50257, context=2048, width=12288, depth=96, heads=96)
    with pytest.raises(ZooError, match=r"174,604,259,328 parameters need 2,602 GiB to train, this machine has"):
        refuse_too_large(config)
    refuse_too_large(TransformerConfig(vocabulary=65, context=64, width=128, depth=4, heads=4))


def test_a_network_is_refused_before_its_data_is_looked_for(tmp_path: Path) -> None:
    recipe = build(compose("text/gpt3", {"data.path": "nowhere", "tokenizer": "char"}, size="175b"))
    with pytest.raises(ZooError, match=r"174,604,259,328 parameters need 2,602 GiB"):
        Run(recipe=recipe, out=tmp_path / "out", device="cpu").prepare()
    assert list(tmp_path.iterdir()) == []


def test_a_vocabulary_that_is_not_known_yet_refuses_nothing() -> None:
    large = TransformerConfig(vocabulary=2**40, context=64, width=128, depth=4, heads=4)
    refuse_too_large(large, any_vocabulary=True)
    with pytest.raises(ZooError, match="this machine has"):
        refuse_too_large(large)


def test_a_mistyped_depth_is_refused_at_once() -> None:
    with pytest.raises(ZooError, match="depth must be at most 1024"):
        TransformerConfig(vocabulary=65, context=64, width=128, depth=100_000_000, heads=4)
    with pytest.raises(ZooError, match="at most 1024"):
        RecurrentConfig(vocabulary=65, context=64, embedding_width=8, width=8, depth=100_000_000)


def test_memory_is_known_here() -> None:
    memory = total_bytes()
    assert memory is None or memory > 1 << 28


def test_a_start_is_read_by_those_who_begin_with_it_and_predicted_by_none() -> None:
    gray = GrayLevelsTokenizer(levels=16, rows=4, columns=4)
    plain = TransformerConfig(vocabulary=3, context=16, width=8, depth=1, heads=1, tied=False)
    both = TransformerConfig(vocabulary=3, context=16, width=8, depth=1, heads=1, patterns=(Dense(causal=False),))
    cell = RecurrentConfig(vocabulary=3, context=16, embedding_width=8, width=8, output_vocabulary=2)
    for config, read, predicted in ((plain, 17, 16), (both, 16, None), (cell, 17, 16)):
        made = with_vocabulary(config, gray)
        assert (made.vocabulary, made.output_vocabulary) == (read, predicted)
        made = with_vocabulary(made, ByteTokenizer())
        assert (made.vocabulary, made.output_vocabulary) == (ByteTokenizer().spec.vocabulary_size, None)


def test_classes_are_those_of_the_data(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0)
    pictures = numbers.integers(0, 256, (24, 8, 8), dtype=np.uint8)

    def run(out: str, classes: str, **keys: str) -> Run:
        np.savez(tmp_path / f"{out}.npz", x=pictures, y=np.array(list(classes * 8)))
        settings = {"data.path": str(tmp_path / f"{out}.npz"), "train.steps": "1", **keys}
        recipe = build(compose("image/imagegpt", settings, size="tiny"))
        return Run(recipe=recipe, out=tmp_path / out, device="cpu")

    prepared = run("one", "cba", **{"data.conditional": "true"}).prepare()
    assert isinstance(prepared.network.config, TransformerConfig)
    assert prepared.network.config.classes == ("a", "b", "c")
    prepared.train()
    loaded = zoo.load(tmp_path / "one", device="cpu")
    assert loaded.config == prepared.network.config
    again = dataclasses.replace(run("two", "dba", **{"data.conditional": "true"}), init=str(tmp_path / "one"))
    with pytest.raises(ZooError, match="3 classes are not those of the network, which has 3"):
        again.prepare()
    plain = dataclasses.replace(run("three", "dba"), init=str(tmp_path / "one"))
    assert plain.prepare().network.config == loaded.config  # classes are there and not told
