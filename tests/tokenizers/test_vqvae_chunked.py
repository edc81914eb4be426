"""Long sounds in chunks: the ids and samples of one piece, whatever the network, the chunks and the blocks."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT
from zoo.errors import ZooError
from zoo.tokenizers.audio.vqvae.chunked import decoder_reach, encode_blocks, encoder_reach, windows
from zoo.tokenizers.audio.vqvae.config import VqvaeConfig
from zoo.tokenizers.audio.vqvae.network import Vqvae

TIE = 1e-5
"""Relative difference of the two nearest distances below which rounding may decide."""


def codec_of(config: VqvaeConfig, seed: int = 0, samples: torch.Tensor | None = None) -> Vqvae:
    """Return a codec with random weights, and codebooks of features of ``samples``, of noise if there are none."""
    torch.manual_seed(seed)
    codec = Vqvae(config).eval()
    with torch.no_grad():  # as drawn, features are nearly constant, and every vector is as near as the next
        for name, weight in codec.named_parameters():
            weight.mul_(0.0 if name.endswith("bias") else 1.0 if "residual" in name else 6**0.5)
    heard = 0.3 * torch.randn(4096 * codec.hops[0]) if samples is None else samples
    for level in range(codec.levels):
        features = codec.features(heard[None, :, None], level)
        codec.codebook(level).adopt(features.flatten(0, 1).detach()[torch.randperm(features.shape[1])[: config.codes]])
    return codec


def small(**changes: object) -> VqvaeConfig:
    """Return a small configuration of two levels."""
    base = {"rate": 8000, "codes": 16, "code_width": 4, "width": 4, "depth": 2, "downs": (2, 1), "strides": (2, 4)}
    return VqvaeConfig(**{**base, "multipliers": (2, 1), **changes})  # type: ignore[arg-type]


configs = st.builds(
    small,
    depth=st.integers(0, 3),
    downs=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    strides=st.tuples(st.sampled_from([2, 4]), st.sampled_from([2, 4, 6])),
    multipliers=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    dilation_growth=st.integers(1, 3),
    dilation_cycle=st.one_of(st.none(), st.integers(1, 2)),
    reverse_decoder_dilation=st.booleans(),
)


def assert_same_ids(codec: Vqvae, samples: torch.Tensor, found: list[torch.Tensor]) -> int:
    """Hold ids to those of one piece, except for near ties; return how many ties were decided otherwise."""
    odd = 0
    for level, (ids, expected) in enumerate(zip(found, codec.encode(samples[None, :, None]), strict=True)):
        assert ids.shape == expected[0].shape
        features = codec.features(samples[None, :, None], level)[0].detach().double()
        for place in (ids != expected[0]).nonzero()[:, 0]:
            near = (codec.codebook(level).vectors.double() - features[place]).square().sum(1).sort().values
            assert near[1] - near[0] < TIE * near[1], f"level {level} differs at {place}, which is no tie"
            odd += 1
    return odd


@settings(max_examples=25)
@given(config=configs, seed=st.integers(0, 2**31), seconds=st.floats(1e-4, 0.2), data=st.data())
def test_ids_and_samples_are_those_of_one_piece(
    config: VqvaeConfig, seed: int, seconds: float, data: st.DataObject
) -> None:
    codec = codec_of(config, seed)
    time = data.draw(st.integers(1, 40)) * codec.hops[-1]
    samples = 0.3 * torch.randn(time)
    cuts = sorted(data.draw(st.lists(st.integers(0, time), max_size=4)))
    blocks = [samples[begin:end] for begin, end in pairwise([0, *cuts, time])]
    towers = [codec.tower(level) for level in range(codec.levels)]
    parts = zip(*encode_blocks(towers, blocks, seconds=seconds), strict=True)
    found = [torch.cat(stretches) for stretches in parts]
    assert_same_ids(codec, samples, found)
    for level, ids in enumerate(found):
        whole = codec.decode(ids[None], level)[0, :, 0]
        cut = data.draw(st.integers(0, len(ids)))
        pieces = list(towers[level].decode_blocks([ids[:cut], ids[cut:]], seconds=seconds))
        torch.testing.assert_close(torch.cat(pieces), whole, atol=1e-5, rtol=1e-5)


@settings(max_examples=15)
@given(config=configs, level=st.integers(0, 1))
def test_reach_is_exact(config: VqvaeConfig, level: int) -> None:
    """No sample beyond the reach matters, and the one at its end does: margins are neither too small nor too large."""
    codec = Vqvae(config).double().requires_grad_(False)
    for weight in codec.parameters():  # all positive, so that nothing cancels and no unit is dead
        weight.fill_(1 / weight[0].numel() if weight.ndim > 1 else 0.01)
    hop, reach = config.hops[level], encoder_reach(config, level)
    middle = -(-reach // hop) + 1
    samples = torch.full((1, (2 * middle + 1) * hop, 1), 0.5, dtype=torch.float64, requires_grad=True)
    features = codec.features(samples, level)
    (slope,) = torch.autograd.grad(features[0, middle].sum(), samples)
    touched = slope[0, :, 0].nonzero()[:, 0]
    assert [middle * hop - int(touched.min()), int(touched.max()) + 1 - (middle + 1) * hop] == [reach, reach]

    around = decoder_reach(config, level)
    vectors = torch.full((1, 2 * around + 5, config.code_width), 0.5, dtype=torch.float64, requires_grad=True)
    middle = around + 2
    sound = codec.render(vectors, level)
    (slope,) = torch.autograd.grad(sound[0, middle * hop : (middle + 1) * hop].sum(), vectors)
    touched = slope[0].sum(1).nonzero()[:, 0]
    assert [middle - int(touched.min()), int(touched.max()) - middle] == [around, around]


def test_reach_of_the_released_codec() -> None:
    config = VqvaeConfig()
    assert [encoder_reach(config, level) for level in range(3)] == [45_935, 2551, 10_455]
    assert [decoder_reach(config, level) for level in range(3)] == [5742, 80, 82]


@pytest.mark.parametrize("name", ["chorale-train007-choir.ogg", "chorale-train011-harpsichord.ogg"])
def test_real_sound(shared_data: Path, name: str) -> None:
    from zoo.data.sound_file import open_sound

    with open_sound(shared_data / "audio" / "chorales" / name) as sound:
        rate, samples = sound.rate, torch.from_numpy(np.concatenate([*sound.blocks()])[:, 0])
    config = VqvaeConfig(rate=rate, codes=512, code_width=16, width=8, depth=4)
    samples = samples[: 12 * rate // config.hops[-1] * config.hops[-1]]
    codec = codec_of(config, samples=samples)
    towers = [codec.tower(level) for level in range(codec.levels)]
    found = [torch.cat(parts) for parts in zip(*encode_blocks(towers, [samples], seconds=1.5), strict=True)]
    assert assert_same_ids(codec, samples, found) <= 3
    assert len({*found[0].tolist()}) > 20


def test_a_length_that_is_no_multiple_is_filled_up_with_silence() -> None:
    codec = codec_of(small())
    samples = 0.3 * torch.randn(1000)
    towers = [codec.tower(level) for level in range(2)]
    found = [torch.cat(parts) for parts in zip(*encode_blocks(towers, [samples], seconds=0.01), strict=True)]
    assert [len(ids) for ids in found] == [252, 63]
    assert_same_ids(codec, torch.nn.functional.pad(samples, (0, 8)), found)
    assert list(encode_blocks(towers, [])) == []
    assert list(encode_blocks(towers, [np.empty(0, np.float32)])) == []
    assert list(towers[0].decode_blocks([torch.empty(0, dtype=torch.int64)])) == []
    with pytest.raises(ZooError, match="seconds of a chunk must be positive"):
        next(encode_blocks(towers, [samples], seconds=0))


def test_tokenizers_of_levels_take_sounds_of_any_length() -> None:
    codec = codec_of(small())
    samples = 0.3 * torch.randn(80_003)  # ten seconds: more than a chunk
    for level in range(2):
        tokenizer, hop = codec.level(level), codec.hops[level]
        ids = tokenizer.encode_samples(samples)
        filled = torch.nn.functional.pad(samples, (0, -len(samples) % hop))
        assert torch.equal(ids, codec.encode(filled[None, :, None], [level])[0][0])
        assert torch.equal(
            torch.cat([*tokenizer.encode_blocks(np.asarray(part) for part in torch.split(samples, 999))]), ids
        )
        whole = codec.decode(ids[None], level)[0, :, 0]
        torch.testing.assert_close(tokenizer.decode_samples(ids), whole, atol=1e-5, rtol=1e-5)
        assert (len(tokenizer.encode_samples(samples[:0])), len(tokenizer.decode_samples(ids[:0]))) == (0, 0)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_sound() -> None:
    """An hour takes what a minute takes: measured in processes of their own, whose peaks are theirs alone."""
    code = (
        "import resource, sys, torch; from tests.tokenizers.test_vqvae_chunked import codec_of, encode_blocks, small\n"
        "codec = codec_of(small(rate=4000)); towers = [codec.tower(level) for level in range(2)]\n"
        "blocks = (torch.rand(4000) - 0.5 for second in range(int(sys.argv[1])))\n"
        "print(sum(len(fine) for fine, coarse in encode_blocks(towers, blocks)))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for seconds in (60, 3600):
        command = [sys.executable, "-c", code, str(seconds)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        count, peak = map(int, done.stdout.split())
        assert count == seconds * 1000
        peaks.append(peak / 1024)
    assert peaks[1] - peaks[0] < 32  # MiB; the samples of the hour alone would take 55


@given(
    lengths=st.lists(st.integers(0, 30), max_size=8),
    core=st.integers(1, 20),
    margin=st.integers(0, 15),
    multiple=st.integers(1, 5),
)
def test_windows_have_exactly_what_is_around(lengths: list[int], core: int, margin: int, multiple: int) -> None:
    total = sum(lengths)
    values = torch.arange(1, total + 1)
    filled = torch.nn.functional.pad(values, (0, -total % multiple))
    place = 0
    for window in windows(torch.split(values, lengths) if lengths else [], core=core, margin=margin, multiple=multiple):
        assert window.core == min(core, len(filled) - place)
        begin = max(0, place - margin)
        assert window.before == place - begin
        assert torch.equal(window.values, filled[begin : place + window.core + margin])
        half, before = window.around(margin // 2)
        assert torch.equal(half, filled[place - before : place + window.core + margin // 2])
        assert before == min(place, margin // 2)
        place += window.core
    assert place == len(filled)
