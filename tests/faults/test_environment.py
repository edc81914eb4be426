"""Fault 25: locale, names, home, time zone, hash seed and threads do not change what is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from zoo.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
TEXT = "".join(
    f"Zeile {number}: größer als {number * 13 % 17}, naïve façade – 日本 {number}.\n" for number in range(150)
)
PROMPT = "Zeile 7: grö"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with blanks and other alphabets in its name, and a checkpoint trained in it."""
    folder = tmp_path_factory.mktemp("Ünïcode und Leerzeichen 日本")
    (folder / "täxt, {1}.txt").write_text(TEXT, encoding="utf-8")
    line = ["train", "text/file", "size=tiny", "tokenizer=char", f"data.path={folder / 'täxt, {1}.txt'}"]
    line += [f"out={folder / 'modèle 1'}", "train.steps=6", "train.evaluate_every=0", "device=cpu", "threads=1"]
    assert main(line) == 0
    return folder


def words(place: Path, threads: int = 1) -> list[str]:
    drawn = ["generate", str(place / "modèle 1"), f"prompt={PROMPT}", "max_new_tokens=24", "seed=5", "--json"]
    return [*drawn, "device=cpu", f"threads={threads}"]


def test_the_same_text_everywhere(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(words(place)) == 0
    expected = capfd.readouterr().out
    assert json.loads(expected)["samples"][0]["text"].startswith(PROMPT)
    read_only = place / "home"
    read_only.mkdir()
    read_only.chmod(0o500)
    environments = (
        {"LC_ALL": "C", "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "0", "HOME": str(read_only), "ZOO_HOME": ""},
        {"LANG": "C", "PYTHONIOENCODING": "ascii", "PYTHONHASHSEED": "4242", "HOME": "/nonexistent", "ZOO_HOME": ""},
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    for environment in environments:
        variables = {**kept, "PYTHONPATH": str(ROOT), **environment}
        done = subprocess.run([sys.executable, "-m", "zoo", *words(place)], env=variables, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        assert done.stdout.decode("utf-8") == expected, environment


def test_other_numbers_of_threads_agree(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Bit-equal for fixed threads; another number may round a logit differently, which changes no draw here."""
    before = torch.get_num_threads()
    try:
        texts = []
        for threads in (1, 2, 2, 3):
            assert main(words(place, threads)) == 0
            assert torch.get_num_threads() == threads
            texts.append(capfd.readouterr().out)
    finally:
        torch.set_num_threads(before)
    assert len(set(texts)) == 1


def test_without_a_network_one_line_names_data_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.chdir(tmp_path)
    assert main(["train", "text/shakespeare_char", "size=tiny"]) == 2
    err = capsys.readouterr().err
    assert "data.path" in err
    assert sum(line.startswith("zoo: error: ") for line in err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_fails_before_the_first_step(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    line = ["train", "text/file", "size=tiny", f"data.path={place / 'täxt, {1}.txt'}", f"out={blocker / 'run'}"]
    assert main(line) == 2
    assert str(blocker) in capsys.readouterr().err
