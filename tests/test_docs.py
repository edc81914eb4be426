"""What the guides say is so: recipes and sizes exist, and the numbers of parameters are theirs."""

from __future__ import annotations

import dataclasses
import importlib
import re
import shlex
from pathlib import Path

import pytest

from zoo.cli.main import VERBS
from zoo.recipe import compose, names

ROOT = Path(__file__).resolve().parents[1]
GUIDES = [
    "README.md", "CONTRIBUTING.md", "checkpoints/README.md",
    *(f"docs/{name}.md" for name in ("text", "images", "music", "finetune", "evaluate", "weights")),
]  # fmt: skip
ROW = re.compile(r"^\| `(\w+/\w+)` \| [^|]+ \| ([^|]+) \| [^|]+ \|", re.MULTILINE)


def parameters(cell: str) -> dict[str | None, float]:
    """Return size -> number of ``0.80M, 10.7M with `size=gpu`, 1.3B `xl` ``."""
    found = re.findall(r"([\d.,]*\d)([MB]?)\b(?:(?: with)? `(?:size=)?([\w.-]+)`)?", cell)
    unit = {"": 1.0, "M": 1e6, "B": 1e9}
    return {size or None: float(number.replace(",", "")) * unit[letter] for number, letter, size in found}


def test_the_table_lists_every_recipe() -> None:
    assert sorted(name for name, _ in ROW.findall((ROOT / "README.md").read_text())) == names()


@pytest.mark.parametrize("name", names())
def test_the_table_has_the_recipes_numbers(name: str) -> None:
    cells = dict(ROW.findall((ROOT / "README.md").read_text()))
    stated = parameters(cells[name])
    assert None in stated
    for size, number in stated.items():
        assert compose(name, size=size)["parameters"] == pytest.approx(number, rel=0.01)


def commands() -> list[str]:
    lines = [line.strip().removeprefix("$ ") for guide in GUIDES for line in (ROOT / guide).read_text().splitlines()]
    return [line for line in lines if line.startswith(("zoo train", "zoo compare"))]


@pytest.mark.parametrize("command", commands())
def test_commands_name_recipes_and_settings_that_exist(command: str) -> None:
    _, _, name, *words = shlex.split(command, comments=True)
    pairs = dict(word.split("=", 1) for word in words)
    size = pairs.pop("size", None)
    recipe = {key: value for key, value in pairs.items() if "." in key}
    assert compose(name, recipe, size=size)["name"] == name
    for tokenizer in filter(None, pairs.get("tokenizer", "").split(",")):
        assert compose(name, {"tokenizer": tokenizer}, size=size)["tokenizer"]["type"] == tokenizer


def lines() -> list[str]:
    """Every command of a guide, whatever its verb."""
    found = [line.strip().removeprefix("$ ") for guide in GUIDES for line in (ROOT / guide).read_text().splitlines()]
    return sorted({line for line in found if re.match(rf"zoo ({'|'.join(VERBS)}) ", line) and "…" not in line})


def test_commands_have_keys_that_their_verbs_know() -> None:
    assert len(lines()) > 100
    for line in lines():
        _, name, *words = shlex.split(line, comments=True)
        verb = importlib.import_module(f"zoo.cli.{name}").VERB
        known = {field.name for field in dataclasses.fields(verb.keys)} | {"--json", "--help", "--debug"}
        for word in words:
            key = word.split("=", 1)[0]
            if ("=" in word and "." not in key) or word.startswith("--"):
                assert key in known or key in {"tokenizer", "size"}, line


@pytest.mark.parametrize("guide", GUIDES)
def test_links_lead_somewhere(guide: str) -> None:
    text = (ROOT / guide).read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / guide).parent / target).exists(), target
