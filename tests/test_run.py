"""What a run refuses before it takes memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.memory import total_bytes
from zoo.recipe import build, compose
from zoo.recurrent import RecurrentConfig
from zoo.run import Run, refuse_too_large
from zoo.transformer.config import TransformerConfig


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
