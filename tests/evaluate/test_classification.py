"""A head's figures against those worked out by hand, and labels that it does not know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.evaluate.models import random_model
from zoo.architecture import build_network
from zoo.errors import ZooError
from zoo.evaluate.classification import Classification
from zoo.evaluate.likelihood import Likelihood
from zoo.evaluate.outcome import Matrix
from zoo.evaluate.part import Data
from zoo.evaluate.tasks import choose
from zoo.model import Model
from zoo.tokenizers.text.byte import ByteTokenizer
from zoo.transformer.config import TransformerConfig
from zoo.transformer.heads import Classification as Head


def classifier(labels: tuple[str, ...] = ("bird", "lion")) -> Model:
    torch.manual_seed(0)
    config = TransformerConfig(vocabulary=257, context=32, width=16, depth=1, heads=2, head=Head(labels=labels))
    network = build_network(config)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return Model(network, ByteTokenizer(), card={"head": "classification"})


def table(folder: Path, labels: str = "lion bird") -> str:
    names = labels.split()
    rows = [f"sound {number * 7919 % 101} {'x' * (number % 5)},{names[number % len(names)]}" for number in range(33)]
    (folder / "animals.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    return str(folder / "animals.csv")


def test_figures_of_a_head(tmp_path: Path) -> None:
    model = classifier()
    assert choose(model) == Classification()
    data = Data(path=table(tmp_path), part="all")
    found = Classification(batch=4).run(model, data)
    said = model.classify([f"sound {number * 7919 % 101} {'x' * (number % 5)}" for number in range(33)])
    right = [["lion", "bird"][number % 2] for number in range(33)]
    assert found.metrics["accuracy"] == pytest.approx(np.mean([a.label == b for a, b in zip(said, right, strict=True)]))
    matrix = found.exhibits[0]
    assert isinstance(matrix, Matrix)
    assert matrix.counts.sum() == 33
    assert matrix.counts[1].sum() == 17
    assert {"macro_f1", "loss"} <= set(found.metrics)
    assert found.rows[3]["label"] == "bird"
    assert Classification().run(model, Data(path=data.path)).samples == 3


def test_what_cannot_be_judged(tmp_path: Path) -> None:
    path = table(tmp_path, "lion bird zebra")
    with pytest.raises(ZooError, match=r"animals.csv:4: the model does not know the label 'zebra'"):
        Classification().run(classifier(), Data(path=path, part="all"))
    with pytest.raises(ZooError, match="no head that classifies"):
        Classification().run(random_model(), Data(path=path))
    assert choose(random_model()) == Likelihood()
    (tmp_path / "bare.csv").write_text("text\n" + "roar\n" * 20)
    with pytest.raises(ZooError, match="has no labels"):
        Classification().run(classifier(), Data(path=str(tmp_path / "bare.csv")))
