"""Fault 28: labels that want to be files somewhere else, with the verbs that read and write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.architecture import build_network
from zoo.cli.main import main
from zoo.model import Model
from zoo.tokenizers.text.byte import ByteTokenizer
from zoo.transformer.config import TransformerConfig

LEARN = ("head=classification", "train.steps=3", "train.learning_rate=3e-3", "threads=1", "generative=0")
HOSTILE = ("../outside", "/absolute", "CON", "x" * 300, "two\nlines", "<script>alert(1)</script>")


@pytest.mark.parametrize("label", HOSTILE)
def test_labels_never_become_paths(
    label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> Any:
        assert main([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    torch.manual_seed(0)
    tokenizer = ByteTokenizer()
    config = TransformerConfig(vocabulary=tokenizer.spec.vocabulary_size, context=32, width=16, depth=1, heads=2)
    Model(build_network(config), tokenizer, card={"name": "texts"}).save("texts")
    rows = [json.dumps({"text": ("low", "high")[n % 2], "label": (label, "plain")[n % 2]}) for n in range(44)]
    Path("rows.jsonl").write_text("\n".join(rows) + "\n")
    document = run("finetune", "texts", "data.path=rows.jsonl", "out=run", *LEARN)
    assert label in [one["label"] for one in document["classes"]]
    said = run("classify", "run", "text=low")["rows"][0]
    assert set(said["probabilities"]) == {label, "plain"}
    assert main(["classify", "run", "text=low"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2  # nothing in a label breaks a line
    assert {path.name for path in inner.iterdir()} == {"texts", "rows.jsonl", "run"}
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]
    assert {path.name for path in Path("run").iterdir()} <= {
        ".lock", "manifest.json", "model.safetensors", "config.json", "recipe.yaml", "card.yaml", "tokenizer",
        "metrics.jsonl", "training", "report.json", "confusion.png",
    }  # fmt: skip
