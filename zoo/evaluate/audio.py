"""How near a reconstructed sound is to its original, in figures with one definition each.

Every measure takes sounds as float tensors (batch, time) in [-1, 1], the reconstruction first, and gives one value per
row, so that means over rows are the caller's. Rows are best clips of some seconds: see ``clips``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from einops import reduce
from torch import Tensor
from torch.nn import functional

from zoo.errors import ZooError
from zoo.tokenizers.audio.spectra import spectral_convergence as spectral_convergence

CLIP_SECONDS = 10.0
"""What a measure looks at at once."""
LIMIT = 100.0
"""Most decibels that a ratio is stated with: beyond it are rounding errors of float32."""
N_FFT, HOP, BANDS = 2048, 512, 80
"""Of the log-mel distance: windows of 93 ms every 23 ms at 22.05 kHz."""
SHORTEST = 2048
"""Samples of a clip that all measures are defined for."""
RANGE = 80.0
"""Decibels below an original's loudest band and moment that count as silence in the log-mel distance."""


def si_sdr(reconstruction: Tensor, original: Tensor) -> Tensor:
    """Return the scale-invariant signal-to-distortion ratio of each row in dB, (batch,); more is better.

    The reconstruction is split into a multiple of the original and a rest, whose energies are compared (Le Roux et al.
    2019, "SDR - half-baked or well done?", section 2). Means are not subtracted. Cut to -100 ... 100 dB; NaN for an
    original that is silent.
    """
    _check(reconstruction, original)
    estimate, target = reconstruction.double(), original.double()
    energy = reduce(target.square(), "batch time -> batch", "sum")
    scale = reduce(estimate * target, "batch time -> batch", "sum") / energy
    projected = scale[:, None] * target
    signal = reduce(projected.square(), "batch time -> batch", "sum")
    noise = reduce((estimate - projected).square(), "batch time -> batch", "sum")
    tiny = torch.finfo(torch.float64).tiny
    ratio = 10.0 * (signal.clamp(min=tiny).log10() - noise.clamp(min=tiny).log10())
    ratio = torch.where(signal > 0, ratio.clamp(-LIMIT, LIMIT), -LIMIT)  # also where nothing is left of the sound
    return torch.where(energy > 0, ratio, math.nan)


def log_mel_distance(reconstruction: Tensor, original: Tensor, *, rate: int) -> Tensor:
    """Return the mean absolute difference of log-mel spectrograms of each row in dB, (batch,); less is better.

    Power spectrograms of ``librosa.feature.melspectrogram`` (2048 samples, hop 512, 80 bands), in dB; whatever is more
    than 80 dB below the original's maximum counts as 80 dB below it, so that digital silence is not infinitely far from
    very soft noise. Nothing in both is 0.

    Args:
        reconstruction, original: (batch, time).
        rate: samples per second.
    """
    import librosa

    _check(reconstruction, original)

    def power(sound: Tensor) -> Tensor:
        samples = sound.detach().cpu().float().numpy()
        found = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=N_FFT, hop_length=HOP, n_mels=BANDS)
        return torch.from_numpy(found).double()

    heard, meant = power(reconstruction), power(original)
    floor = (reduce(meant, "batch bands frames -> batch 1 1", "max") * 10 ** (-RANGE / 10)).clamp(min=1e-10)
    heard, meant = (10.0 * torch.maximum(each, floor).log10() for each in (heard, meant))
    return reduce((heard - meant).abs(), "batch bands frames -> batch", "mean")


def decibels(ratios: Iterable[float] | Tensor) -> float:
    """Return the mean of amplitude ratios in dB: the mean first, then ``20 log10``; -100 at least.

    That is how ``spectral_convergence_db`` is defined, from ``spectral_convergence`` of many clips.

    Raises:
        ZooError: there are none.
    """
    values = torch.as_tensor(ratios if isinstance(ratios, Tensor) else list(ratios), dtype=torch.float64)
    if not values.numel():
        raise ZooError("no sounds to measure")
    return 20.0 * math.log10(max(float(values.mean()), 10 ** (-LIMIT / 20)))


def bits_per_second(tokens_per_second: float, codes: int) -> float:
    """Return the bits that one second of ids takes if each is written with ``log2(codes)`` bits."""
    return tokens_per_second * math.log2(codes)


def clips(*sounds: Tensor, rate: float, seconds: float = CLIP_SECONDS) -> Iterator[tuple[Tensor, ...]]:
    """Yield the same stretches of several sounds (time,) as rows (1, time); the last one may be up to twice as long.

    Args:
        sounds: of one length.
        rate: samples per second.
        seconds: of each stretch.
    """
    total, size = len(sounds[0]), max(1, round(rate * seconds))
    ends = [*range(size, total - size + 1, size), total]
    for begin, end in zip([0, *ends[:-1]], ends, strict=True):
        yield tuple(sound[None, begin:end] for sound in sounds)


def measure(reconstruction: Tensor, original: Tensor, *, rate: int) -> Measures:
    """Return the measures of one sound against its original, both (time,), clip by clip."""
    found = Measures()
    for heard, meant in clips(reconstruction, original, rate=rate):
        found.add(heard, meant, rate=rate)
    return found


class Measures:
    """Measures of many clips, and their means: one value for a whole set of sounds."""

    def __init__(self) -> None:
        self.convergence: list[float] = []
        self.ratio: list[float] = []
        self.mel: list[float] = []

    def add(self, reconstruction: Tensor, original: Tensor, *, rate: int) -> None:
        """Take in clips (batch, time); what is shorter than a window of the spectra is filled up with silence."""
        missing = max(0, SHORTEST - original.shape[-1])
        reconstruction, original = (functional.pad(each, (0, missing)) for each in (reconstruction, original))
        self.convergence += spectral_convergence(reconstruction.float(), original.float()).tolist()
        self.ratio += si_sdr(reconstruction, original).tolist()
        self.mel += log_mel_distance(reconstruction, original, rate=rate).tolist()

    def join(self, other: Measures) -> None:
        """Take in the measures of other clips."""
        self.convergence += other.convergence
        self.ratio += other.ratio
        self.mel += other.mel

    def metrics(self) -> dict[str, float | None]:
        """Return ``spectral_convergence_db``, ``si_sdr_db`` and ``log_mel_distance_db``; None where all is silent."""
        heard = [ratio for ratio in self.ratio if not math.isnan(ratio)]
        return {
            "spectral_convergence_db": decibels(self.convergence),
            "si_sdr_db": sum(heard) / len(heard) if heard else None,
            "log_mel_distance_db": sum(self.mel) / len(self.mel),
        }


def _check(reconstruction: Tensor, original: Tensor) -> None:
    if reconstruction.shape != original.shape or original.ndim != 2 or not original.numel():
        raise ZooError(
            "sounds to compare are (batch, time) of one shape, got "
            f"{tuple(reconstruction.shape)} and {tuple(original.shape)}"
        )
