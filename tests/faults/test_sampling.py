"""Faults 14, 23 and 25, and what loading refuses of 11, 12 and 26: prompts, arguments, surroundings, files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo.architecture import NetworkConfig, build_network
from zoo.errors import ZooError
from zoo.model import Model
from zoo.recurrent import RecurrentConfig
from zoo.tokenizers.text.settings import Byte, Char
from zoo.transformer.config import TransformerConfig
from zoo.weights.files import write_manifest
from zoo.weights.tensors import named_weights, write_tensors

CONTEXT = 8
ALPHABET = "abcdefgh\n"
CONFIGS: list[NetworkConfig] = [
    TransformerConfig(vocabulary=9, context=CONTEXT, width=16, depth=2, heads=2),
    RecurrentConfig(vocabulary=9, context=CONTEXT, embedding_width=8, width=16),
]


def make(config: NetworkConfig) -> Model:
    torch.manual_seed(0)
    network = build_network(config)
    for parameter in network.parameters():
        parameter.data.mul_(4)
    return Model(network, Char().fit([ALPHABET]), card={"name": "letters"})


@pytest.fixture(params=CONFIGS, ids=["transformer", "recurrent"])
def model(request: pytest.FixtureRequest) -> Model:
    return make(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make(CONFIGS[0]).save(tmp_path / "letters")
    return tmp_path / "letters"


@pytest.mark.parametrize("length", [CONTEXT - 1, CONTEXT, CONTEXT + 1, 100 * CONTEXT])
def test_14_prompts_around_the_context(model: Model, length: int) -> None:
    prompt = ("abcdefgh" * length)[:length]
    if length > CONTEXT:
        for cache in (True, False):
            with pytest.raises(ZooError) as caught:
                model.generate(prompt, max_new_tokens=4, cache=cache)
            message = f"prompt 0 has {length} ids, more than the model's context of {CONTEXT}; shorten it, or set "
            assert str(caught.value) == message + "truncate=left to use its end"
    else:
        drawn = [model.generate(prompt, max_new_tokens=30, cache=cache) for cache in (True, False)]
        assert drawn[0] == drawn[1]
        assert len(drawn[0]) == length + 30
    cut = [model.generate(prompt, max_new_tokens=30, cache=cache, truncate="left") for cache in (True, False)]
    assert cut[0] == cut[1]
    assert cut[0][length:] == model.generate(prompt[-CONTEXT:], max_new_tokens=30)[min(length, CONTEXT) :]


NAN, INF = float("nan"), float("inf")
BAD: list[dict[str, Any]] = [
    *({"temperature": value} for value in (-1, -1e-9, NAN, INF, -INF, "1", None, True)),
    *({"top_k": value} for value in (-1, 1.5, None, "3")),
    *({"top_p": value} for value in (0, -0.1, 1.5, NAN, INF)),
    *({"min_p": value} for value in (-0.1, 1.1, NAN)),
    *({"repetition_penalty": value} for value in (0, -1, NAN, INF)),
    *({"max_new_tokens": value} for value in (-1, 1.5, "2")),
    *({"count": value} for value in (0, -1, 1.5, None, True)),
    *({"seed": value} for value in (-1, 2**62, 0.5, None)),
    *({"beams": value} for value in (0, -2)),
    *({"stop": value} for value in ([""], [1])),
    {"truncate": "right"},
]


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_23_bad_arguments_are_one_line_that_names_them(bad: dict[str, Any]) -> None:
    with pytest.raises(ZooError) as caught:
        make(CONFIGS[0]).generate("ab", **{"max_new_tokens": 3, **bad})
    (name,) = bad
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "edge",
    [
        {"temperature": 0},
        {"temperature": 1e-300},
        {"temperature": 1e300},
        {"top_k": 0},
        {"top_k": 10**12},
        {"top_p": 1e-300},
        {"top_p": 1},
        {"min_p": 1},
        {"repetition_penalty": 1e-30},
        {"repetition_penalty": 1e30},
        {"max_new_tokens": 0},
        {"seed": 2**62 - 1},
        {"temperature": 0, "top_k": 1, "top_p": 0.1, "min_p": 1, "repetition_penalty": 3},
    ],
    ids=str,
)
def test_23_edges_that_are_allowed_draw_ids(model: Model, edge: dict[str, Any]) -> None:
    settings = {"max_new_tokens": 5, **edge}
    assert len(model.generate("ab", **settings)) == 2 + settings["max_new_tokens"]


def test_23_off_is_off(model: Model) -> None:
    plain = model.generate("ab", max_new_tokens=20)
    assert model.generate("ab", max_new_tokens=20, top_k=9, top_p=1.0, min_p=0.0, repetition_penalty=1.0) == plain


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("settings", [{}, {"temperature": 0}, {"top_p": 0.5, "top_k": 3}, {"beams": 2}], ids=str)
def test_23_logits_without_a_distribution_never_become_ids(value: float, settings: dict[str, Any]) -> None:
    model = make(CONFIGS[1])
    bias: dict[str, torch.nn.Parameter] = dict(model.network.named_parameters())
    bias["output.bias"].data.fill_(value)
    with pytest.raises(ZooError, match="the model gives no probability to any id"):
        model.generate("ab", max_new_tokens=3, **settings)


def test_11_weights_that_are_not_finite_are_refused(folder: Path) -> None:
    tensors = named_weights(make(CONFIGS[0]).network)
    tensors["embedding.tokens.weight"][2, 3] = NAN
    write_tensors(folder / "model.safetensors", tensors)
    write_manifest(folder, {})
    with pytest.raises(ZooError, match=r"'embedding\.tokens\.weight' has values that are NaN"):
        zoo.load(folder)


def test_12_another_tokenizer_is_refused(folder: Path) -> None:
    for other in (Byte().fit([]), Char().fit(["hgfedcba\nx"]), Char().fit(["abcdefgi\n"])):
        shutil.rmtree(folder / "tokenizer")
        other.save(folder / "tokenizer")
        write_manifest(folder, {})  # whoever swapped it made the hashes fit
        with pytest.raises(ZooError, match="is not the tokenizer of these weights"):
            zoo.load(folder)


def test_13_settings_that_do_not_fit_the_weights_name_every_tensor(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["network"] |= {"vocabulary": 11, "depth": 3}
    (folder / "config.json").write_text(json.dumps(config))
    write_manifest(folder, {})
    with pytest.raises(ZooError) as caught:
        zoo.load(folder)
    assert "'embedding.tokens.weight' is (9, 16), not (11, 16)" in str(caught.value)
    assert "missing 'blocks.2" in str(caught.value)


@pytest.mark.parametrize(
    "network",
    [
        {"_target_": "os.system", "command": "touch MARK"},
        {"type": "os.system"},
        {"type": "transformer", "_target_": "os.system"},
        {"type": "transformer", "norm": {"type": "os.system", "command": "touch MARK"}},
        {"type": "transformer", "context": "${oc.env:HOME}"},
        {"type": "transformer", "vocabulary": 10**30, "context": 8, "width": 8, "depth": 1, "heads": 1},
        {"type": "transformer", "vocabulary": 10**13, "context": 8, "width": 8, "depth": 1, "heads": 1},
        {"type": "transformer", "vocabulary": 9, "context": 8, "width": 8, "depth": 10**9, "heads": 1},
        {"type": "recurrent", "vocabulary": 9, "context": 8, "embedding_width": 10**12, "width": 8},
        [],
        "transformer",
    ],
    ids=str,
)
def test_26_hostile_networks_run_nothing(folder: Path, network: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    config = json.loads((folder / "config.json").read_text()) | {"network": network}
    (folder / "config.json").write_text(json.dumps(config))
    write_manifest(folder, {})
    with pytest.raises(ZooError) as caught:
        zoo.load(folder)
    assert "\n" not in str(caught.value)
    assert not (folder.parent / "MARK").exists()


def samples(folder: Path, environment: dict[str, str], *words: str) -> list[dict[str, Any]]:
    """Draw in a fresh process with nothing but ``environment`` and what Python needs to start."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "PYTHONPATH") if name in os.environ}
    command = ["generate", str(folder), "prompt=ab", "count=3", "max_new_tokens=60", "seed=5", *words, "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "zoo", *command],
        env=kept | environment,
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        check=True,
    )
    drawn: list[dict[str, Any]] = json.loads(done.stdout)["samples"]
    return drawn


