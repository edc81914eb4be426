"""``zoo generate`` with models of music: wav files, codes, a picture; sounds that are gone on from."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import zoo as library
from tests.cli.conftest import Zoo
from tests.tokenizers.test_neural import network
from zoo.architecture import build_network
from zoo.model import Model
from zoo.tokenizers.audio.mu_law import MuLawTokenizer
from zoo.tokenizers.audio.neural import NeuralTokenizer
from zoo.tokenizers.audio.waveform import Audio
from zoo.transformer.config import TransformerConfig

RATE = 8_000
NASTY = "a, 'b' {c}=d.wav"


@pytest.fixture(scope="module")
def player(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint of raw samples that knows two instruments, with random weights."""
    torch.manual_seed(0)
    config = TransformerConfig(vocabulary=256, context=64, width=16, depth=1, heads=2, classes=("flute", "organ"))
    model = Model(
        build_network(config), MuLawTokenizer(rate=RATE), recipe={"generate": {"max_new_tokens": 40}},
        card={"modality": "music"},
    )  # fmt: skip
    out = tmp_path_factory.mktemp("player") / "player"
    model.save(out)
    return out


@pytest.fixture
def sounds(zoo: Zoo) -> Path:
    """Return a folder with two sounds: one stereo and of another rate, one with a name full of traps."""
    folder = Path("in")
    folder.mkdir()
    time = np.arange(4_000) / RATE
    soundfile.write(folder / NASTY, 0.5 * np.sin(2 * np.pi * 440 * time), RATE)
    soundfile.write(folder / "stereo.flac", np.stack([time, time], 1), 16_000)
    return folder


def test_music_goes_into_files(zoo: Zoo, player: Path) -> None:
    done = zoo("generate", player, "count=3", "out=there", "seed=5", "max_new_tokens=100", "--json")
    assert done.code == 0, done.err
    assert done.err == ""
    assert json.loads(Path("there/samples.json").read_text()) == done.document
    samples = done.document["samples"]
    assert [(sample["index"], sample["seed"], sample["prompt"]) for sample in samples] == [
        (0, 5, ""),
        (1, 6, ""),
        (2, 7, ""),
    ]
    expected = library.load(player).generate(count=3, seed=5, max_new_tokens=100)
    codes = np.load("there/codes.npz")["level_0"]
    assert codes.dtype == np.int64
    assert codes.shape == (3, 100)
    for index, (sample, audio) in enumerate(zip(samples, expected, strict=True)):
        assert isinstance(audio, library.Audio)
        assert (audio.rate, audio.samples.shape, audio.samples.dtype) == (RATE, (100,), np.float32)
        assert Path(sample["file"]) == Path(f"there/{index:03d}.wav")
        heard, rate = soundfile.read(sample["file"], dtype="float32")
        assert rate == RATE
        assert np.abs(heard - audio.samples).max() < 1e-4
        assert sample["codes"]["level_0"] == codes[index].tolist()
        assert np.array_equal(MuLawTokenizer(rate=RATE).decode(codes[index]).samples, audio.samples)
        assert sample["seconds"] == 100 / RATE
    assert sorted(os.listdir("there")) == [
        "000.wav", "001.wav", "002.wav", "codes.npz", "samples.json", "spectrogram.png",
    ]  # fmt: skip
    assert Path("there/spectrogram.png").read_bytes()[:4] == b"\x89PNG"


def test_people_are_told_where_and_how_long(zoo: Zoo, player: Path) -> None:
    done = zoo("generate", player, "seconds=0.025", "count=2")
    assert done.out == "outputs/music/000.wav\noutputs/music/001.wav\n"
    assert done.err == "2 sounds of 0.03 s, 8,000 samples a second, in outputs/music\n"
    assert len(soundfile.read("outputs/music/000.wav")[0]) == 200
    short = zoo("generate", player, "out=default", "--json").document["samples"][0]
    assert len(short["codes"]["level_0"]) == 40  # what the recipe says


def test_every_instrument(zoo: Zoo, player: Path) -> None:
    words = ("generate", player, "seed=3", "seconds=0.01", "--json")
    every = zoo(*words, "label=all", "count=2", "out=all").document["samples"]
    assert [(sample["prompt"], sample["seed"]) for sample in every] == [
        ("flute", 3), ("flute", 4), ("organ", 3), ("organ", 4),
    ]  # fmt: skip
    organ = zoo(*words, "label=organ", "out=organ").document["samples"]
    assert organ[0]["codes"] == every[2]["codes"]
    assert "unknown label 'oboe'" in zoo(*words, "label=oboe").err


