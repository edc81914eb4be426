"""How far the spectra of two sounds are apart, item by item: what Jukebox's codec is trained on and judged by.

Dhariwal et al. 2020, section 3.3, with the details of their code: magnitudes of short-time Fourier transforms with a
periodic Hann window, centred, the borders reflected. Nothing here has an infinite slope: silence, constant samples,
and outputs that equal their targets give finite gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.errors import ZooError

N_FFT, HOP, WINDOW = 2048, 256, 1536
"""Transform, hop and window, in samples, of all that is measured with one resolution."""
QUIET = 2e-3
"""Norm of a spectrum that counts as silence, against which convergence is not defined and counts as 0."""


def magnitudes(samples: Tensor, n_fft: int = N_FFT, hop: int = HOP, window: int = WINDOW) -> Tensor:
    """Return the magnitudes (batch, n_fft // 2 + 1 frequencies, time // hop + 1 frames) of sounds, float32.

    Args:
        samples: (batch, time).
        n_fft: samples of a transform.
        hop: samples between frames.
        window: samples of the Hann window, which is in the middle of the transform.

    Raises:
        ZooError: too few samples for the borders to be reflected.
    """
    time = samples.shape[-1]
    if time <= n_fft // 2:
        raise ZooError(f"{time} samples are too few for spectra over {n_fft}; use at least {n_fft // 2 + 1}")
    with torch.autocast(samples.device.type, enabled=False):
        shape = torch.hann_window(window, device=samples.device)
        return torch.stft(samples.float(), n_fft, hop, window, shape, center=True, return_complex=True).abs()


def spectral_convergence(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return how far magnitudes of sounds (batch, time) are apart, (batch,); 0 for silent targets.

    That is the Frobenius norm of their difference over that of the targets'. In decibels: 20 log10 of its mean over
    the items.

    Raises:
        ZooError: too few samples; see ``magnitudes``.
    """
    target = magnitudes(targets)
    distance, norm = _norm(magnitudes(outputs) - target), _norm(target)
    return torch.where(norm > QUIET, distance / norm.clamp_min(QUIET), 0.0)


def _norm(spectrum: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(spectrum, dim=(1, 2))
    return norm
