"""``zoo tokenize``: ids of files and folders, by every kind of tokenizer, complete or not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.cli.codecs import RATE, random_codec, save_codec, write_sound
from tests.cli.conftest import Zoo
from zoo.data.shard_writer import part_folder
from zoo.data.shards import Shards
from zoo.tokenizers.registry import load
from zoo.weights.files import files_below


def test_one_sound_by_all_levels_of_a_codec(zoo: Zoo, tmp_path: Path) -> None:
    save_codec(tmp_path / "codec")
    sound = write_sound(tmp_path / "a, {b=c}.wav", 1.001, rate=16_000, channels=2)
    done = zoo("tokenize", str(sound), "tokenizer=codec", "out=ids", "--json")
    assert done.code == 0, done.err
    assert done.document == {
        "tokenizer": "codec",
        "type": "vqvae",
        "modality": "music",
        "codes": "ids/codes.npz",
        "files": 1,
        "seconds": 1.001,
        "rate": RATE,
        "levels": [
            {"level": 0, "ids": 2004, "codes": 32, "hop": 4},
            {"level": 1, "ids": 501, "codes": 32, "hop": 16},
        ],
    }
    with np.load(tmp_path / "ids" / "codes.npz") as arrays:
        assert sorted(arrays) == ["fingerprints", "hops", "level_0", "level_1", "rate"]
        codec = random_codec()
        assert list(arrays["fingerprints"]) == [codec.level(level).spec.fingerprint for level in range(2)]
        from zoo.data.read_sound import read_blocks

        heard = torch.from_numpy(np.concatenate([*read_blocks(sound, RATE)]))
        assert len(heard) == 8008
        expected = codec.encode(torch.nn.functional.pad(heard, (0, 8))[None, :, None])
        for level in range(2):
            assert np.array_equal(arrays[f"level_{level}"], expected[level][0].numpy())


def test_several_files_follow_one_another(zoo: Zoo, tmp_path: Path) -> None:
    names = [str(write_sound(tmp_path / f"{number}.wav", 0.1 * number, seed=number)) for number in (1, 2, 3)]
    done = zoo("tokenize", *names, "tokenizer=mu_law", "tokenizer.levels=64", "out=ids", "--json")
    assert done.document["levels"] == [{"level": 0, "ids": 4800, "codes": 64, "hop": 1}]
    with np.load(tmp_path / "ids" / "codes.npz") as arrays:
        assert arrays["files"].tolist() == names
        assert arrays["level_0_offsets"].tolist() == [0, 800, 2400, 4800]
        assert arrays["level_0"].max() < 64
    refused = zoo("tokenize", *names, "tokenizer=mu_law", "out=ids")
    assert (refused.code, refused.err) == (
        2, "zoo: error: ids/codes.npz is there already; add overwrite=true or choose another out=DIR\n"
    )  # fmt: skip
    assert zoo("tokenize", names[0], "tokenizer=mu_law", "out=ids", "overwrite=true").out == "ids/codes.npz\n"
    with np.load(tmp_path / "ids" / "codes.npz") as arrays:
        assert "files" not in arrays


def test_texts_and_pictures(zoo: Zoo, tmp_path: Path, checkpoint: Path) -> None:
    from PIL import Image

    (tmp_path / "a.txt").write_text("zoo, \N{ELEPHANT}", encoding="utf-8")
    assert zoo("tokenize", "a.txt", f"tokenizer={checkpoint}", "out=model").code == 0  # the tokenizer of a model
    assert zoo("tokenize", "a.txt", f"tokenizer={checkpoint / 'tokenizer'}", "out=folder").code == 0
    for name in ("model", "folder"):
        with np.load(tmp_path / name / "codes.npz") as arrays:
            assert load(checkpoint / "tokenizer").decode(torch.from_numpy(arrays["level_0"])) == "zoo, \N{ELEPHANT}"
            assert sorted(arrays) == ["fingerprints", "hops", "level_0"]
    assert zoo("tokenize", "a.txt", "tokenizer=char", "out=own").code == 0  # fitted on the file
    with np.load(tmp_path / "own" / "codes.npz") as arrays:
        assert len(arrays["level_0"]) == 6
    Image.new("L", (8, 6), 200).save(tmp_path / "a.png")
    done = zoo("tokenize", "a.png", "tokenizer=gray_levels", "tokenizer.size=[3,4]", "--json")
    assert done.document["levels"] == [{"level": 0, "ids": 12, "codes": 256, "hop": 1}]
    with np.load(tmp_path / "codes" / "codes.npz") as arrays:
        assert arrays["level_0"].tolist() == [200] * 12


def songs(folder: Path, count: int = 3) -> Path:
    """Write a folder of sounds with a metadata.csv."""
    for number in range(count):
        write_sound(folder / "sub" / f"{number:03d}.wav", 0.2 + 0.1 * (number % 3), seed=number)
    rows = [f'sub/{number:03d}.wav,Bach {number},organ,"la, ""la""",{number % 2}' for number in range(count)]
    (folder / "metadata.csv").write_text("\n".join(["file,artist,genre,lyrics,label", *rows]) + "\n")
    return folder