def test_sounds_are_gone_on_from(zoo: Zoo, player: Path, sounds: Path) -> None:
    words = ("generate", player, "truncate=left", "max_new_tokens=30", "--json")
    done = zoo(*words, f"audio={sounds}", "keep_seconds=0.1", "count=2", "out=out")
    assert done.code == 0, done.err
    samples = done.document["samples"]
    assert [Path(sample["prompt"]).name for sample in samples] == sorted([NASTY, "stereo.flac"] * 2)
    tokenizer = MuLawTokenizer(rate=RATE)
    for sample in samples:
        given, rate = soundfile.read(sample["prompt"], dtype="float32", always_2d=True)
        begun = tokenizer.encode(Audio(given[: rate // 10].mean(axis=1), rate)).tolist()
        assert sample["codes"]["level_0"][:-30] == begun
        assert len(begun) == 800
    assert samples[0]["codes"] != samples[1]["codes"]
    whole = zoo(*words, f"audio={sounds / NASTY}", "label=flute", "out=whole").document["samples"][0]
    assert whole["prompt"] == str(sounds / NASTY)
    assert whole["label"] == "flute"
    assert len(whole["codes"]["level_0"]) == 4_030
    long = zoo("generate", player, f"audio={sounds / NASTY}", "out=no")
    assert "4000 ids, more than the model's context of 64" in long.err
    assert not Path("no").exists()


def test_sounds_that_are_missing_are_drawn_and_others_kept(zoo: Zoo, player: Path) -> None:
    words = ("generate", player, "label=organ", "seconds=0.02", "--json")
    whole = zoo(*words, "count=4", "out=whole").document["samples"]
    zoo(*words, "count=2", "out=grown")
    Path("grown/001.wav").unlink()
    refused = zoo(*words, "count=4", "out=grown")
    assert refused.code == 2
    assert "grown/samples.json is there already; add resume=true, overwrite=true" in refused.err
    grown = zoo(*words, "count=4", "out=grown", "resume=true").document["samples"]
    assert [sample["codes"] for sample in grown] == [sample["codes"] for sample in whole]
    for name in ("000.wav", "001.wav", "003.wav", "codes.npz"):
        same = np.load("grown/codes.npz")["level_0"] if name == "codes.npz" else Path("grown", name).read_bytes()
        other = np.load("whole/codes.npz")["level_0"] if name == "codes.npz" else Path("whole", name).read_bytes()
        assert np.array_equal(same, other) if name == "codes.npz" else same == other
    assert "was drawn with label='organ', not 'flute'" in zoo(*words, "out=grown", "resume=true", "label=flute").err
    assert zoo(*words, "count=1", "out=grown", "overwrite=true").code == 0
    assert sorted(os.listdir("grown")) == ["000.wav", "codes.npz", "samples.json", "spectrogram.png"]


@pytest.mark.parametrize("layout", ["flattened", "delayed"])
def test_codebooks_take_turns(zoo: Zoo, tmp_path: Path, layout: str) -> None:
    network("encodec").save_pretrained(tmp_path / "codec")
    tokenizer = NeuralTokenizer.read("encodec", tmp_path / "codec", books=3, layout=layout)  # type: ignore[arg-type]
    config = TransformerConfig(vocabulary=tokenizer.spec.vocabulary_size, context=48, width=16, depth=1, heads=2)
    torch.manual_seed(1)
    Model(build_network(config), tokenizer).save(tmp_path / "model")
    done = zoo("generate", tmp_path / "model", "seconds=0.05", "count=2", "out=out", "--json")
    assert done.code == 0, done.err
    for sample in done.document["samples"]:
        ids = torch.tensor(sample["codes"]["level_0"])
        assert len(ids) == tokenizer.count(0.05)
        assert torch.equal(ids // (tokenizer.spec.vocabulary_size // 3), torch.arange(len(ids)) % 3)
    sound = Audio(np.sin(np.arange(80, dtype=np.float32)), RATE)
    longer = library.load(tmp_path / "model").draw(sound, max_new_tokens=12, seed=2)[0]
    assert torch.equal(longer.ids[: 3 * 10], tokenizer.begin(sound))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("seconds=0",), "seconds: must be above 0"),
        (("seconds=nan",), "seconds"),
        (("seconds=1e9",), "seconds: must be above 0 and at most 3600"),
        (("seconds=1", "max_new_tokens=3"), "give seconds= or max_new_tokens=, not both"),
        (("keep_seconds=1",), "keep_seconds: says what is kept of a sound; say which with audio=FILE"),
        (("audio=",), "audio is empty; name a file, a folder or a glob"),
        (("audio=in/none.wav",), "in/none.wav: no such file or folder"),
        (("audio=broken.wav",), "broken.wav"),
        (("prompt=la la la",), "prompt: belongs to models of text; this one makes music: audio=FILE is gone on from"),
        (("show=probabilities",), "show: belongs to models of text"),
        (("count=0",), "count must be at least 1"),
        (("temperature=-1",), "temperature"),
    ],
)
def test_bad_input(zoo: Zoo, player: Path, sounds: Path, words: tuple[str, ...], message: str) -> None:
    Path("broken.wav").write_bytes(b"RIFF1234WAVE")
    before = sorted(os.listdir())
    done = zoo("generate", player, *words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert sorted(os.listdir()) == before


def test_models_of_other_things_play_no_music(zoo: Zoo, checkpoint: Path, player: Path, sounds: Path) -> None:
    done = zoo("generate", checkpoint, f"audio={sounds / NASTY}")
    assert "audio: belongs to models of music, and this one makes text; leave it out" in done.err
    assert "seconds: belongs to models of music" in zoo("generate", checkpoint, "seconds=1").err


def test_without_a_prompt_music_begins_from_silence(player: Path) -> None:
    model = library.load(player)
    assert model._drawer.prompts.start(None).lead.tolist() == [128]
    assert model.generate(max_new_tokens=0).seconds == 0
