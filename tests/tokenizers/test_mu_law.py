"""Sound as 256 levels: what they are, what is lost, and that nothing is lost twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given
from hypothesis import strategies as st

from zoo.data.records import Sound
from zoo.errors import ZooError
from zoo.tokenizers.audio.mu_law import MuLawTokenizer
from zoo.tokenizers.audio.waveform import Audio
from zoo.tokenizers.registry import load

TOKENIZER = MuLawTokenizer()


@pytest.mark.parametrize("levels", [2, 16, 255, 256, 65_536])
def test_every_level_comes_back(levels: int) -> None:
    tokenizer = MuLawTokenizer(levels=levels, rate=44_100)
    ids = torch.arange(levels)
    assert torch.equal(tokenizer.encode_samples(tokenizer.decode_samples(ids)), ids)
    samples = tokenizer.decode(ids).samples
    assert samples[0] == -1
    assert samples[-1] == 1
    assert (np.diff(samples) > 0).all()
    assert np.allclose(samples, -samples[::-1], atol=1e-7)


def test_levels_are_those_of_torchaudio() -> None:
    samples = torch.linspace(-1, 1, 10_001)
    theirs = torchaudio.functional.mu_law_encoding(samples, 256)
    ours = TOKENIZER.encode_samples(samples)
    assert (ours - theirs).abs().max() <= 1  # theirs is computed in float32 and rounds a few borders the other way
    assert (ours != theirs).float().mean() < 1e-3
    decoded = torchaudio.functional.mu_law_decoding(torch.arange(256), 256)
    assert torch.allclose(TOKENIZER.decode_samples(torch.arange(256)), decoded, atol=1e-6)


@given(st.lists(st.floats(-1, 1, width=32), max_size=50))
def test_a_level_is_as_near_as_the_scale_is_fine(values: list[float]) -> None:
    sound = Audio(np.array(values, dtype=np.float32), 8_000)
    ids = TOKENIZER.encode(sound)
    assert ids.dtype == torch.int64
    decoded = TOKENIZER.decode(ids)
    assert decoded.rate == 8_000
    # Half a step of 2/255 in the companded domain, where the slope of expanding is (1/255 + |x|) ln 256.
    allowed = (1 / 255 + np.maximum(np.abs(sound.samples), np.abs(decoded.samples))) * np.log(256) / 255
    assert (np.abs(decoded.samples - sound.samples) <= allowed + 1e-7).all()
    assert torch.equal(TOKENIZER.encode(decoded), ids)


def test_spec_and_silence() -> None:
    spec = MuLawTokenizer(rate=22_050).spec
    assert (spec.type, spec.modality, spec.vocabulary_size, spec.tokens_per_second) == ("mu_law", "music", 256, 22_050)
    assert not spec.lossless
    assert spec.fingerprint != TOKENIZER.spec.fingerprint
    silence = TOKENIZER.encode(Audio(np.zeros(100, np.float32), 8_000))
    assert set(silence.tolist()) == {128}
    assert np.abs(TOKENIZER.decode(silence).samples).max() < 1e-4
    assert len(TOKENIZER.encode(Audio(np.zeros(0, np.float32), 8_000))) == 0
    assert len(TOKENIZER.decode(torch.empty(0, dtype=torch.int64)).samples) == 0


def test_any_sound_is_brought_to_its_rate() -> None:
    time = np.arange(44_100) / 44_100
    stereo = np.stack([np.sin(2 * np.pi * 440 * time), np.sin(2 * np.pi * 440 * time)], axis=1).astype(np.float32)
    ids = TOKENIZER.encode(Sound(samples=stereo * 0.5, rate=44_100))
    assert len(ids) == 8_000
    decoded = TOKENIZER.decode(ids).samples[1000:7000]
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(1000, 7000) / 8_000)
    assert 20 * np.log10(np.std(decoded - expected) / np.std(expected)) < -35  # the noise of 256 levels


def test_blocks_give_the_ids_of_the_whole() -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 1000).astype(np.float32)
    parts = list(TOKENIZER.encode_blocks(iter(np.split(samples, [10, 10, 700]))))
    assert len(parts) == 4
    assert torch.equal(torch.cat(parts), TOKENIZER.encode(Audio(samples, 8_000)))


def test_saved_and_loaded(tmp_path: Path) -> None:
    tokenizer = MuLawTokenizer(levels=64, rate=11_025)
    tokenizer.save(tmp_path / "t")
    again = load(tmp_path / "t")
    assert again.spec == tokenizer.spec
    for content in ({"levels": 64}, {"levels": "64", "rate": 8_000}, {"levels": 64, "rate": 8_000, "more": 1}, [64]):
        (tmp_path / "t" / "mu_law.json").write_text(json.dumps(content))
        with pytest.raises(ZooError, match="expected 'levels' and 'rate'"):
            load(tmp_path / "t")
    (tmp_path / "t" / "mu_law.json").write_text('{"levels": 256, "rate": 11025}')
    with pytest.raises(ZooError, match="fingerprint"):
        load(tmp_path / "t")


@pytest.mark.parametrize(("levels", "rate"), [(1, 8_000), (65_537, 8_000), (256, 10), (256, 10**9)])
def test_bad_settings(levels: int, rate: int) -> None:
    with pytest.raises(ZooError):
        MuLawTokenizer(levels=levels, rate=rate)


def test_ids_outside() -> None:
    with pytest.raises(ZooError, match="id 256 at position 1 is outside the vocabulary of 256"):
        TOKENIZER.decode([0, 256])
