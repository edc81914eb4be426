"""``zoo list``: complete, plain, and safe with files from strangers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Zoo
from zoo.cli.terminal import count
from zoo.recipe import describe, names


def write_checkpoint(folder: Path, card: str, config: object = None) -> None:
    folder.mkdir(parents=True)
    (folder / "card.yaml").write_text(card)
    stated = {"format": "zoo", "format_version": 1, "modality": "text", "parameters": 5} if config is None else config
    (folder / "config.json").write_text(json.dumps(stated))


def test_json_has_the_contract_s_keys(zoo: Zoo, tmp_path: Path, zoo_home: Path) -> None:
    write_checkpoint(tmp_path / "checkpoints" / "mine", "license: MIT\nmodality: text\nmetrics: {loss: 1.5}\n")
    write_checkpoint(zoo_home / "checkpoints" / "pulled", "license: CC0-1.0\n")
    write_checkpoint(zoo_home / "checkpoints" / "mine", "license: hidden by the nearer one\n")
    document = zoo("list", "--json").document
    assert list(document) == ["recipes", "checkpoints", "tokenizers"]
    assert [row["name"] for row in document["recipes"]] == names()
    for row in document["recipes"]:
        assert {"name", "modality", "tokenizer", "parameters", "paper"} <= row.keys()
        assert row["parameters"] > 1000
        assert row["sizes"]["tiny"] < 300_000
    assert [(row["name"], row["license"]) for row in document["checkpoints"]] == [
        ("mine", "MIT"),
        ("pulled", "CC0-1.0"),
    ]
    assert document["checkpoints"][0] == {
        "name": "mine",
        "path": "checkpoints/mine",
        "modality": "text",
        "parameters": 5,
        "license": "MIT",
        "metrics": {"loss": 1.5},
        "step": None,
        "state": "here",
    }
    assert {"byte", "char", "word", "bpe", "wordpiece", "digits"} <= {row["name"] for row in document["tokenizers"]}


def test_a_card_alone_is_shown_as_not_here(zoo: Zoo, tmp_path: Path, zoo_home: Path) -> None:
    for name in ("far", "near"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        card = (
            f"name: {name}\nsource: someone/{name}\nlicense: MIT\nmodality: text\nparameters: 7\nmetrics: {{loss: 2}}\n"
        )
        (tmp_path / "checkpoints" / name / "card.yaml").write_text(card)
    write_checkpoint(zoo_home / "checkpoints" / "near", "license: MIT\n")
    near, far = zoo("list", "checkpoints", "--json").document["checkpoints"]
    assert (near["name"], near["path"], near["state"]) == ("near", str(zoo_home / "checkpoints" / "near"), "here")
    assert far == {
        "name": "far",
        "path": None,
        "modality": "text",
        "parameters": 7,
        "license": "MIT",
        "metrics": {"loss": 2},
        "step": None,
        "state": "not here: zoo pull far",
    }
    assert "not here: zoo pull far" in zoo("list", "checkpoints").out


def test_one_kind_only(zoo: Zoo) -> None:
    assert list(zoo("list", "tokenizers", "--json").document) == ["tokenizers"]
    assert "none here yet" in zoo("list", "checkpoints").out


def test_tables_fit_the_terminal(zoo: Zoo, monkeypatch: object) -> None:
    for columns in ("60", "80", "120"):
        os.environ["COLUMNS"] = columns
        try:
            lines = zoo("list").out.splitlines()
        finally:
            del os.environ["COLUMNS"]
        assert max(map(len, lines)) <= int(columns)
        assert sum(line.startswith(("text/", "image/", "music/")) for line in lines) == len(names())


def test_recipes_alone_are_shown_with_their_sizes(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {name: " ".join(f"{size} {count(number)}," for size, number in _sizes(name)).strip(",") for name in names()}
    for columns in ("60", "80", "120"):
        monkeypatch.setenv("COLUMNS", columns)
        shown = zoo("list", "recipes").out
        assert max(map(len, shown.splitlines())) <= int(columns)
        for row in re.split(r"^(?=text/)", shown, flags=re.MULTILINE)[1:]:
            assert " ".join(row.partition("size=")[2].split()) == sizes[row.split()[0]]
    assert sizes["text/gpt3"].endswith("13b 12.85 B, 175b 174.60 B, laptop 5.92 M, tiny 43,904")
    assert "size=" not in zoo("list").out


def _sizes(name: str) -> list[tuple[str, int]]:
    return list(describe(name)["sizes"].items())


def test_list_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from zoo.cli.main import main; main(['list']); "
        "assert not {'torch', 'rich', 'hydra'} & sys.modules.keys()"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_broken_and_strange_cards_are_shown_as_unknown(zoo: Zoo, tmp_path: Path) -> None:
    here = tmp_path / "checkpoints"
    write_checkpoint(here / "a-number", "7")
    write_checkpoint(here / "b-broken", "metrics: [")
    write_checkpoint(here / "c-list", "metrics: [1, 2]\nlicense: 5\n", ["no", "mapping"])
    write_checkpoint(here / "d-nan", "metrics: {loss: .nan, exact_match: 1.0, note: text}\n")
    write_checkpoint(here / "e-escape", 'license: "\\e[31mred"\nmodality: "te\\nxt"\n')
    rows = zoo("list", "checkpoints", "--json").document["checkpoints"]
    assert [row["name"] for row in rows] == ["a-number", "b-broken", "c-list", "d-nan", "e-escape"]
    assert [row["metrics"] for row in rows] == [{}, {}, {}, {"exact_match": 1.0}, {}]
    assert rows[2]["license"] is None
    shown = zoo("list", "checkpoints").out
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 6
