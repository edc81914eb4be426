"""Distances of spectra: known values, and gradients that stay numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from zoo.errors import ZooError
from zoo.tokenizers.audio.spectra import QUIET, magnitudes, spectral_convergence


def distance(outputs: torch.Tensor, targets: torch.Tensor, *scale: int) -> torch.Tensor:
    """Return what the loss of sounds is made of: the norm of the difference of magnitudes, (batch,)."""
    return torch.linalg.vector_norm(magnitudes(outputs, *scale) - magnitudes(targets, *scale), dim=(1, 2))


def test_magnitudes_are_those_of_a_transform_of_each_frame() -> None:
    torch.manual_seed(0)
    samples, n_fft, hop, window = torch.randn(2, 500), 64, 20, 48
    found = magnitudes(samples, n_fft, hop, window)
    assert found.shape == (2, 33, 26)
    padded = np.pad(samples.numpy().astype(np.float64), ((0, 0), (32, 32)), mode="reflect")
    shape = np.zeros(64)
    shape[8:56] = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(48) / 48)
    frames = np.stack([padded[:, at : at + 64] * shape for at in range(0, 501, 20)], 2)
    np.testing.assert_allclose(found.numpy(), np.abs(np.fft.rfft(frames, axis=1)), atol=1e-5)


def test_convergence() -> None:
    torch.manual_seed(0)
    target = torch.randn(3, 4000)
    target[2] = 0
    output = torch.stack([2 * target[0], target[1], torch.randn(4000)])
    convergence = spectral_convergence(output, target)
    torch.testing.assert_close(convergence, torch.tensor([1.0, 0.0, 0.0]))  # silence converges by definition


def test_nearly_silent_targets_count_as_silent() -> None:
    quiet = torch.full((1, 4000), 1e-7)
    assert magnitudes(quiet).norm() <= QUIET
    assert spectral_convergence(torch.ones(1, 4000), quiet) == 0


@pytest.mark.parametrize("target", [0.0, 0.5])
@pytest.mark.parametrize("output", [0.0, 0.5])
def test_gradients_stay_numbers(target: float, output: float) -> None:
    sound = torch.full((2, 3000), output, requires_grad=True)
    targets = torch.full((2, 3000), target)
    for measure in (distance, spectral_convergence):
        sound.grad = None
        measure(sound, targets).sum().backward()
        assert sound.grad is not None
        assert bool(sound.grad.isfinite().all())
    if target == output:
        assert not distance(sound, targets).any()


def test_gradients_are_right() -> None:
    torch.manual_seed(0)
    target = torch.randn(1, 40, dtype=torch.float32)
    sound = torch.randn(1, 40, requires_grad=True)
    distance(sound, target, 16, 4, 12).sum().backward()
    assert sound.grad is not None
    step = 1e-2 * torch.randn(1, 40)
    change = distance(sound + step, target, 16, 4, 12) - distance(sound - step, target, 16, 4, 12)
    assert change.item() == pytest.approx(2 * (sound.grad * step).sum().item(), rel=1e-2)


def test_short_sounds_get_one_line() -> None:
    with pytest.raises(ZooError, match=r"^1024 samples are too few for spectra over 2048; use at least 1025$"):
        magnitudes(torch.zeros(1, 1024))


def test_autocast_leaves_spectra_alone() -> None:
    samples = torch.randn(1, 4000)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(magnitudes(samples.bfloat16().float()), magnitudes(samples.bfloat16()))
