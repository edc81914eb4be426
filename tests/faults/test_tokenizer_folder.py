"""Faults 12 and 26 for tokenizers: a folder that is not what it says, or that asks for more, is refused in one line."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tokenizers.samples import CORPUS
from zoo.errors import ZooError
from zoo.tokenizers.registry import Bpe, Char, Word, Wordpiece, load

MARKER = "zoo-was-here"
COMMAND = f"touch {MARKER}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a saved character tokenizer; whatever runs by mistake leaves a marker in it."""
    monkeypatch.chdir(tmp_path)
    Char().fit([CORPUS]).save(tmp_path)
    return tmp_path


def refused(folder: Path) -> str:
    modules = set(sys.modules)
    with pytest.raises(ZooError) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    assert not (folder / MARKER).exists()
    assert not any(name.startswith(("antigravity", "this", "os.system")) for name in set(sys.modules) - modules)
    return str(caught.value)


HOSTILE: list[tuple[dict[str, Any], str]] = [
    ({"_target_": "os.system", "command": COMMAND}, "_target_"),
    ({"_target_": "os.system", "_args_": [COMMAND]}, "_target_"),
    ({"type": "os.system"}, "unknown tokenizer type 'os.system'"),
    ({"type": {"_target_": "os.system", "command": COMMAND}}, "type: expected text"),
    ({"type": "builtins.eval"}, "unknown tokenizer type"),
    ({"type": "antigravity"}, "unknown tokenizer type"),
    ({"type": "zoo.tokenizers.text.char"}, "unknown tokenizer type"),
    ({"type": "CharTokenizer"}, "unknown tokenizer type"),
    ({"type": "__class__"}, "unknown tokenizer type"),
    ({"type": "../../etc/passwd"}, "unknown tokenizer type"),
    ({"type": ""}, "unknown tokenizer type"),
    ({"type": None}, "type: expected text"),
    ({"type": ["char"]}, "type: expected text"),
    ({"type": "${oc.env:HOME}"}, "unknown tokenizer type"),
    ({"fingerprint": f"$({COMMAND})"}, "fingerprint"),
    ({"fingerprint": {"_target_": "os.system"}}, "fingerprint: expected text"),
    ({"vocabulary_size": {"_target_": "os.system"}}, "vocabulary_size: expected a whole number"),
    ({"vocabulary_size": f"!!python/object/apply:os.system ['{COMMAND}']"}, "vocabulary_size"),
    ({"modality": "smell"}, "modality"),
    ({"shape": "__import__('os').system"}, "shape"),
    ({"__reduce__": ["os.system", COMMAND]}, "__reduce__"),
]


@pytest.mark.parametrize(("change", "message"), HOSTILE)
def test_a_hostile_spec_runs_nothing(folder: Path, change: dict[str, Any], message: str) -> None:
    stated = json.loads((folder / "spec.json").read_text())
    (folder / "spec.json").write_text(json.dumps(stated | change))
    assert message in refused(folder)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "null",
        "[]",
        '"char"',
        "{",
        "[" * 100_000,
        '{"vocabulary_size": 1' + "0" * 5000 + "}",
        "cos\nsystem\n(S'x'\ntR.",
    ],
)
def test_a_spec_that_is_no_spec(folder: Path, content: str) -> None:
    (folder / "spec.json").write_text(content)
    assert "spec.json" in refused(folder)


def test_files_that_are_missing_or_no_text(folder: Path) -> None:
    (folder / "alphabet.json").write_bytes(b"\xff\x00")
    assert "not UTF-8" in refused(folder)
    (folder / "alphabet.json").unlink()
    assert "alphabet.json does not exist" in refused(folder)
    (folder / "spec.json").unlink()
    assert "spec.json does not exist" in refused(folder)
    assert "spec.json" in refused(folder / "nowhere")


@pytest.mark.parametrize("file", ["alphabet.json", "spec.json"])
@pytest.mark.skipif(os.name != "posix", reason="a folder in a file's place")
def test_a_folder_in_place_of_a_file(folder: Path, file: str) -> None:
    (folder / file).unlink()
    (folder / file).mkdir()
    assert file in refused(folder)


@pytest.mark.parametrize(
    ("settings", "file", "old", "new"),
    [
        (Char(), "alphabet.json", "mno", "mon"),
        (Word(), "words.json", '" cat"', '" dog"'),
        (Word(), "words.json", '"split": "words"', '"split": "spaces"'),
        (Bpe(vocabulary=300), "vocab.json", '"!": 0, "\\"": 1', '"!": 1, "\\"": 0'),
        (Bpe(vocabulary=300), "merges.txt", "t he\n", ""),
        (Wordpiece(vocabulary=60), "vocab.txt", "[PAD]\n[UNK]\n", "[UNK]\n[PAD]\n"),
        (Wordpiece(vocabulary=60), "tokenizer_config.json", "true", "false"),
    ],
)
def test_changed_files_do_not_match_the_fingerprint(
    tmp_path: Path, settings: Char | Word | Bpe | Wordpiece, file: str, old: str, new: str
) -> None:
    settings.fit([CORPUS]).save(tmp_path)
    content = (tmp_path / file).read_text(encoding="utf-8")
    assert old in content
    (tmp_path / file).write_text(content.replace(old, new, 1), encoding="utf-8")
    assert "do not match the fingerprint" in refused(tmp_path)


@pytest.mark.parametrize("change", [{"vocabulary_size": 1}, {"lossless": False}, {"end_id": 0}, {"shape": [1]}])
def test_a_spec_that_says_something_else_than_the_files(folder: Path, change: dict[str, Any]) -> None:
    stated = json.loads((folder / "spec.json").read_text())
    (folder / "spec.json").write_text(json.dumps(stated | change))
    assert "does not describe the tokenizer beside it" in refused(folder)


def test_another_type_with_the_same_files_is_refused(folder: Path) -> None:
    stated = json.loads((folder / "spec.json").read_text())
    for other in ("byte", "digits", "bpe", "word", "wordpiece", "gpt2", "gpt1"):
        (folder / "spec.json").write_text(json.dumps(stated | {"type": other}))
        assert refused(folder)
