"""``zoo convert``, ``zoo pull`` and ``zoo list`` of codecs; what OpenAI serves is served by this machine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

import zoo as library
from tests.cli.conftest import Zoo
from tests.web import UNREACHABLE, serving
from tests.weights.test_jukebox_codec import HPS, SMALL, codec_of, same, state
from zoo.weights.files import files_below

CARD = "name: mine\nmodality: music\nparameters: 123\nlicense: none of ours\nsource: {source}\nsha256: {sha256}\n"


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """Return Jukebox's file of a small codec."""
    path = tmp_path / "original" / "vqvae.pth.tar"
    path.parent.mkdir()
    torch.save({"model": state(codec_of(SMALL)), "hps": HPS}, path, _use_new_zipfile_serialization=False)
    return path


def test_the_original_into_ours_and_back(zoo: Zoo, original: Path, tmp_path: Path) -> None:
    done = zoo("convert", str(original), "out=ours", "to=zoo", "--json")
    parameters = sum(parameter.numel() for parameter in codec_of(SMALL).parameters())
    assert done.document == {"checkpoint": "ours", "format": "zoo", "dtype": "float32", "parameters": parameters}
    assert files_below(tmp_path / "ours") == [
        "card.yaml",
        "config.json",
        "manifest.json",
        "model.safetensors",
        "recipe.yaml",
    ]
    ours = library.load_codec(tmp_path / "ours", device="cpu")
    same(codec_of(SMALL), ours)
    assert ours.card["converted"] == f"zoo convert {original} out=ours to=zoo --json"
    assert ours.card["source"] == "Jukebox's own vqvae.pth.tar"
    assert zoo("convert", "ours", "out=theirs", "to=openai").out == "theirs\n"
    assert files_below(tmp_path / "theirs") == ["vqvae.pth.tar"]
    same(codec_of(SMALL), library.load_codec(tmp_path / "theirs", device="cpu"))
    assert zoo("convert", str(original), "out=theirs", "to=openai", "overwrite=true").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["to=huggingface"], "Hugging Face has no layout of codecs that any program still reads; use to=zoo"),
        (["dtype=bfloat16"], "dtype: a codec compares vectors in float32; leave dtype out"),
    ],
)
def test_what_a_codec_cannot_become(zoo: Zoo, original: Path, tmp_path: Path, words: list[str], message: str) -> None:
    done = zoo("convert", str(original), "out=there", *words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"zoo: error: {message}")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "there").exists()


def test_a_codec_writes_nothing(zoo: Zoo, original: Path) -> None:
    done = zoo("generate", str(original))
    assert done.code == 2
    assert "vqvae.pth.tar is a codec, which is a tokenizer and no model" in done.err
    assert done.err.count("\n") == 1


def test_codecs_are_listed(zoo: Zoo, original: Path) -> None:
    assert zoo("convert", str(original), "out=checkpoints/small").code == 0
    row = next(row for row in zoo("list", "checkpoints", "--json").document["checkpoints"] if row["name"] == "small")
    parameters = sum(parameter.numel() for parameter in codec_of(SMALL).parameters())
    assert (row["modality"], row["parameters"], row["path"]) == ("music", parameters, "checkpoints/small")
    assert "small" in zoo("list", "checkpoints").out


def card(home: Path, source: str, sha256: str = "null") -> None:
    (home / "checkpoints" / "mine").mkdir(parents=True)
    (home / "checkpoints" / "mine" / "card.yaml").write_text(CARD.format(source=source, sha256=sha256))


@pytest.mark.parametrize("stated", [False, True])
def test_pull_by_a_card_with_a_link(zoo: Zoo, original: Path, tmp_path: Path, zoo_home: Path, stated: bool) -> None:
    content = original.read_bytes()
    with serving({"/models/vqvae.pth.tar": content}) as server:
        sha256 = hashlib.sha256(content).hexdigest() if stated else "null"
        card(tmp_path, f"{server.url}/models/vqvae.pth.tar", sha256)
        row = next(row for row in zoo("list", "--json").document["checkpoints"] if row["name"] == "mine")
        assert (row["state"], row["parameters"], row["path"]) == ("not here: zoo pull mine", 123, None)
        document = zoo("pull", "mine", "--json").document
        assert document["checkpoint"] == str(zoo_home / "checkpoints" / "mine")
        assert document["fetched"] is True
        assert zoo("pull", "mine", "--json").document["fetched"] is False
        assert server.requests == ["/models/vqvae.pth.tar"]
    codec = library.load_codec("mine", device="cpu")
    same(codec_of(SMALL), codec)
    assert codec.card["license"] == "none of ours"
    assert codec.card["source"].endswith("/models/vqvae.pth.tar")


def test_the_first_use_fetches(zoo: Zoo, original: Path, tmp_path: Path, zoo_home: Path) -> None:
    with serving({"/vqvae.pth.tar": original.read_bytes()}) as server:
        card(tmp_path, f"{server.url}/vqvae.pth.tar")
        same(codec_of(SMALL), library.load_codec("mine", device="cpu"))
    same(codec_of(SMALL), library.load_codec("mine", device="cpu"))  # from now on without the server
    assert files_below(zoo_home / "downloads") == ["mine/vqvae.pth.tar"]


@pytest.mark.parametrize(
    ("path", "sha256", "message"),
    [
        ("/vqvae.pth.tar", "0" * 64, "its sha256 is"),
        ("/vqvae.pth.tar", "12", "must be 64 lower-case hex digits"),
        ("/vqvae.pth.tar?short", "null", "cannot fetch"),
        ("/absent.pth.tar", "null", "(Not Found)"),
        ("/page.pth.tar", "null", "does not serve what its card says"),
        (None, "null", "cannot fetch"),
    ],
)
def test_links_that_do_not_serve(
    zoo: Zoo, original: Path, tmp_path: Path, zoo_home: Path, path: str | None, sha256: str, message: str
) -> None:
    files = {"/vqvae.pth.tar": original.read_bytes(), "/page.pth.tar": b"<html>gone</html>"}
    with serving(files) as server:
        card(
            tmp_path,
            f"{server.url}{path}" if path else f"{UNREACHABLE}/vqvae.pth.tar",
            f"'{sha256}'" if sha256 != "null" else sha256,
        )
        done = zoo("pull", "mine")
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not (zoo_home / "checkpoints").exists()
    assert files_below(zoo_home) == []


def test_the_released_card_is_complete(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the codec that our default settings are, and its licence."""
    root = Path(__file__).resolve().parents[2]
    monkeypatch.chdir(root)
    row = next(row for row in zoo("list", "--json").document["checkpoints"] if row["name"] == "jukebox-vqvae")
    assert row["parameters"] == 1_485_763
    assert "Noncommercial" in row["license"]
    assert json.dumps(row["metrics"]).count("spectral_convergence_db") == 3
