"""A small trained checkpoint and a quick way to run command lines, for the tests of the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from zoo.cli.main import main


@dataclass(frozen=True)
class Done:
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


Zoo = Callable[..., Done]


@pytest.fixture
def zoo(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zoo:
    """Run ``zoo`` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Done:
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of 12 kB of plain text."""
    lines = [f"{number} green bottles hanging on the wall, {number * 7 % 91} of them fall.\n" for number in range(220)]
    path = tmp_path_factory.mktemp("text") / "bottles, {a=b} 'x'.txt"  # a name that no grammar may trip over
    path.write_text("".join(lines))
    return path


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> Path:
    """Return a checkpoint of a tiny character model."""
    out = tmp_path_factory.mktemp("checkpoint") / "bottles"
    words = ["train", "text/file", "size=tiny", "tokenizer=byte", f"data.path={text_file}", f"out={out}"]
    assert main([*words, "train.steps=20", "train.evaluate_every=0"]) == 0
    return out
