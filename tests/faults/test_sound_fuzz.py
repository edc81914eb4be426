"""Fault 17: any sound file becomes the right samples, or one line, whatever its header says; and never much memory."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from zoo.data import read_sound as reader
from zoo.data.read_sound import read_blocks, read_sound
from zoo.data.sound_file import open_sound
from zoo.data.write_sound import write_wav
from zoo.errors import ZooError
from zoo.tokenizers.audio.mu_law import MuLawTokenizer
from zoo.tokenizers.audio.spectra import magnitudes, spectral_convergence
from zoo.tokenizers.audio.vqvae.config import VqvaeConfig
from zoo.tokenizers.audio.vqvae.network import Vqvae
from zoo.tokenizers.audio.waveform import Audio
from zoo.tokenizers.codecs import build_codec
from zoo.train.reconstruct import SCALES

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, (20_000, 2)).astype(np.float32)
FORMATS = ("WAV", "FLAC", "OGG", "MP3", "AIFF", "RF64", "W64", "CAF", "AU")


def packed(samples: np.ndarray, rate: int = 22_050, **options: Any) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, **{"format": "WAV", **options})
    return stream.getvalue()


def write(folder: Path, data: bytes, name: str = "a.wav") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def read_part(path: Path, start: int, count: int) -> np.ndarray:
    with open_sound(path) as sound:
        return sound.part(start, count)


def refused(path: Path) -> str:
    """Return the one line with which a file is refused, as a whole and in blocks."""
    with pytest.raises(ZooError) as whole:
        read_sound(path)
    with pytest.raises(ZooError) as blocks:
        for _ in read_blocks(path, 16_000):
            pass
    assert str(whole.value) == str(blocks.value)
    said = str(whole.value)
    assert "\n" not in said
    assert said.startswith(str(path))
    return said.removeprefix(f"{path}: ")


def with_length(data: bytes, length: int) -> bytes:
    """Return a wav file whose data chunk promises another length."""
    place = data.index(b"data") + 4
    return data[:place] + struct.pack("<I", length) + data[place + 4 :]


@pytest.mark.parametrize(
    ("subtype", "error"),
    [
        *[("PCM_U8", 2**-7), ("PCM_16", 2**-15), ("PCM_24", 2**-23), ("PCM_32", 2**-24), ("FLOAT", 0), ("DOUBLE", 0)],
        *[("ULAW", 2**-5), ("ALAW", 2**-5), ("IMA_ADPCM", 1), ("GSM610", 1)],
    ],
)
def test_any_width(subtype: str, error: float, tmp_path: Path) -> None:
    samples = NOISE[:, :1] if subtype == "GSM610" else NOISE
    found = read_sound(write(tmp_path, packed(samples, subtype=subtype)))
    assert found.samples.dtype == np.float32
    assert len(found.samples) >= len(samples)  # ADPCM and GSM fill their last block
    assert np.abs(found.samples[: len(samples)] - samples).max() <= error


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8])
def test_any_rate_and_number_of_channels(rate: int, channels: int, tmp_path: Path) -> None:
    samples = np.random.default_rng(channels).uniform(-1, 1, (3001, channels)).astype(np.float32)
    path = write(tmp_path, packed(samples, rate, subtype="FLOAT"))
    found = read_sound(path)
    assert (found.rate, found.samples.shape) == (rate, (3001, channels))
    assert np.array_equal(found.samples, samples)
    mono = np.concatenate(list(read_blocks(path)))
    assert np.allclose(mono, samples.mean(1), atol=1e-6)
    assert len(np.concatenate(list(read_blocks(path, 22_050)))) == pytest.approx(3001 * 22_050 / rate, abs=0.5)


@pytest.mark.parametrize("kind", FORMATS)
def test_any_container_under_any_name(kind: str, tmp_path: Path) -> None:
    data = packed(NOISE, format=kind)
    for name in ("a.wav", "a.mp3", "a", "ä ö.flac"):
        found = read_sound(write(tmp_path, data, name))
        assert (found.rate, found.samples.shape) == (22_050, NOISE.shape)
        if kind not in ("OGG", "MP3"):
            assert np.abs(found.samples - NOISE).max() <= 2**-15


@pytest.mark.parametrize("count", [1, 2, 7, 127, 128])
def test_a_few_samples(count: int, tmp_path: Path) -> None:
    path = write(tmp_path, packed(NOISE[:count], subtype="FLOAT"))
    assert np.array_equal(read_sound(path).samples, NOISE[:count])
    assert len(np.concatenate(list(read_blocks(path, 44_100)))) == pytest.approx(2 * count, abs=1)


@pytest.mark.parametrize("level", [0.0, 0.25, 1.0, -1.0])
def test_silence_and_constant_samples_stay_so(level: float, tmp_path: Path) -> None:
    path = write(tmp_path, packed(np.full((30_000, 1), level, np.float32), subtype="FLOAT"))
    assert (read_sound(path).samples == level).all()
    resampled = np.concatenate(list(read_blocks(path, 16_000)))
    assert np.isfinite(resampled).all()
    assert np.abs(resampled[2000:-2000] - level).max() < 1e-4


def test_what_is_louder_than_full_scale_is_clipped(tmp_path: Path) -> None:
    path = write(tmp_path, packed(np.array([0.5, 3.0, -7.0], np.float32), subtype="FLOAT"))
    assert read_sound(path).samples[:, 0].tolist() == [0.5, 1.0, -1.0]
    path = write(tmp_path, packed(np.array([0.5, 32_000.0], np.float32), subtype="FLOAT"))
    assert refused(path) == "a sample is 32000, but full scale is 1; scale it down"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 19_999, 150_000])
def test_what_is_no_number_is_refused(value: float, place: int, tmp_path: Path) -> None:
    samples = np.zeros((160_000, 2), np.float32)
    samples[place, 1] = value
    path = write(tmp_path, packed(samples, subtype="FLOAT"))
    assert refused(path) == f"sample {place} is {value}, not a number; write the sound again"
    assert len(read_part(path, place + 1, 10)) == min(10, 159_999 - place)


@pytest.mark.parametrize("kind", ["WAV", "OGG"])
def test_no_samples_are_refused(kind: str, tmp_path: Path) -> None:
    assert refused(write(tmp_path, packed(NOISE[:0], format=kind))) == "holds no samples: it is empty or cut off"


@pytest.mark.parametrize("length", [0xFFFF_FFFF, 0x7FFF_FFFF, 0x7FFF_F000])
def test_a_length_that_was_not_known_yet_is_not_believed(length: int, tmp_path: Path) -> None:
    found = read_sound(write(tmp_path, with_length(packed(NOISE), length)))
    assert found.samples.shape == NOISE.shape
    assert np.abs(found.samples - NOISE).max() <= 2**-15


def test_a_header_that_promises_too_much_or_too_little(tmp_path: Path) -> None:
    data = packed(NOISE)
    said = refused(write(tmp_path, with_length(data, 1_000_000)))
    assert said == "is cut short, 80000 of 1000000 bytes are there; fetch it again"
    assert refused(write(tmp_path, data[:44])) == "is cut short, 0 of 80000 bytes are there; fetch it again"
    assert refused(write(tmp_path, with_length(data, 0))) == "holds no samples: it is empty or cut off"
    assert read_sound(write(tmp_path, with_length(data, 1000))).samples.shape == (250, 2)


@pytest.mark.parametrize("kind", FORMATS)
def test_half_a_file_is_refused_where_its_length_is_stated(kind: str, tmp_path: Path) -> None:
    whole = np.tile(NOISE, (10, 1))
    data = packed(whole, format=kind)
    path = write(tmp_path, data[: len(data) // 2])
    if kind in ("OGG", "MP3"):  # a stream, which may end anywhere
        found = read_sound(path).samples
        reference = read_sound(write(tmp_path, data, "whole")).samples
        assert 60_000 < len(found) < 140_000
        assert np.abs(found[:50_000] - reference[:50_000]).max() < 1e-4
    else:
        assert "cut short" in (said := refused(path)) or "not a readable sound file" in said


def test_a_flac_that_promises_the_largest_length(tmp_path: Path) -> None:
    data = bytearray(packed(NOISE, format="FLAC"))
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4  # 2 ** 36 - 1 samples
    started = time.monotonic()
    refused(write(tmp_path, bytes(data), "a.flac"))
    assert time.monotonic() - started < 5


def test_rf64_is_read_with_the_length_in_its_own_chunk(tmp_path: Path) -> None:
    data = packed(NOISE, format="RF64")
    assert struct.unpack("<I", data[data.index(b"data") + 4 :][:4]) == (0xFFFF_FFFF,)
    assert read_sound(write(tmp_path, data)).samples.shape == NOISE.shape
    place = data.index(b"ds64") + 16  # bytes of the data chunk
    lying = data[:place] + struct.pack("<Q", 1 << 62) + data[place + 8 :]
    path = write(tmp_path, lying)
    try:
        assert len(read_sound(path).samples) <= len(NOISE)
    except ZooError as error:
        assert "\n" not in str(error)  # noqa: PT017  # either is right


@pytest.mark.parametrize("rate", [0, 1, 999, 4_000_000, 2**31 - 1])
def test_a_rate_that_no_sound_has(rate: int, tmp_path: Path) -> None:
    data = packed(NOISE)
    path = write(tmp_path, data[:24] + struct.pack("<I", rate) + data[28:])
    assert "rate must be 1000 to 768000" in (said := refused(path)) or "not a readable sound file" in said


@pytest.mark.parametrize("channels", [0, 1025, 65_535])
def test_a_number_of_channels_that_no_sound_has(channels: int, tmp_path: Path) -> None:
    data = packed(NOISE)
    refused(write(tmp_path, data[:22] + struct.pack("<H", channels) + data[24:]))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"RIFF\0\0\0\0WAVE",
        b"\xff\xfb\x90\x00" + bytes(3000),
        b"\xff\xfb\x90\x00" + NOISE.tobytes()[:5000],
        b"ID3\x04\0\0\0\0\x0f\x7f" + bytes(3000),
        b"OggS" + bytes(200),
        b"fLaC" + bytes(200),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"MATLAB 5.0 MAT-file" + bytes(500),
        b"#!/bin/sh\ntouch zoo-was-here\n",
        b"\x1f\x8b\x08\0" + bytes(100),
        NOISE.tobytes(),
    ],
)
def test_what_is_no_sound_is_one_line(data: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("a.wav", "a.mp3", "a.ogg", "a.raw"):
        refused(write(tmp_path, data, name))
    assert capfd.readouterr().err == ""  # mpg123 would have something to say


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes in folders")
def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    (tmp_path / "b.wav").mkdir()
    assert refused(tmp_path / "a.wav") == "not a file; give a sound file"
    assert refused(tmp_path / "b.wav") == "not a file; give a sound file"
    assert refused(tmp_path / "none.wav") == "not a file; give a sound file"


def test_changed_bytes_give_samples_or_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    read_ones, slowest = 0, 0.0
    for kind in FORMATS:
        data = packed(NOISE[:9000], format=kind)
        for _ in range(50):
            changed = bytearray(data)
            for place in rng.integers(0, min(len(data), 300), rng.integers(1, 6)):
                changed[place] = rng.integers(0, 256)
            path = write(tmp_path, bytes(changed[: rng.integers(1, 2 * len(data))]))
            started = time.monotonic()
            try:
                found = read_sound(path)
                assert np.isfinite(found.samples).all()
                assert np.abs(found.samples).max() <= 1
                read_part(path, 4000, 100)
                read_ones += 1
            except ZooError as error:
                assert "\n" not in str(error)  # noqa: PT017
                assert str(path) in str(error)  # noqa: PT017
            slowest = max(slowest, time.monotonic() - started)
    assert read_ones > 100
    assert slowest < 5
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("data", ["wav", "flac", "rf64"])
def test_a_lying_length_takes_no_memory(data: str, tmp_path: Path) -> None:
    whole = packed(NOISE, format=data.upper())
    if data == "wav":
        whole = with_length(whole, 0xFFFF_FFF0)
    elif data == "flac":
        whole = whole[:21] + bytes([whole[21] | 0x0F]) + b"\xff" * 4 + whole[26:]
    else:
        place = whole.index(b"ds64") + 8
        whole = whole[:place] + struct.pack("<QQQ", 1 << 40, 1 << 40, 1 << 38) + whole[place + 24 :]
    code = (
        "import re, sys; from pathlib import Path; from zoo.data.read_sound import read_sound\n"
        "def peak(): return int(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1])\n"
        "import soundfile; before = peak()\n"
        "try: read_sound(Path(sys.argv[1]))\n"
        "except ValueError: pass\n"
        "print(peak() - before)"
    )
    command = [sys.executable, "-c", code, str(write(tmp_path, whole))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    assert int(done.stdout) < 20_000  # kB


def test_a_bomb_is_refused_as_a_whole_and_streamed_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MOST_SAMPLES", 1 << 20)
    path = write(tmp_path, packed(np.zeros((1 << 20) + 1, np.float32), format="FLAC"), "a.flac")
    assert path.stat().st_size < 1 << 14
    with pytest.raises(ZooError, match="more than 1048576 samples are too long for one sound; cut it up"):
        read_sound(path)
    assert sum(map(len, read_blocks(path))) == (1 << 20) + 1


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_part_is_what_the_whole_has_there(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path, packed(np.tile(NOISE, (10, 1)), format=kind))
    whole = read_sound(path).samples
    with open_sound(path) as sound:
        assert (sound.rate, sound.channels, sound.frames) == (22_050, 2, 200_000)
    for start, count in ((0, 10), (5, 100_000), (123_457, 800), (199_990, 100), (300_000, 5)):
        part = read_part(path, start, count)
        assert part.shape == whole[start : start + count].shape
        assert np.allclose(part, whole[start : start + count], atol=1e-5)


@pytest.mark.parametrize("hop", [1, 128])
@pytest.mark.parametrize("count", [1, 2, 127, 128, 129, 3000])
@pytest.mark.parametrize("level", [0.0, 0.3, 1.0, None], ids=["silence", "constant", "clipped", "noise"])
def test_any_sound_gives_tokens(level: float | None, count: int, hop: int, tmp_path: Path) -> None:
    config = VqvaeConfig(
        rate=22_050, codes=8, code_width=4, width=4, depth=1, downs=(7,), strides=(2,), multipliers=(1,)
    )
    torch.manual_seed(0)
    codec = build_codec(config).eval()
    assert isinstance(codec, Vqvae)
    codec.codebooks[0].adopt(torch.randn(8, 4))
    tokenizer = MuLawTokenizer(rate=22_050) if hop == 1 else codec.level(0)
    samples = 4 * NOISE[:count] if level is None else np.full((count, 2), level, np.float32)
    sound = read_sound(write(tmp_path, packed(samples, subtype="FLOAT")))
    ids = tokenizer.encode(sound)
    assert len(ids) == -(-count // hop)
    assert 0 <= int(ids.min()) <= int(ids.max()) < tokenizer.spec.vocabulary_size
    made = tokenizer.decode(ids)
    assert np.isfinite(made.samples).all()
    assert len(made.samples) == len(ids) * hop


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_silence_and_constant_samples_make_no_nan(level: float) -> None:
    target = torch.full((2, 8192), level)
    for made in (target.clone(), torch.zeros(2, 8192), torch.full((2, 8192), 0.5)):
        made.requires_grad_()
        for scale in (*SCALES, (2048, 256, 1536)):
            change = magnitudes(made, *scale) - magnitudes(target, *scale)
            (distance := torch.linalg.vector_norm(change, dim=(1, 2)).sum()).backward()
            assert torch.isfinite(distance)
        assert torch.isfinite(spectral_convergence(made, target)).all()
        assert made.grad is not None
        assert torch.isfinite(made.grad).all()


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", Audio(NOISE[:, 0], 16_000))
    found = read_sound(tmp_path / "a.wav")
    assert found.rate == 16_000
    assert np.abs(found.samples[:, 0] - NOISE[:, 0]).max() <= 2**-16
    first = (tmp_path / "a.wav").read_bytes()
    write_wav(tmp_path / "a.wav", found)
    assert (tmp_path / "a.wav").read_bytes() == first
    write_wav(tmp_path / "loud.wav", Audio(np.array([2.0, -2.0, 1.0], np.float32), 8000))
    assert np.allclose(read_sound(tmp_path / "loud.wav").samples[:, 0], [1, -1, 1], atol=2**-15)
    write_wav(tmp_path / "none.wav", Audio(NOISE[:0, 0], 8000))
    assert soundfile.info(tmp_path / "none.wav").frames == 0


def test_nothing_is_left_where_writing_fails(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="cannot be written"):
        write_wav(tmp_path / "no" / "a.wav", Audio(NOISE[:, 0], 8000))
    with pytest.raises(ZooError, match="sample 1 is nan"):
        write_wav(tmp_path / "a.wav", Audio(np.array([0, np.nan], np.float32), 8000))
    (tmp_path / "b.wav").mkdir()
    with pytest.raises(ZooError, match="cannot be written"):
        write_wav(tmp_path / "b.wav", Audio(NOISE[:, 0], 8000))
    assert [path.name for path in tmp_path.iterdir()] == ["b.wav"]
