"""Fault 19: typos, wrong types, values out of range and contradictions are refused before anything is allocated."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from zoo.errors import ZooError
from zoo.recipe import build, compose

SOURCES = ("text/shakespeare_char", "text/books", "text/fables_lstm", "text/adder")
COMPOSED = {name: compose(name) for name in SOURCES}
Mutation = tuple[str, tuple[str, ...], Any]
"""(recipe, path of the value that is replaced or added, new value)"""

RANGES: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("train.steps", (0, -1)),
    ("train.batch", (0, -8)),
    ("train.accumulation", (0,)),
    ("train.learning_rate", (0, -1e-3, float("inf"), float("nan"))),
    ("train.clip", (-1, float("nan"))),
    ("train.average", (1, -0.1)),
    ("train.evaluate_every", (-1,)),
    ("train.save_every", (-1,)),
    ("train.log_every", (0,)),
    ("train.patience", (-1,)),
    ("train.workers", (-1,)),
    ("train.dtype", ("float8", "")),
    ("train.optimizer.betas", ([1.5, 0.9], [0.9], [0.9, 0.99, 0.999], 0.9)),
    ("train.optimizer.weight_decay", (-1,)),
    ("train.optimizer", ("adamww", {"betas": [0.9, 0.9], "type": "sgd"}, None)),
    ("train.schedule.warmup", (-1, 1.5)),
    ("train.schedule.final_ratio", (-0.5, 2)),
    ("train.schedule.until", (0, 1.5)),
    ("train.schedule", ("sine", [])),
    ("model.context", (0, -1)),
    ("model.width", (0, -1)),
    ("model.depth", (0,)),
    ("model.heads", (0, -4)),
    ("model.dropout", (1, -0.1, float("nan"))),
    ("model.norm", ("layernorm", {"type": "layer_norm", "eps": -1})),
    ("model.feedforward", ("gated", {"type": "mlp", "ratio": 0}, {"type": "mlp", "activation": "tanh"})),
    ("model.positions", ("absolute", {"type": "rotary", "base": 0})),
    ("model.block", ("norm",)),
    ("model.patterns", ([], "dense", ["dens"], [{"type": "block"}], [{"type": "banded", "window": 0}])),
    ("model.segments", (-1,)),
    ("model.type", ("transfomer", None, 3)),
    ("data.held_out", (0, 1, -0.1)),
    ("data.type", ("texts", None)),
    ("data.encoding", ("utf-9",)),
    ("data.source.sha256", ("abc",)),
    ("data.source.url", ("file:///etc/passwd", "")),
    ("tokenizer", ("caracters", None, 5, {"type": "bpe", "vocabulary": 10})),
    ("generate.temperature", (-1, float("inf"))),
    ("generate.top_k", (-1,)),
    ("generate.top_p", (0, 1.5)),
    ("generate.min_p", (-0.1, 2)),
    ("generate.repetition_penalty", (0,)),
    ("generate.beams", (0,)),
    ("generate.max_new_tokens", (-1,)),
    ("modality", ("smell", None, "image")),
    ("parameters", ("many", -1.5)),
)
CONTRADICTIONS: tuple[dict[str, Any], ...] = (
    {"model.width": 130},  # heads 4
    {"model.heads": 3},
    {"model.key_value_heads": 3},
    {"model.attention_width_ratio": 0.01},
    {
        "model.width": 12,
        "model.heads": 4,
        "model.positions": "rotary",
    },  # three features a head cannot be turned in pairs
    {"model.patterns": ["cross"]},
    {"model.memory_width": 64},
    {"model.output_vocabulary": 70},  # tied to 65
    {"model.patterns": [{"type": "block", "size": 7}]},
    {"model.patterns": [{"type": "column", "size": 0}]},
    {"train.patience": 3, "train.evaluate_every": 0},
    {"data": {"type": "adder", "path": "numbers.txt"}},
    {"data": {"type": "adder", "digits": 4}},
)


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield (path, value) of every setting that is no mapping."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    else:
        yield path, value


def put(config: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        inner = config.get(part)
        config[part] = inner if isinstance(inner, dict) else {"type": inner} if isinstance(inner, str) else {}
        config = config[part]
    config[path[-1]] = value


def typos() -> Iterator[Mutation]:
    for name in SOURCES:
        for path, value in leaves(COMPOSED[name]):
            if path != ("name",):
                key = path[-1]
                yield name, (*path[:-1], key[0] + key[2:] if len(key) > 2 else key + "x"), value


def wrong_types() -> Iterator[Mutation]:
    for name in SOURCES:
        for path, value in leaves(COMPOSED[name]):
            wrong: tuple[Any, ...] = (["x", "y", "z"], {"other": 1})
            if isinstance(value, bool):
                wrong += ("maybe", 1)
            elif isinstance(value, int):
                wrong += ("many", True, *(() if path[-1] == "temperature" else (2.5,)))
            elif isinstance(value, float):
                wrong += ("fast", True)
            elif isinstance(value, str):
                wrong += (7, False)
            for other in wrong:
                yield name, path, other


def out_of_range() -> Iterator[Mutation]:
    for path, values in RANGES:
        for value in values:
            yield "text/shakespeare_char", tuple(path.split(".")), value


MUTATIONS = [*typos(), *wrong_types(), *out_of_range()]


def refused(name: str, changes: dict[tuple[str, ...], Any]) -> str | None:
    """Return the message with which a changed recipe is refused, None if it is accepted."""
    config = copy.deepcopy(COMPOSED[name])
    for path, value in changes.items():
        put(config, path, value)
    try:
        build(config)
    except ZooError as error:
        return str(error)
    return None


def test_none_of_hundreds_of_mutated_recipes_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    def allocate(*_: object, **__: object) -> None:
        raise AssertionError("something was allocated")

    assert len(MUTATIONS) + len(CONTRADICTIONS) >= 200
    assert [refused(name, {}) for name in SOURCES] == [None] * len(SOURCES)
    for maker in ("empty", "zeros", "randn", "tensor"):
        monkeypatch.setattr(torch, maker, allocate)
    changes = [(name, {path: value}) for name, path, value in MUTATIONS]
    changes += [
        ("text/shakespeare_char", {tuple(key.split(".")): value for key, value in contradiction.items()})
        for contradiction in CONTRADICTIONS
    ]
    accepted = []
    for name, change in changes:
        message = refused(name, change)
        if message is None:
            accepted.append((name, change))
        else:
            assert "\n" not in message
            assert len(message) > 10
    assert accepted == []


def test_typos_are_answered_with_the_right_name() -> None:
    for name, path, value in typos():
        message = refused(name, {path: value}) or ""
        assert path[-1] in message
        assert "did you mean" in message or path[-1] == "tpe"  # not a field: every kind of settings has a type
