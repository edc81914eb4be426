"""EnCodec, DAC and Mimi of transformers, tiny and with random weights, as tokenizers."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from zoo.data.records import Sound
from zoo.errors import ZooError
from zoo.settings import build
from zoo.tokenizers.audio.neural import NeuralTokenizer
from zoo.tokenizers.audio.waveform import Audio
from zoo.tokenizers.registry import TokenizerSettings, load

transformers = pytest.importorskip("transformers")
NAMES = ("encodec", "dac", "mimi")
RATE = 8_000
BOOKS = {"encodec": 4, "dac": 3, "mimi": 4}
HOPS = {"encodec": 8, "dac": 8, "mimi": 16}
SOUND = Audio((0.5 * np.sin(np.arange(4001) / 10)).astype(np.float32), RATE)


def network(name: str) -> Any:
    """Return a tiny codec with random weights and codebooks."""
    torch.manual_seed(0)
    made: dict[str, Callable[[], Any]] = {
        "encodec": lambda: transformers.EncodecModel(
            transformers.EncodecConfig(
                num_filters=4, hidden_size=16, upsampling_ratios=[4, 2], codebook_size=32, codebook_dim=16,
                sampling_rate=RATE, target_bandwidths=[5.0, 10.0, 20.0], num_lstm_layers=1,
            )
        ),
        "dac": lambda: transformers.DacModel(
            transformers.DacConfig(
                encoder_hidden_size=4, downsampling_ratios=[2, 4], decoder_hidden_size=32, n_codebooks=3,
                codebook_size=32, codebook_dim=4, sampling_rate=RATE,
            )
        ),
        "mimi": lambda: transformers.MimiModel(
            transformers.MimiConfig(
                num_filters=4, hidden_size=16, upsampling_ratios=[4, 2], codebook_size=32, codebook_dim=8,
                vector_quantization_hidden_dimension=8, num_quantizers=4, num_hidden_layers=1, num_attention_heads=2,
                num_key_value_heads=2, intermediate_size=32, sampling_rate=RATE, upsample_groups=16,
            )
        ),
    }  # fmt: skip
    model = made[name]().eval()
    random = torch.Generator().manual_seed(1)
    for key, buffer in model.named_buffers():  # codebooks are all zero before training
        if key.endswith(("embed", "embed_sum")):
            buffer.copy_(0.1 * torch.randn(buffer.shape, generator=random))
        elif key.endswith("cluster_usage"):
            buffer.fill_(1)
    return model


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {name: tmp_path_factory.mktemp(name) for name in NAMES}
    for name, folder in made.items():
        network(name).save_pretrained(folder)
    return made


def read(folders: dict[str, Path], name: str, **settings: object) -> NeuralTokenizer:
    chosen = {"type": name, "path": str(folders[name]), **settings}
    tokenizer = build(TokenizerSettings, chosen, "tokenizer").fit([])
    assert isinstance(tokenizer, NeuralTokenizer)
    return tokenizer


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layout", ["flattened", "delayed"])
def test_facts_and_round_trip(folders: dict[str, Path], name: str, layout: str) -> None:
    tokenizer = read(folders, name, books=2, layout=layout)
    spec, hop = tokenizer.spec, HOPS[name]
    assert (spec.type, spec.modality, spec.lossless) == (name, "music", False)
    assert spec.vocabulary_size == 2 * (32 if layout == "flattened" else 33)
    assert spec.tokens_per_second == RATE / hop * 2
    ids = tokenizer.encode(SOUND)
    steps = math.ceil(4001 / hop)
    assert len(ids) == 2 * (steps if layout == "flattened" else steps + 1) == tokenizer.count(4001 / RATE)
    decoded = tokenizer.decode(ids)
    assert decoded.rate == RATE
    assert len(decoded.samples) == steps * hop
    assert np.isfinite(decoded.samples).all()
    assert np.std(decoded.samples) > 0


@pytest.mark.parametrize("name", NAMES)
def test_codes_and_sound_are_those_of_transformers(folders: dict[str, Path], name: str) -> None:
    tokenizer, theirs = read(folders, name, books=3), network(name)
    samples = torch.from_numpy(SOUND.samples[:3200])[None, None]
    with torch.no_grad():
        if name == "encodec":
            codes = theirs.encode(samples, bandwidth=20.0).audio_codes[0, :, :3]
            sound = theirs.decode(codes[None], [None]).audio_values
        elif name == "dac":
            codes = theirs.encode(samples, n_quantizers=3).audio_codes
            sound = theirs.decode(audio_codes=codes).audio_values
        else:
            codes = theirs.encode(samples, num_quantizers=3).audio_codes
            sound = theirs.decode(codes).audio_values
    ids = tokenizer.encode(Audio(SOUND.samples[:3200], RATE))
    assert ids.tolist() == (codes[0].T + torch.arange(3) * 32).flatten().tolist()
    ours, sound = tokenizer.decode(ids).samples, sound.flatten()[:3200].clamp(-1, 1).numpy()
    assert len(ours) == 3200
    assert np.allclose(ours[: len(sound)], sound, atol=1e-6)
    assert len(sound) > 3150


@pytest.mark.parametrize("name", NAMES)
def test_fewer_books_are_the_first_ones(folders: dict[str, Path], name: str) -> None:
    whole, first = read(folders, name, books=None), read(folders, name, books=1)
    assert whole.books == BOOKS[name]
    codes = whole.layout.codes(whole.encode(SOUND))
    assert torch.equal(codes[:, :1], first.layout.codes(first.encode(SOUND)))
    assert whole.spec.fingerprint != first.spec.fingerprint


@pytest.mark.parametrize("layout", ["flattened", "delayed"])
def test_a_beginning_is_that_of_a_longer_sound(folders: dict[str, Path], layout: str) -> None:
    tokenizer = read(folders, "encodec", layout=layout)
    begun = tokenizer.begin(Audio(SOUND.samples[:2000], RATE))
    whole = tokenizer.encode(SOUND)
    assert len(begun) == 250 * 4
    same = 240 * 4  # the last steps hear the end, which a causal codec's padding changes
    assert torch.equal(begun[:same], whole[:same])


@pytest.mark.parametrize("name", NAMES)
def test_other_sounds(folders: dict[str, Path], name: str) -> None:
    tokenizer = read(folders, name, books=2)
    stereo = Sound(samples=np.zeros((44_100, 2), np.float32), rate=44_100)
    assert len(tokenizer.encode(stereo)) == tokenizer.count(1.0)
    assert len(tokenizer.encode(Audio(np.zeros(0, np.float32), RATE))) == 0
    assert len(tokenizer.decode(torch.empty(0, dtype=torch.int64)).samples) == 0
    assert len(tokenizer.encode(Audio(np.ones(1, np.float32), RATE))) == tokenizer.books


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded(folders: dict[str, Path], name: str, tmp_path: Path) -> None:
    tokenizer = read(folders, name, books=2, layout="delayed")
    tokenizer.save(tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert again.spec == tokenizer.spec
    ids = tokenizer.encode(SOUND)
    assert torch.equal(again.encode(SOUND), ids)
    assert np.array_equal(again.decode(ids).samples, tokenizer.decode(ids).samples)
    weights = load_file(tmp_path / "saved" / "model.safetensors")
    key = next(key for key, value in weights.items() if value.is_floating_point() and value.ndim > 1)
    weights[key] = weights[key] + 1
    save_file(weights, tmp_path / "saved" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ZooError, match="fingerprint"):
        load(tmp_path / "saved")


def refused(folder: Path, name: str = "encodec", **settings: object) -> str:
    with pytest.raises(ZooError) as caught:
        NeuralTokenizer.read(name, folder, books=None, layout="flattened", **settings)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def changed(folders: dict[str, Path], to: Path, name: str = "encodec", **config: object) -> Path:
    to.mkdir()
    stated = json.loads((folders[name] / "config.json").read_text())
    (to / "config.json").write_text(json.dumps({**stated, **config}))
    (to / "model.safetensors").write_bytes((folders[name] / "model.safetensors").read_bytes())
    return to


def test_files_that_do_not_fit(folders: dict[str, Path], tmp_path: Path) -> None:
    assert "no such folder" in refused(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert "config.json does not exist" in refused(tmp_path / "empty")
    assert "use tokenizer=encodec" in refused(folders["encodec"], "dac")
    assert "model_type is 'bert'" in refused(changed(folders, tmp_path / "bert", model_type="bert"))
    assert "2 channels" in refused(changed(folders, tmp_path / "stereo", audio_channels=2))
    assert "loudness" in refused(changed(folders, tmp_path / "scaled", normalize=True))
    assert "num_filters is 1000000000" in refused(changed(folders, tmp_path / "huge", num_filters=10**9))
    assert "asks for" in refused(changed(folders, tmp_path / "larger", num_filters=2048))
    assert "num_lstm_layers" in refused(changed(folders, tmp_path / "deep", num_lstm_layers=10**7))
    assert "codebooks, expected" in refused(changed(folders, tmp_path / "wide", target_bandwidths=[4000.0]))
    assert "missing tensors" in refused(changed(folders, tmp_path / "more", num_lstm_layers=2))
    assert "mismatched tensors" in refused(changed(folders, tmp_path / "other", kernel_size=5))
    for number, text in enumerate(("", "[]", "{", '{"model_type": "encodec", "num_filters": "a"}')):
        folder = changed(folders, tmp_path / f"text{number}")
        (folder / "config.json").write_text(text)
        refused(folder)


def test_damaged_weights(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = changed(folders, tmp_path / "cut")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-100])
    assert "not readable as a encodec codec" in refused(folder)
    (folder / "model.safetensors").write_bytes(b"\xff" * 8 + weights[8:])
    refused(folder)
    tensors = load_file(folders["encodec"] / "model.safetensors")
    key = next(iter(tensors))
    tensors[key] = torch.full_like(tensors[key], float("nan"))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert "not finite" in refused(folder)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch marker'\ntR.")
    assert "safetensors files only" in refused(folder)
    assert not Path("marker").exists()


def test_a_name_on_the_hub_without_a_network(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import constants

    from zoo.weights import hub

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    began = time.monotonic()
    assert "neither a folder nor to be had" in refused(Path("owner/name"))
    assert time.monotonic() - began < hub.PATIENCE + 2
    assert capfd.readouterr().err == ""  # no word of the client's tries: people get one line


def test_books_that_are_not_there(folders: dict[str, Path]) -> None:
    with pytest.raises(ZooError, match="books must be 1 to 3"):
        read(folders, "dac", books=4)
    with pytest.raises(ZooError, match="books must be at least 1"):
        read(folders, "dac", books=0)


def test_without_transformers(monkeypatch: pytest.MonkeyPatch, folders: dict[str, Path]) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "pip install 'tokenzoo[codecs]'" in refused(folders["dac"], "dac")
