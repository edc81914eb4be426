"""The training loop with pairs: it learns them, and a stopped run ends with the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.train import small
from zoo.architecture import build_network
from zoo.data.numbers import Numbers
from zoo.data.pairs import Pairs, PairsData
from zoo.evaluate.language_model import evaluate
from zoo.settings import to_mapping
from zoo.tokenizers.text.settings import Char
from zoo.train.loop import Trainer, TrainResult
from zoo.train.schedule import Constant
from zoo.transformer.config import TransformerConfig
from zoo.transformer.patterns import Cross, Dense
from zoo.weights.folder import Contents, read

ALPHABET = Char().fit(["abcdefghijklmnopqrstuvwxyz0123456789 -"])
SIZE = ALPHABET.spec.vocabulary_size
SHAPE: dict[str, Any] = {"width": 32, "heads": 2, "dropout": 0.05}
CONFIG = TransformerConfig(
    vocabulary=SIZE + 2,
    output_vocabulary=SIZE + 1,
    context=4,
    depth=2,
    memory_width=32,
    patterns=(Dense(), Cross()),
    encoder=TransformerConfig(vocabulary=SIZE, context=16, depth=1, patterns=(Dense(causal=False),), **SHAPE),
    **SHAPE,
)


def data() -> PairsData:
    return Pairs(made=Numbers(digits=2, count=500, held_out=9)).open().encode(ALPHABET, 4)


def train(out: Path, steps: int, *, resume: bool = False) -> tuple[TrainResult, torch.nn.Module]:
    torch.manual_seed(0)
    network = build_network(CONFIG)
    settings = small.settings(
        steps=steps, batch=16, learning_rate=3e-3, schedule=Constant(), evaluate_every=0, save_every=0, average=0.9
    )
    contents = Contents(
        family="transformer", modality="text", network=to_mapping(CONFIG), tokenizer=None, recipe={}, card={}
    )
    return Trainer(network, data(), settings, contents=contents, out=out, resume=resume).run(), network


def test_it_learns_the_task(tmp_path: Path) -> None:
    result, network = train(tmp_path, 150)
    untrained = evaluate(build_network(CONFIG), data(), batch=16)
    assert set(result.metrics) == {
        "loss", "bits_per_token", "accuracy", "bits_per_byte", "exact_match", "held_out_exact_match",
    }  # fmt: skip
    assert result.metrics["loss"] < 0.6 * untrained["loss"]
    assert untrained["exact_match"] == 0
    assert 0 <= result.metrics["exact_match"] <= 1
    assert network.training


def test_a_stopped_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    train(tmp_path / "alone", 23)
    for steps in (7, 18, 23):
        train(tmp_path / "parts", steps, resume=True)
    whole, parts = (read(tmp_path / name).tensors() for name in ("alone", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