def test_25_the_surroundings_do_not_change_samples(folder: Path, tmp_path: Path) -> None:
    here = [
        {"index": index, "seed": one.seed, "prompt": "ab", "text": one.sample, "ids": one.ids.tolist()}
        for index, one in enumerate(zoo.load(folder, device="cpu").draw("ab", count=3, max_new_tokens=60, seed=5))
    ]
    home = tmp_path / "no home"
    home.mkdir(mode=0o500)
    strange = tmp_path / "ä b" / "名前 {a=b},'c'"
    shutil.copytree(folder, strange)
    environment = {"LANG": "C", "LC_ALL": "C", "TZ": "Pacific/Chatham", "PYTHONHASHSEED": "77", "HOME": str(home)}
    assert samples(strange, environment, "threads=1", "device=cpu") == here


@pytest.mark.slow
@pytest.mark.parametrize("threads", range(1, 9))
def test_25_threads_do_not_change_samples(folder: Path, threads: int) -> None:
    once = samples(folder, {"PYTHONHASHSEED": str(threads)}, f"threads={threads}", "device=cpu")
    assert samples(folder, {"TZ": "Asia/Tokyo"}, f"threads={threads}", "device=cpu") == once
    # Other thread counts may add in another order: logits differ in their last bits, ids here do not.
    assert samples(folder, {}, "threads=1", "device=cpu") == once
