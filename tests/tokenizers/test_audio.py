"""Sounds of any rate and number of channels, as audio tokenizers read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import zoo
from zoo.errors import ZooError
from zoo.tokenizers.audio.base import AudioTokenizer
from zoo.tokenizers.audio.waveform import Audio, resample, resample_blocks, to_mono
from zoo.tokenizers.base import TokenSpec

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 60_001).astype(np.float32)


class Signs(AudioTokenizer):
    """One id for every four samples: whether their sum is negative."""

    def __init__(self) -> None:
        super().__init__(rate=8000, hop=4)

    @property
    def spec(self) -> TokenSpec:
        return TokenSpec(
            type="signs",
            modality="music",
            vocabulary_size=2,
            tokens_per_second=self.ids_per_second,
            lossless=False,
            fingerprint="",
        )

    def encode_samples(self, samples: Tensor) -> Tensor:
        filled = torch.nn.functional.pad(samples, (0, -len(samples) % self.hop))
        return (filled.reshape(-1, self.hop).sum(1) < 0).long()

    def decode_samples(self, ids: Tensor) -> Tensor:
        return (1.5 - 3.0 * ids).repeat_interleave(self.hop)

    def save(self, folder: Path | str) -> None:
        raise AssertionError


def test_audio_is_reached_from_zoo() -> None:
    assert zoo.Audio is Audio
    assert Audio(NOISE[:4000], 8000).seconds == 0.5
    with pytest.raises(ZooError, match=r"shape \(time,\), got \(5, 2\)"):
        Audio(np.zeros((5, 2), np.float32), 8000)
    with pytest.raises(ZooError, match="rate must be 1000 to 768000 samples per second, got 0"):
        Audio(NOISE, 0)
    with pytest.raises(AttributeError, match="no attribute 'Sound'"):
        _ = zoo.Sound


def test_channels_are_mixed() -> None:
    two = np.array([[0.5, -0.5], [1.0, 0.0]])
    assert to_mono(two).tolist() == [0.0, 0.5]
    assert to_mono(two, [0.25, 0.75]).tolist() == [-0.25, 0.25]
    assert to_mono(two[:, 0]).tolist() == [0.5, 1.0]
    assert to_mono(np.ones((3, 8))).tolist() == [1.0] * 3
    for shape in ((2, 0), (2, 2, 2), ()):
        with pytest.raises(ZooError, match="samples have the shape"):
            to_mono(np.zeros(shape))


@pytest.mark.parametrize(("rate", "wanted"), [(44_100, 22_050), (48_000, 44_100), (8000, 44_100), (192_000, 8000)])
def test_blocks_are_resampled_as_if_in_one_piece(rate: int, wanted: int) -> None:
    whole = resample(NOISE, rate, wanted)
    assert len(whole) == pytest.approx(len(NOISE) * wanted / rate, abs=0.5)
    for count in (1, 7, 500):
        blocks = iter(np.array_split(NOISE, count))
        assert np.array_equal(np.concatenate(list(resample_blocks(blocks, rate, wanted))), whole)


@given(
    lengths=st.lists(st.integers(0, 3000), max_size=8),
    rate=st.sampled_from([8000, 11_025, 22_050, 44_100, 48_000, 44_101]),
    wanted=st.sampled_from([8000, 16_000, 22_050, 44_100]),
    channels=st.sampled_from([None, 1, 2]),
)
def test_blocks_of_any_length_are_resampled_as_one(
    lengths: list[int], rate: int, wanted: int, channels: int | None
) -> None:
    sound = NOISE[: sum(lengths)] if channels is None else np.stack([NOISE[: sum(lengths)]] * channels, axis=1)
    blocks = np.split(sound, np.cumsum(lengths)[:-1]) if lengths else []
    found = np.concatenate([sound[:0], *resample_blocks(iter(blocks), rate, wanted)])
    assert np.array_equal(found, resample(sound, rate, wanted))


def test_resampling_keeps_a_tone() -> None:
    def tone(rate: int) -> np.ndarray:
        return np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)

    inner = slice(1000, -1000)  # beyond the ends there is silence, which rings
    assert np.abs(resample(tone(44_100), 44_100, 16_000) - tone(16_000))[inner].max() < 1e-4
    assert resample(NOISE, 8000, 8000) is NOISE
    assert len(resample(NOISE[:0], 8000, 16_000)) == 0
    assert list(resample_blocks(iter([]), 8000, 16_000)) == []


def test_any_sound_is_brought_to_the_tokenizers_rate() -> None:
    tokenizer = Signs()
    assert tokenizer.ids_per_second == 2000
    stereo = Audio(NOISE, 44_100)
    assert len(tokenizer.prepare(stereo)) == pytest.approx(len(NOISE) * 8000 / 44_100, abs=0.5)
    ids = tokenizer.encode(Audio(np.array([1, 1, 1, 1, -1], np.float32), 8000))
    assert ids.tolist() == [0, 1]
    made = tokenizer.decode(ids)
    assert made.rate == 8000
    assert made.samples.tolist() == [1.0] * 4 + [-1.0] * 4
    assert tokenizer.encode(Audio(NOISE[:0], 44_100)).tolist() == []
    assert tokenizer.decode([]).samples.shape == (0,)


def test_what_is_no_sound_is_refused() -> None:
    tokenizer = Signs()
    with pytest.raises(ZooError, match="a sound has samples and a rate, got str"):
        tokenizer.encode("a.wav")  # type: ignore[arg-type]
    with pytest.raises(ZooError, match="sample 2 is nan, not a number"):
        tokenizer.encode(Audio(np.array([0, 1, np.nan], np.float32), 44_100))
    with pytest.raises(ZooError, match="id 2 at position 1 is outside the vocabulary of 2 ids"):
        tokenizer.decode([0, 2])