def test_a_folder_becomes_a_folder_of_ids(zoo: Zoo, tmp_path: Path) -> None:
    save_codec(tmp_path / "codec")
    songs(tmp_path / "songs")
    done = zoo("tokenize", "songs", "tokenizer=codec", "out=ids", "--json")
    assert (done.code, done.document["codes"], done.document["files"]) == (0, "ids", 3), done.err
    assert done.document["seconds"] == pytest.approx(0.9)
    shards = Shards(tmp_path / "ids")
    assert files_below(tmp_path / "ids") == ["files.jsonl", "level_0.bin", "level_1.bin", "shards.json"]
    assert (shards.origin.hops, shards.origin.rate, shards.levels) == ((4, 16), RATE, 2)
    entry = shards.files[1]
    assert (entry.name, entry.artist, entry.genre, entry.lyrics, entry.label) == (
        "sub/001.wav", "Bach 1", "organ", 'la, "la"', "1"
    )  # fmt: skip
    assert entry.seconds == pytest.approx(0.3)
    assert zoo("tokenize", "songs/sub/001.wav", "tokenizer=codec", "out=one").code == 0
    with np.load(tmp_path / "one" / "codes.npz") as arrays:
        for level in range(2):
            assert np.array_equal(shards.ids(1, level), arrays[f"level_{level}"])
    assert zoo("tokenize", "songs", "tokenizer=codec", "out=ids", "resume=true").code == 0  # nothing left to do
    assert "ids is complete" in zoo("tokenize", "songs", "tokenizer=codec", "out=ids").err
    said = (tmp_path / "songs" / "metadata.csv").read_text()
    (tmp_path / "songs" / "metadata.csv").write_text(said.replace("Bach 1", "Brahms"))
    assert "ids is complete" in zoo("tokenize", "songs", "tokenizer=codec", "out=ids", "resume=true").err
    (tmp_path / "songs" / "metadata.csv").write_text(said)
    assert zoo("tokenize", "songs", "tokenizer=mu_law", "out=ids", "overwrite=true").code == 0
    assert Shards(tmp_path / "ids").origin.type == "mu_law"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codec", "ids", "one", "songs"]


