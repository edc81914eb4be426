"""Fault 26, the part of recipes and listing: nothing that a recipe, a word or a checkpoint says is imported or run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zoo.cli.main import main
from zoo.errors import ZooError
from zoo.recipe import build, compose

WORDS = {
    "target in a section": {"model._target_": "os.system"},
    "target in data": {"data": "{_target_: os.system, command: 'touch marker'}"},
    "target in a list": {"model.patterns": "[{_target_: os.system, command: 'touch marker'}]"},
    "partial": {"train.schedule": "{_target_: functools.partial, _partial_: true}"},
    "arguments": {"train._args_": "[touch marker]"},
    "convert": {"train._convert_": "all"},
    "recursive": {"train._recursive_": "true"},
    "environment": {"train.steps": "${oc.env:HOME}"},
    "environment with default": {"train.steps": "${oc.env:NOTHING,5}"},
    "decoded environment": {"train.steps": "${oc.decode:'5'}"},
    "resolver": {"train.dtype": "${hydra:runtime.cwd}"},
    "resolver in a list": {"model.patterns": "['${oc.env:HOME}']"},
    "resolver as a key": {"data.columns": "{'${oc.env:HOME}': x}"},
    "resolver made of names": {"train.dtype": "oc.env", "train.optimizer": "${${train.dtype}:HOME}"},
    "hydra's own settings": {"hydra.job.chdir": "true"},
    "hydra's launcher": {"hydra/launcher": "joblib"},
    "search path": {"hydra.searchpath": "[file:///elsewhere]"},
    "defaults": {"defaults": "[/base/text]"},
    "a recipe outside": {"tokenizer": "../../../etc/passwd"},
    "a tokenizer by class": {"tokenizer.type": "zoo.tokenizers.text.settings.Byte"},
}


@pytest.mark.parametrize("case", WORDS)
def test_hostile_words_are_refused(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZooError) as caught:
        build(compose("text/file", WORDS[case]))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


CARDS = (
    "!!python/object/apply:os.system ['touch marker']",
    "license: !!python/object/apply:os.system ['touch marker']",
    "license: !!python/name:os.system",
    "license: {_target_: os.system, command: touch marker}",
    "license: ${oc.env:HOME}",
    "metrics: {loss: !!python/object/new:os.system ['touch marker']}",
    "a: &a [x, x, x]\nb: &b [*a, *a, *a]\nmetrics: {loss: *b}",
)


@pytest.mark.parametrize("card", CARDS)
def test_listing_a_hostile_checkpoint_runs_nothing(
    card: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/secret-home")
    folder = tmp_path / "checkpoints" / "bad"
    folder.mkdir(parents=True)
    (folder / "card.yaml").write_text(card)
    hostile = {"format": "zoo", "parameters": {"_target_": "os.system"}, "modality": ["touch marker"]}
    (folder / "config.json").write_text(json.dumps(hostile))
    assert main(["list", "checkpoints", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["checkpoints"][0]
    assert (row["name"], row["parameters"], row["modality"], row["metrics"]) == ("bad", None, None, {})
    assert "secret" not in json.dumps(row)
    assert not list(tmp_path.rglob("marker"))
