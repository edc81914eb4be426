"""The VQ-VAE of sound: fast convolutions held to PyTorch's, what it refuses, silence, and levels as tokenizers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from zoo.data.base import SampleBatch
from zoo.errors import ZooError
from zoo.tokenizers import registry
from zoo.tokenizers.audio.vqvae import layers, tiles
from zoo.tokenizers.audio.vqvae.config import VqvaeConfig
from zoo.tokenizers.audio.vqvae.network import Vqvae
from zoo.tokenizers.audio.waveform import Audio
from zoo.tokenizers.codecs import build_codec
from zoo.train.reconstruct import Bandwidth, SoundReconstruction

SMALL = VqvaeConfig(
    rate=8000, codes=16, code_width=6, width=4, depth=2, downs=(2, 1), strides=(2, 4), multipliers=(2, 1),
    hidden_ratio=1.5,
)  # fmt: skip


def small(**changes: Any) -> Vqvae:
    torch.manual_seed(0)
    codec = build_codec(dataclasses.replace(SMALL, **changes))
    assert isinstance(codec, Vqvae)
    for level in range(codec.levels):
        codec.codebook(level).adopt(torch.randn(16, 6) * 0.1)
    return codec


def both(module: nn.Module, inputs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return result, gradient of the inputs and those of the weights: by tiles, and by PyTorch's convolutions."""
    found = []
    weights = torch.randn(7, dtype=inputs.dtype)
    for tiled in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(layers, "_tiled", lambda _, tiled=tiled: tiled)
            values = inputs.clone().requires_grad_()
            result = module(values * 1.0)
            module.zero_grad()
            # some weighting, which is not the same for any two neighbours
            places = weights.repeat(result.numel() // 7 + 1)[: result.numel()].view_as(result)
            (result * places).sum().backward()
            with torch.no_grad():
                assert torch.equal(module(inputs.clone()), result) or not tiled
            gradients = [parameter.grad.clone() for parameter in module.parameters() if parameter.grad is not None]
            assert values.grad is not None
            found.append([result.detach(), values.grad, *gradients])
    return found[0], found[1]


modules = st.one_of(
    st.builds(layers.Same, st.integers(1, 5), st.integers(1, 5)),
    st.builds(layers.Down, st.integers(1, 5), st.integers(1, 5), st.sampled_from([2, 4, 6])),
    st.builds(layers.Up, st.integers(1, 5), st.integers(1, 5), st.sampled_from([2, 4, 6])),
    st.builds(layers.ResidualBlocks, st.integers(1, 5), st.integers(1, 5), st.lists(st.integers(1, 30), max_size=3)),
)


@given(module=modules, batch=st.integers(1, 3), time=st.integers(6, 200), seed=st.integers(0, 99))
def test_tiles_do_what_convolutions_do(module: nn.Module, batch: int, time: int, seed: int) -> None:
    torch.manual_seed(seed)
    module = module.double()
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    first = next(module.parameters(), torch.empty(0, 3))
    width = first.shape[0] if isinstance(module, layers.Up) else first.shape[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "CACHED", 1)  # tiles of 64 rows
        tiled, plain = both(module, torch.randn(batch, time, width, dtype=torch.float64))
    assert len(tiled) == len(plain)
    for one, other in zip(tiled, plain, strict=True):
        torch.testing.assert_close(one, other)


def test_tiles_do_what_convolutions_do_in_a_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    codec, samples = small(), torch.randn(2, 160, 1) * 0.3
    fast = codec.encode(samples)
    sounds = [codec.decode(ids, level) for level, ids in enumerate(fast)]
    monkeypatch.setattr(layers, "_tiled", lambda _: False)
    for level, ids in enumerate(codec.encode(samples)):
        assert torch.equal(ids, fast[level])
        torch.testing.assert_close(codec.decode(ids, level), sounds[level])


def test_autocast_leaves_tiles_alone() -> None:
    codec, samples = small().train(), torch.randn(2, 160, 1) * 0.3
    wanted = codec(samples).outputs
    with torch.autocast("cpu", torch.bfloat16):
        found = codec(samples).outputs
        torch.stack([output.sum() for output in found]).sum().backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            assert torch.equal(codec.eval()(samples).outputs[0], codec.decode(codec.encode(samples)[0], 0))
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_encoding_changes_no_inputs() -> None:
    codec, samples = small(), torch.randn(1, 160, 1)
    before = samples.clone()
    ids = codec.encode(samples)
    vectors = codec.codebook(0).lookup(ids[0])
    kept = vectors.clone()
    with torch.no_grad():
        codec.render(vectors, 0)
    assert torch.equal(samples, before)
    assert torch.equal(vectors, kept)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"downs": ()}, "downs must name 1 to 8 levels, got 0"),
        ({"downs": (2,)}, "strides must have one number for each of the 1 levels in downs"),
        ({"multipliers": (1,)}, "multipliers must have one number for each of the 2 levels in downs"),
        ({"downs": (0, 1)}, "downs must be 1 to 20 each, got [0, 1]"),
        ({"strides": (3, 2)}, "strides must be even, 2 to 64, so that lengths come out whole; got [3, 2]"),
        ({"downs": (20, 1)}, "one id of the top level would stand for 4194304 samples, more than 1048576"),
        ({"rate": 10}, "rate must be 1000 to 1000000 samples a second, got 10"),
        ({"multipliers": (0, 1)}, "multipliers must be at least 1, got [0, 1]"),
        ({"width": 5000}, "width must be 1 to 8192, times the largest multiplier; got 5000 x 2"),
        ({"depth": 40}, "depth must be 0 to 64, times the largest multiplier; got 40 x 2"),
        ({"hidden_ratio": 0.1}, "hidden_ratio must leave 1 to 16 times the width inside a block, got 0.1"),
        ({"dilation_growth": 0}, "dilation_growth must be 1 to 64, got 0"),
        ({"dilation_cycle": 0}, "dilation_cycle must be at least 1, or null for none; got 0"),
        ({"depth": 16}, "dilations grow beyond 1048576 samples; set dilation_cycle, or a smaller depth or growth"),
        ({"codes": 0}, "codes must be 2 to 1048576, got 0"),
    ],
)
def test_wrong_settings_get_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ZooError) as caught:
        dataclasses.replace(SMALL, **changes)
    assert str(caught.value) == message