def test_a_broken_file_stops_and_the_rest_goes_on(zoo: Zoo, tmp_path: Path) -> None:
    songs(tmp_path / "songs", 4)
    broken = tmp_path / "songs" / "sub" / "002.wav"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:1000])
    words = ("tokenize", "songs", "tokenizer=mu_law", "out=ids")
    done = zoo(*words)
    assert done.code == 2
    assert "002.wav: is cut short" in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "ids").exists()
    assert "ids was begun and not finished; add resume=true" in zoo(*words).err
    broken.write_bytes(whole)
    first = tmp_path / "songs" / "sub" / "000.wav"
    kept = first.read_bytes()
    first.write_bytes(kept[:-4] + b"\0\0\0\0")
    assert "000.wav has changed since ids was begun; begin again" in zoo(*words, "resume=true").err
    first.write_bytes(kept)
    refused = zoo("tokenize", "songs", "tokenizer=mu_law", "tokenizer.levels=16", "out=ids", "resume=true")
    assert "ids was begun with another tokenizer" in refused.err
    inode = (part_folder(tmp_path / "ids") / "level_0.bin").stat().st_ino
    assert zoo(*words, "resume=true").code == 0
    assert (tmp_path / "ids" / "level_0.bin").stat().st_ino == inode  # what was there was kept
    assert zoo("tokenize", "songs", "tokenizer=mu_law", "out=again").code == 0
    for name in files_below(tmp_path / "again"):
        assert (tmp_path / "ids" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.slow
def test_kill_at_any_moment(zoo: Zoo, tmp_path: Path) -> None:
    save_codec(tmp_path / "codec")
    songs(tmp_path / "songs", 40)
    words = ["tokenize", "songs", "tokenizer=codec", "threads=1"]
    assert zoo(*words, "out=whole").code == 0
    command = [sys.executable, "-m", "zoo", *words, "out=ids", "resume=true"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    moments = np.random.default_rng(0).uniform(0, 0.4, 8)
    for moment in moments:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
        lines, begun = part_folder(tmp_path / "ids") / "files.jsonl", time.monotonic()
        before = lines.stat().st_size if lines.exists() else 0
        while time.monotonic() - begun < 60 and process.poll() is None:
            if lines.exists() and lines.stat().st_size > before:
                break
            time.sleep(0.005)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (tmp_path / "ids").exists():
            break
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    for name in files_below(tmp_path / "whole"):
        assert (tmp_path / "ids" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "which files? For example: zoo tokenize song.wav tokenizer=mu_law"),
        (["a.wav"], "which tokenizer? Say tokenizer=NAME: one of bpe, byte"),
        (["absent.wav", "tokenizer=mu_law"], "absent.wav: no such file or folder"),
        (["a.wav", "tokenizer=mu_lew"], "unknown tokenizer 'mu_lew'; did you mean 'mu_law'?"),
        (["a.wav", "tokenizer=absent"], "no checkpoint 'absent'"),
        (["a.wav", "tokenizer=mu_law", "tokenizer.level=3"], "unknown setting 'tokenizer.level'; did you mean"),
        (["a.wav", "tokenizer=mu_law", "tokenizer.levels=1"], "tokenizer: levels must be 2 to 65536, got 1"),
        (["a.wav", "tokenizer=codec", "tokenizer.level=0"], "tokenizer.level: belongs to tokenizers by name, and"),
        (["a.txt", "tokenizer=mu_law"], "a.txt: not a readable sound file"),
        (["a.wav", "tokenizer=byte"], "a.wav: "),
        (["a.wav", "tokenizer=gray_levels"], "a.wav: "),
        (["a.wav", "folder", "tokenizer=mu_law"], "one folder at a time, or files; 'folder' is a folder among 2"),
        (["folder", "tokenizer=mu_law"], "folder: no sounds there, only .txt"),
        (["a.wav", "tokenizer=mu_law", "resume=true"], "resume: goes on with the files of a FOLDER"),
        (["a.wav", "tokenizer=mu_law", "ot=x"], "unknown setting 'ot'; did you mean 'out'?"),
        (["a.wav", "tokenizer=codec", "device=moon"], "device: 'moon' is not available here"),
        (["folder", "tokenizer=byte", "out=folder"], "folder holds 'a.txt', which is no part of a folder of ids"),
    ],
)
def test_bad_input(zoo: Zoo, tmp_path: Path, words: list[str], message: str) -> None:
    save_codec(tmp_path / "codec")
    write_sound(tmp_path / "a.wav", 0.1)
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("a")
    before = files_below(tmp_path)
    done = zoo("tokenize", *words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"zoo: error: {message}")
    assert done.err.count("\n") == 1
    assert files_below(tmp_path) == before
