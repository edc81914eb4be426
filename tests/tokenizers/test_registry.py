"""Every tokenizer by name: settings, saving, loading."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tokenizers.samples import CORPUS, unpack_vocabulary
from zoo.errors import ZooError
from zoo.settings import build, to_mapping
from zoo.tokenizers.base import TextTokenizer
from zoo.tokenizers.registry import TokenizerSettings, load, names

NAMES = ["byte", "char", "word", "bpe", "gpt2", "gpt1", "wordpiece", "digits"]
IMAGE_NAMES = ["pixel_clusters", "gray_levels", "rgb_bytes", "image_vqvae"]
MUSIC_NAMES = ["mu_law", "vqvae", "encodec", "dac", "mimi"]


def fitted(name: str, folder: Path) -> TextTokenizer:
    """Return the tokenizer of that name; those with a vocabulary of their own read it from ``folder``."""
    settings: dict[str, object] = {"type": name}
    if name in ("gpt1", "gpt2"):
        (folder / name).mkdir()
        settings["path"] = str(unpack_vocabulary(name, folder / name))
    built = build(TokenizerSettings, settings, "tokenizer")
    return built.fit([CORPUS])


def test_names() -> None:
    by_modality = {"text": NAMES, "image": IMAGE_NAMES, "music": MUSIC_NAMES}
    assert names() == [(name, modality) for modality, own in by_modality.items() for name in own]


def test_listing_names_imports_no_torch() -> None:
    code = (
        "import sys, zoo.tokenizers.registry as registry; registry.names(); "
        "print([name for name in ('torch', 'tokenizers', 'numpy') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_tokenizer_is_the_same_again(name: str, tmp_path: Path) -> None:
    tokenizer = fitted(name, tmp_path)
    folder = tmp_path / "deep" / "saved"
    tokenizer.save(folder)
    stated = json.loads((folder / "spec.json").read_text())
    assert stated["type"] == tokenizer.spec.type == name
    assert len(stated["fingerprint"]) == 64
    text = "0123456789" if name == "digits" else CORPUS[:200]
    loaded = load(folder)
    assert type(loaded) is type(tokenizer)
    assert loaded.spec == tokenizer.spec
    assert loaded.encode(text).tolist() == tokenizer.encode(text).tolist()
    assert load(str(folder)).spec.fingerprint == stated["fingerprint"]
    again = tmp_path / "again"
    loaded.save(again)
    for path in folder.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes()


def test_fingerprints_differ(tmp_path: Path) -> None:
    prints = {name: fitted(name, tmp_path).spec.fingerprint for name in NAMES}
    assert len(set(prints.values())) == len(NAMES)
    for first, second in [
        ({"type": "char"}, {"type": "char", "unknown": "mark"}),
        ({"type": "bpe", "vocabulary": 260}, {"type": "bpe", "vocabulary": 261}),
        ({"type": "wordpiece", "vocabulary": 60}, {"type": "wordpiece", "vocabulary": 60, "lowercase": False}),
        ({"type": "word"}, {"type": "word", "split": "spaces"}),
    ]:
        one, two = (build(TokenizerSettings, settings, "tokenizer").fit([CORPUS]) for settings in (first, second))
        assert one.spec.fingerprint != two.spec.fingerprint


def test_settings_go_to_mappings_and_back() -> None:
    for name in NAMES + IMAGE_NAMES + MUSIC_NAMES:
        settings = build(TokenizerSettings, name, "tokenizer")
        assert to_mapping(settings)["type"] == name
        assert build(TokenizerSettings, to_mapping(settings), "tokenizer") == settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("bpee", "did you mean 'bpe'"),
        ({"type": "bpe", "vocabulary": 256}, "at least 257"),
        ({"type": "bpe", "vocab": 300}, "unknown setting 'tokenizer.vocab'"),
        ({"type": "bpe", "vocabulary": "many"}, "whole number"),
        ({"type": "wordpiece", "vocabulary": 5}, "at least 6"),
        ({"type": "char", "unknown": "drop"}, "choose one of: refuse, mark"),
        ({"type": "gpt2", "path": None, "_target_": "os.system"}, "unknown setting"),
    ],
)
def test_wrong_settings_get_one_line(settings: object, message: str) -> None:
    with pytest.raises(ZooError, match=message) as caught:
        build(TokenizerSettings, settings, "tokenizer")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["gpt1", "gpt2"])
def test_a_vocabulary_that_is_named_must_be_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="no byte-pair vocabulary here"):
        build(TokenizerSettings, {"type": name, "path": str(tmp_path / "nowhere")}, "tokenizer").fit([])