def test_wrong_samples_get_one_line() -> None:
    codec = small()
    assert codec.hops == (4, 16)
    for samples, message in [
        (torch.zeros(2, 20, 1), "20 samples are no multiple of 16, the hop of the level; pad with zeros or cut"),
        (torch.zeros(2, 0, 1), "0 samples are no multiple of 16"),
        (torch.zeros(2, 16), r"sound for this codec has the shape \(batch, time, 1\), got \(2, 16\)"),
        (torch.zeros(2, 16, 2), r"sound for this codec has the shape \(batch, time, 1\), got \(2, 16, 2\)"),
    ]:
        with pytest.raises(ZooError, match=message):
            codec.encode(samples)
        with pytest.raises(ZooError, match=message):
            codec(samples)
    assert codec.encode(torch.zeros(2, 20, 1), [0])[0].shape == (2, 5)
    with pytest.raises(ZooError, match="no level 2: this codec has levels 0 to 1, the finest first"):
        codec.encode(torch.zeros(2, 16, 1), [2])
    with pytest.raises(ZooError, match="ids must be 0 to 15, got 16 to 16"):
        codec.decode(torch.tensor([[16]]), 0)


@pytest.mark.parametrize("value", [0.0, 0.5, -1.0])
def test_silence_and_constant_samples_give_numbers(value: float) -> None:
    codec = build_codec(SMALL).train()
    weights = {"l1": 1.0, "l2": 1.0, "linf": 1.0, "spectral": 1.0, "multispectral": 1.0, "commitment": 1.0}
    objective = SoundReconstruction(bandwidth=Bandwidth(l1=1.0, l2=1.0, spectral=1.0), **weights)
    batch = SampleBatch(samples=torch.full((2, 1600, 1), value), indices=torch.arange(2))
    for _ in range(3):
        codec.zero_grad()
        losses = torch.stack(objective.losses(codec, batch))
        losses.sum().backward()  # type: ignore[no-untyped-call]
        codec.settle()
        assert losses.isfinite().all()
        assert all(bool(p.grad.isfinite().all()) for p in codec.parameters() if p.grad is not None)
        assert all(bool(value.isfinite().all()) for value in codec.state_dict().values())
        assert all(value == value for value in codec.health().values())


