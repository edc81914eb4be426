"""A head's figures against those worked out by hand, and labels that it does not know."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.evaluate.models import random_model
from zoo.architecture import build_network
from zoo.classify.answers import exact_match
from zoo.data.records import TextRow
from zoo.errors import ZooError
from zoo.evaluate.classification import Answers, Classification
from zoo.evaluate.likelihood import Likelihood
from zoo.evaluate.outcome import Matrix
from zoo.evaluate.part import Data
from zoo.evaluate.tasks import choose
from zoo.model import Model
from zoo.tokenizers.text.byte import ByteTokenizer
from zoo.transformer.config import TransformerConfig
from zoo.transformer.heads import AnyPool, Last, MultiLabel, MultipleChoice, Span
from zoo.transformer.heads import Classification as Head
from zoo.transformer.heads import Head as AnyHead

LAST: AnyPool = Last()


def classifier(labels: tuple[str, ...] = ("bird", "lion"), head: AnyHead | None = None) -> Model:
    torch.manual_seed(0)
    config = TransformerConfig(
        vocabulary=257, context=64, width=16, depth=1, heads=2, head=head or Head(labels=labels, pool=LAST)
    )
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


def test_any_number_of_labels(tmp_path: Path) -> None:
    model = classifier(head=MultiLabel(labels=("bird", "lion"), pool=LAST))
    cells = ("lion|bird", "bird", "", "lion")
    texts = [f"sound {number}" for number in range(12)]
    lists = ("lion", "bird"), ["bird"], [], "lion"  # as JSON has them, or as CSV would
    rows = [json.dumps({"text": text, "label": lists[number % 4]}) for number, text in enumerate(texts)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    assert choose(model) == Classification()
    found = Classification(batch=5).run(model, Data(path=str(tmp_path / "rows.jsonl"), part="all"))
    said = [set(one.label.split("|")) - {""} for one in model.classify(texts)]
    right = [set(cells[number % 4].split("|")) - {""} for number in range(12)]
    assert found.metrics["exact_match"] == pytest.approx(np.mean([a == b for a, b in zip(said, right, strict=True)]))
    assert {"micro_f1", "macro_f1"} <= set(found.metrics)
    (tmp_path / "rows.jsonl").write_text("\n".join([*rows, '{"text": "x", "label": "bird|zebra"}']))
    with pytest.raises(ZooError, match="does not know the label 'zebra'"):
        Classification().run(model, Data(path=str(tmp_path / "rows.jsonl"), part="all"))


def test_equal_choices_keep_their_places(tmp_path: Path) -> None:
    model = classifier(head=MultipleChoice(pool=LAST))
    row = {"text": "one", "choices": ["yes", "yes", "no"], "label": "2"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    found = Classification().run(model, Data(path=str(tmp_path / "rows.jsonl"), part="all"))
    (said,) = model.classify([TextRow(text="one", choices=("yes", "yes", "no"))])
    assert len(said.values) == 3
    assert sum(said.values) == pytest.approx(1.0)
    assert found.metrics["loss"] == pytest.approx(-np.log(said.values[2]))


def test_choices_of_three_rows_of_which_all_are_asked(tmp_path: Path) -> None:
    model = classifier(head=MultipleChoice(pool=LAST))
    rows = [
        {"text": "one", "choices": ["a", "bb"], "label": "bb"},
        {"text": "two", "choices": ["c", "dd", "e"], "label": "0"},
        {"text": "three", "choices": ["f", "gg"], "label": "f"},
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert choose(model) == Classification()
    found = Classification().run(model, Data(path=str(tmp_path / "rows.jsonl"), part="all"))
    said = [row["said"] for row in found.rows]
    right = sum(a == b for a, b in zip(said, ["bb", "c", "f"], strict=True))
    assert found.metrics["accuracy"] == pytest.approx(right / 3)
    assert found.samples == 3


def test_answers_in_passages(tmp_path: Path) -> None:
    model = classifier(head=Span())
    passage = "the sea is wide"
    asked = [
        {"id": str(n), "question": f"what {n}?", "answers": [{"text": word, "answer_start": passage.index(word)}]}
        for n, word in enumerate(("sea", "wide"))
    ]
    squad = {"data": [{"title": "t", "paragraphs": [{"context": passage, "qas": asked}]}]}
    (tmp_path / "squad.json").write_text(json.dumps(squad))
    assert choose(model) == Answers()
    found = Answers().run(model, Data(path=str(tmp_path / "squad.json"), part="all"))
    said = [one.label for one in model.classify([(f"what {n}?", passage) for n in range(2)])]
    right = [exact_match(one, [word]) for one, word in zip(said, ("sea", "wide"), strict=True)]
    assert found.metrics["exact_match"] == np.mean(right)
    assert 0 <= found.metrics["f1"] <= 1
    assert [row["label"] for row in found.rows] == ["sea", "wide"]
    with pytest.raises(ZooError, match="task=answers"):
        Classification().run(model, Data(path=str(tmp_path / "squad.json")))
    with pytest.raises(ZooError, match="this one names labels"):
        Answers().run(classifier(), Data(path=str(tmp_path / "squad.json")))
