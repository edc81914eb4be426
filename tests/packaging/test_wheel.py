"""What gets installed is what is in the tree, however it is built, and it works away from the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, Run, copy_checkout

LINKED = {"zoo/tokenizers": "tokenizers", "zoo/recipes": "recipes"}
CODE = {".py", ".yaml"}
TEXT = "Hänschen klein ging allein in die weite Welt hinein. " * 60


def shipped() -> dict[str, Path]:
    """Return name in the wheel -> file, for every file of the three folders."""
    found = {}
    for folder in ("zoo", "tokenizers", "recipes"):
        for directory, _, names in os.walk(ROOT / folder):  # does not follow the symlinks
            for path in (Path(directory, name) for name in names):
                inside = path.relative_to(ROOT).as_posix()
                if "__pycache__" not in path.parts and not path.is_symlink():
                    found[inside if folder == "zoo" else f"zoo/{inside}"] = path
    return found


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}


def test_every_folder_is_listed_in_pyproject() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        setuptools = tomllib.load(file)["tool"]["setuptools"]
    folders = {Path(name).parent for name in shipped() if Path(name).suffix in CODE}
    folders |= {parent for folder in folders for parent in folder.parents} - {Path(".")}
    tree = {".".join(folder.parts) for folder in folders}
    assert set(setuptools["packages"]) == tree, "pyproject.toml: [tool.setuptools] packages differs from the folders"
    moved = {".".join(folder.parts): Path(*folder.parts[1:]).as_posix() for folder in folders if linked(folder)}
    assert setuptools["package-dir"] == moved


def linked(folder: Path) -> bool:
    """Say whether a folder of the wheel stands at the root of the checkout."""
    return any(folder.is_relative_to(link) for link in LINKED)


def test_links_are_links_in_this_checkout() -> None:
    for link, target in LINKED.items():
        path = ROOT / link
        kept = os.readlink(path) if path.is_symlink() else path.read_text()
        assert kept == f"../{target}"


@pytest.mark.parametrize("way", ["checkout", "without symlinks", "sdist"])
def test_wheel_holds_the_tree_and_nothing_else(wheels: dict[str, Path], way: str) -> None:
    assert contents(wheels[way]) == {name: path.read_bytes() for name, path in shipped().items()}


def test_installed_names(clean: Run, tmp_path: Path) -> None:
    code = (
        "from importlib.metadata import version; import tokenizers, zoo, zoo.tokenizers.base as ours;"
        "print(tokenizers.Tokenizer.__module__, ours.__file__, zoo.__version__ == version('tokenzoo'))"
    )
    done = clean("python", "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    theirs, ours, same_version = done.stdout.split()
    assert theirs == "tokenizers"
    assert Path(ours).parts[-4:] == ("site-packages", "zoo", "tokenizers", "base.py")
    assert ROOT not in Path(ours).parents
    assert same_version == "True"


def test_installed_command_lists_what_was_shipped(clean: Run, tmp_path: Path) -> None:
    done = clean("zoo", "list", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    names = {recipe["name"] for recipe in listed["recipes"]}
    assert {"text/adder", "text/shakespeare_char", "text/shakespeare_bpe", "text/fables_lstm", "text/file"} <= names
    assert {"byte", "char", "word", "bpe", "wordpiece", "digits"} <= {entry["name"] for entry in listed["tokenizers"]}
    assert listed["checkpoints"] == []


def test_installed_command_trains_and_generates(clean: Run, tmp_path: Path) -> None:
    (tmp_path / "song.txt").write_text(TEXT, encoding="utf-8")
    settings = ["size=tiny", "train.steps=3", "data.path=song.txt", "out=song", "device=cpu"]
    trained = clean("zoo", "train", "text/file", *settings, "--json", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout)["step"] == 3
    drawn = clean("zoo", "generate", "song", "prompt=Welt", "max_new_tokens=5", "device=cpu", "--json", cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    (sample,) = json.loads(drawn.stdout)["samples"]
    assert sample["prompt"] == "Welt"
    module = clean("python", "-m", "zoo", "list", "checkpoints", "--json", cwd=tmp_path)
    assert module.returncode == 0, module.stderr


def test_checkout_without_symlinks_runs(tmp_path: Path) -> None:
    plain = copy_checkout(tmp_path / "plain", symlinks=False)
    code = (
        "import tokenizers, zoo.tokenizers.base, zoo.tokenizers.registry as registry;"
        "print(tokenizers.Tokenizer.__module__, len(registry.names()) > 5, registry.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=plain, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    theirs, found, file = done.stdout.split(maxsplit=2)
    assert (theirs, found) == ("tokenizers", "True")
    assert Path(file.strip()) == plain / "tokenizers" / "registry.py"
    listed = subprocess.run([sys.executable, "-m", "zoo", "list", "--json"], cwd=plain, capture_output=True, text=True)
    assert listed.returncode == 0, listed.stderr
    assert "text/adder" in {recipe["name"] for recipe in json.loads(listed.stdout)["recipes"]}