def test_losses_go_down() -> None:
    torch.manual_seed(0)
    codec, time = small(multipliers=(1, 1)).train(), torch.arange(1280) / 8000
    samples = 0.3 * torch.stack([torch.sin(6.283 * pitch * time) for pitch in (220, 330, 440, 550)])[..., None]
    objective = SoundReconstruction(bandwidth=Bandwidth(l1=0.2, l2=0.045, spectral=50.0))
    batch = SampleBatch(samples=samples, indices=torch.arange(4))
    optimizer, losses = torch.optim.Adam(codec.parameters(), lr=3e-3), []
    for _ in range(40):
        optimizer.zero_grad()
        objective.begin(codec)
        loss = torch.stack(objective.losses(codec, batch)).sum() / samples.numel()
        loss.backward()
        optimizer.step()
        objective.settle(codec)
        losses.append(loss.item())
    assert losses[-1] < 0.75 * losses[0]
    assert {"level_0_usage", "level_1_usage", "level_1_entropy"} <= codec.health().keys()


def test_a_level_is_a_tokenizer(tmp_path: Path) -> None:
    codec, samples = small().eval(), torch.randn(100) * 0.3
    tokenizer = codec.level(1)
    assert (tokenizer.rate, tokenizer.hop) == (8000, 16)
    spec = tokenizer.spec
    assert (spec.type, spec.modality, spec.vocabulary_size, spec.tokens_per_second) == ("vqvae", "music", 16, 500.0)
    ids = tokenizer.encode(Audio(samples.numpy(), 8000))
    assert ids.shape == (7,)  # the last one is filled up with silence
    padded = nn.functional.pad(samples, (0, 12))[None, :, None]
    assert torch.equal(ids, codec.encode(padded)[1][0])
    sound = tokenizer.decode(ids)
    assert len(sound.samples) == 112
    assert tokenizer.encode(Audio(samples[:0].numpy(), 8000)).shape == (0,)

    tokenizer.save(tmp_path / "level")
    assert {path.name for path in (tmp_path / "level").iterdir()} == {"spec.json", "codec.json", "codec.safetensors"}
    loaded = registry.load(tmp_path / "level")
    assert loaded.spec == spec
    assert torch.equal(loaded.encode(Audio(samples.numpy(), 8000)), ids)
    assert (loaded.decode(ids).samples == sound.samples).all()


def test_fingerprints_tell_levels_and_weights_apart() -> None:
    codec = small()
    first, second = codec.level(0).spec.fingerprint, codec.level(1).spec.fingerprint
    assert first != second
    assert codec.level(0).spec.fingerprint == first
    codec.codebook(0).vectors[3, 1] += 1e-3
    assert codec.level(0).spec.fingerprint != first
    assert codec.level(1).spec.fingerprint == second


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "codec.safetensors").unlink(), "codec.safetensors"),
        (lambda folder: (folder / "codec.safetensors").write_bytes(b"\xff" * 900_000), "codec.safetensors"),
        (lambda folder: (folder / "codec.json").write_text("[]"), "codec.json"),
        (lambda folder: _edit(folder, '"width": 4', '"width": 8'), "codec.safetensors"),
        (lambda folder: _edit(folder, '"width": 4', '"width": 4096'), r"codec.safetensors holds [\d,]+ bytes"),
        (lambda folder: _edit(folder, '"rate": 8000', '"rate": 9000'), "fingerprint"),
        (lambda folder: _edit(folder, '"strides": [', '"strides": [3, '), "one number for each"),
    ],
)
def test_damaged_folders_get_one_line(tmp_path: Path, damage: Any, message: str) -> None:
    small().level(1).save(tmp_path)
    damage(tmp_path)
    with pytest.raises(ZooError, match=message) as caught:
        registry.load(tmp_path)
    assert "\n" not in str(caught.value)


def _edit(folder: Path, old: str, new: str) -> None:
    path = folder / "codec.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_samples_outside_the_reach_do_not_matter() -> None:
    """Encoders are not causal, and finite: an id sees its own stretch and what is near it on both sides."""
    codec = small()
    for level in range(2):
        samples = torch.zeros(1, 16 * 40, 1, requires_grad=True)
        codec.features(samples, level)[0, 20 * 16 // codec.hops[level]].sum().backward()
        assert samples.grad is not None
        seen = samples.grad[0, :, 0].nonzero()[:, 0]
        reach, begin = codec.tower(level).encoder_reach, 20 * 16
        assert begin - reach <= int(seen.min()) < begin
        assert begin + codec.hops[level] <= int(seen.max()) < begin + codec.hops[level] + reach
