"""Heads on the recurrent baseline: the same data, the same ways to learn, where it has the layers for them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file

import zoo
from tests.finetune.test_heads import FAST, topics, tune, write
from zoo.architecture import build_network
from zoo.data.records import TextRow
from zoo.errors import ZooError
from zoo.finetune.course import Course
from zoo.finetune.growing import with_head
from zoo.finetune.heads import Classification, Head, MultiLabel, MultipleChoice, Pair, Span
from zoo.finetune.method import Full, Last, Lora, Method
from zoo.finetune.method import Head as HeadOnly
from zoo.finetune.run import FineTuning, Labelled
from zoo.model import Model
from zoo.recurrent import RecurrentConfig, RecurrentNetwork
from zoo.tokenizers.text.byte import ByteTokenizer
from zoo.train.optimizer import AdamW
from zoo.transformer import heads as networks

__all__ = ["topics"]
LABELS = networks.Classification(labels=("a", "b"), pool=networks.Last(), dropout=0.0)


def model(cell: Literal["lstm", "gru", "rnn"] = "lstm") -> Model:
    """Return a small recurrent model of bytes."""
    torch.manual_seed(0)
    tokenizer = ByteTokenizer()
    config = RecurrentConfig(
        vocabulary=tokenizer.spec.vocabulary_size, context=48, embedding_width=12, width=32, depth=2, cell=cell
    )
    return Model(build_network(config), tokenizer, card={"name": "small"})


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("layer", [None, 0, 1, 2])
def test_a_head_reads_any_layer(cell: Literal["lstm", "gru", "rnn"], layer: int | None) -> None:
    """Of rows of unequal lengths, the last real position; the embedding is narrower than the layers."""
    network = model(cell).network
    ids, lengths = torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2])
    before = network(ids)
    grown = with_head(network, replace(LABELS, layer=layer), seed=1).eval()
    assert isinstance(grown, RecurrentNetwork)
    assert grown.labels == ("a", "b")
    assert torch.equal(grown(ids), before)
    assert grown.classifier is not None
    state = list(grown.features(ids, lengths=lengths))[2 if layer is None else layer]
    wanted = grown.classifier.output(torch.stack([state[0, 2], state[1, 1]]))
    logits, hidden = grown.judge(ids, lengths=lengths, whole=True)
    assert torch.equal(logits, wanted)
    assert hidden is not None
    assert torch.equal(hidden, grown.hidden(ids, lengths=lengths))
    assert grown.judge(ids)[1] is None
    again = with_head(grown, replace(LABELS, layer=layer), seed=2)
    assert torch.equal(again.state_dict()["classifier.output.weight"], grown.classifier.output.weight)
    mean = with_head(grown, replace(LABELS, layer=layer, pool=networks.Mean()), seed=2).eval()  # and looks elsewhere
    state = list(grown.features(ids))[2 if layer is None else layer]
    assert torch.allclose(mean.judge(ids)[0], grown.classifier.output(state.mean(dim=1)), atol=1e-6)
    other = with_head(grown, replace(LABELS, layer=layer, labels=("a", "c")), seed=2)
    assert not torch.equal(other.state_dict()["classifier.output.weight"], grown.classifier.output.weight)


def test_what_a_head_cannot_be() -> None:
    with pytest.raises(ZooError, match=r"^layer must lie in 0 to 2"):
        with_head(model().network, replace(LABELS, layer=3))
    with pytest.raises(ZooError, match="no head that classifies"):
        model().network.judge(torch.tensor([[1]]))
    with pytest.raises(ZooError, match="no head that classifies"):
        model().classify(["text"])


@pytest.mark.parametrize(
    ("method", "learns"), [(Full(), "embedding"), (HeadOnly(), "classifier"), (Last(blocks=1), "layers.1")]
)
def test_ways_to_learn(tmp_path: Path, topics: Path, method: Method, learns: str) -> None:
    out = tmp_path / "out"
    course = Course(steps=150, learning_rate=1e-2, evaluate_every=50)
    metrics = tune(model(), topics, Classification(pool="mean"), out, method=method, train=course)
    assert isinstance(method, Last) or metrics["accuracy"] >= 0.9  # what a random layer hears is hardly different
    base, tuned = (load_file(folder / "model.safetensors") for folder in (tmp_path / "out-base", out))
    changed = {name for name in base if not torch.equal(base[name], tuned[name])}
    assert isinstance(method, HeadOnly) or any(name.startswith(learns) for name in changed)
    assert isinstance(method, Full) or all(name.startswith((learns, "output")) for name in changed)
    again = zoo.load(out)
    assert again.head == "classification"
    assert again.classify(["old ship", "new king"])[0].label == "sea"
    assert again.config.vocabulary == model().config.vocabulary  # no ids of its own


def test_heads_of_every_kind(tmp_path: Path) -> None:
    rows = [f"{'xy'[n % 2]}z,{'xy'[n // 2 % 2]}z,{('one', 'other')[n // 2 % 2]}" for n in range(132)]
    pairs = write(tmp_path / "pairs.csv", ["text,text_b,label", *rows])
    choices = write(tmp_path / "choices.csv", ["text,choices,label", *["which,good|bad,0", "which,bad|good,1"] * 44])
    several = write(tmp_path / "several.csv", ["text,label", *["aa,one|two", "bb,two"] * 44])
    slow = Course(steps=400, learning_rate=1e-2, evaluate_every=100)
    for name, path, head, course in (
        ("pair", pairs, Pair(), slow),
        ("both", pairs, Pair(symmetric=True), FAST),
        ("choice", choices, MultipleChoice(), slow),
        ("several", several, MultiLabel(), slow),
    ):
        kind: Head = head
        metrics = tune(model(), path, kind, tmp_path / name, train=course)
        assert name == "both" or metrics["accuracy"] == 1.0, name
    assert zoo.load(tmp_path / "both").card["both_orders"] is True
    chosen = zoo.load(tmp_path / "choice").classify([TextRow(text="which", choices=("bad", "good"))])
    assert chosen[0].label == "good"


def test_answers_in_passages(tmp_path: Path) -> None:
    paragraphs = [
        {
            "context": f"{'ab' * (n % 3)} X{n % 5} cd",
            "qas": [
                {"id": str(n), "question": "which", "answers": [{"text": f"X{n % 5}", "answer_start": 2 * (n % 3) + 1}]}
            ],
        }
        for n in range(66)
    ]
    (tmp_path / "squad.json").write_text(json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}))
    slow = Course(steps=400, learning_rate=1e-2, evaluate_every=100)
    assert tune(model(), tmp_path / "squad.json", Span(), tmp_path / "span", train=slow)["f1"] >= 0.9
    assert zoo.load(tmp_path / "span").classify([("which", "abab X3 cd")])[0].label == "X3"


def test_from_scratch_and_what_is_refused(tmp_path: Path, topics: Path) -> None:
    model().save(tmp_path / "base")
    run = FineTuning(
        checkpoint=str(tmp_path / "base"),
        data=Labelled(path=str(topics)),
        out=tmp_path / "out",
        head=Classification(),
        fresh=True,
        device="cpu",
    )
    drawn, other = (replace(run, seed=seed).prepare().model.network.state_dict() for seed in (5, 6))
    known = model().network.state_dict()
    for name in ("embedding.weight", "layers.0.weight_hh_l0", "output.weight"):
        assert not torch.equal(drawn[name], known[name])
        assert not torch.equal(drawn[name], other[name])
    for change, message in (
        (replace(run, method=Lora()), "lora changes linear layers, and a recurrent network has none"),
        (replace(run, head=Classification(ids="own")), "ids=own: needs a causal transformer"),
        (replace(run, head=Classification(pool="first")), "has seen nothing"),
        (replace(run, head=Span(), data=Labelled(path=str(topics))), "json"),
    ):
        with pytest.raises(ZooError, match=message):
            change.prepare()


def test_layers_learn_at_rates_of_their_own() -> None:
    ((part, names),) = AdamW(layer_decay=0.5).build(with_head(model().network, LABELS)).parts
    scales = dict(zip(names, [group["scale"] for group in part.param_groups for _ in group["params"]], strict=True))
    found = {name.split(".w")[0].split(".b")[0]: scale for name, scale in scales.items()}
    assert found == {"classifier.output": 1, "output": 1, "layers.1": 0.5, "layers.0": 0.25, "embedding": 0.125}
