"""Fault 26: settings in a checkpoint that would make a settings library run code or read the environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.train import small
from zoo.errors import ZooError
from zoo.weights.files import MANIFEST, digest, files_below
from zoo.weights.folder import read, write
from zoo.weights.tensors import named_weights

MARKER = "marker"
RECIPES = {
    "target": "model: {{_target_: os.system, command: 'touch {0}'}}",
    "target below a list": 'data: [a, {{_target_: builtins.eval, _args_: [\'open("{0}", "w")\']}}]',
    "target at the top": "_target_: subprocess.run\nargs: [touch, '{0}']",
    "partial": "train: {{_target_: functools.partial, _partial_: true, _args_: [os.mkdir, '{0}']}}",
    "arguments only": "train: {{_args_: ['{0}']}}",
    "tag: apply": "a: !!python/object/apply:os.system ['touch {0}']",
    "tag: new": "a: !!python/object/new:os.system ['touch {0}']",
    "tag: name": "a: !!python/name:os.system",
    "tag: module": "a: !!python/module:os",
    "tag: own": "a: !Path {0}",
    "tag: tuple": "a: !!python/tuple [1]",
    "environment": "name: ${{oc.env:HOME}}",
    "environment with default": "name: ${{oc.env:HOME,x}}",
    "environment, nested": "data: [{{path: '/${{ oc.env:HOME }}/x'}}]",
    "environment in a key": "data: {{'${{oc.env:HOME}}': 1}}",
    "name made of names": "k: oc.env\nname: ${{${{k}}:HOME}}",
    "resolver": "name: ${{hydra:runtime.cwd}}",
    "aliases": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
    "no mapping": "- {0}",
    "no YAML": "a: [",
}


def forge(folder: Path, name: str, text: str) -> None:
    """Put ``text`` into a checkpoint as an attacker would: with a manifest that agrees."""
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    hashes = {name: digest(folder / name) for name in files_below(folder) if name != MANIFEST}
    (folder / MANIFEST).write_text(json.dumps(hashes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "checkpoint", small.contents(), named_weights(small.network()))
    return tmp_path / "checkpoint"


def refused(folder: Path, name: str, text: str) -> None:
    marker = folder.parent / MARKER
    forge(folder, name, text.format(marker))
    with pytest.raises(ZooError) as error:
        read(folder)
    assert Path(name).name in str(error.value)
    assert "\n" not in str(error.value)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["recipe.yaml", "card.yaml"])
@pytest.mark.parametrize("case", RECIPES)
def test_hostile_yaml_is_refused(folder: Path, name: str, case: str) -> None:
    refused(folder, name, RECIPES[case])


@pytest.mark.parametrize("name", ["config.json", "tokenizer/spec.json"])
@pytest.mark.parametrize(
    "extra",
    [
        {"_target_": "os.system", "command": "false"},
        {"network": {"type": "transformer", "patterns": [{"_target_": "os.system"}]}},
        {"type": "${oc.env:HOME}"},
    ],
)
def test_hostile_json_is_refused(folder: Path, name: str, extra: dict[str, object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    forge(folder, name, json.dumps({**config, **extra}))
    with pytest.raises(ZooError, match="is refused"):
        read(folder)


def test_what_people_write_stays_as_it_is(folder: Path) -> None:
    text = "prompt: 'O God, {O} God! $5 ${x} 50% !'\npath: '/a b/${c}.txt'\n"
    forge(folder, "recipe.yaml", text)
    assert read(folder).recipe == {"prompt": "O God, {O} God! $5 ${x} 50% !", "path": "/a b/${c}.txt"}


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b"])
def test_a_manifest_that_points_out_of_its_folder_is_refused(folder: Path, name: str) -> None:
    (folder / MANIFEST).write_text(json.dumps({name: "0" * 64}))
    with pytest.raises(ZooError, match=r"is no file of this folder"):
        read(folder)
