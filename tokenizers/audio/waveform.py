"""Sound as numbers: samples in [-1, 1] at a rate, mixed to one channel and brought to another rate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zoo.errors import ZooError

Samples = NDArray[np.float32]
"""float32 (time,) or (time, channels), full scale is [-1, 1]."""
LOWEST_RATE, HIGHEST_RATE = 1000, 768_000
"""Samples per second that anything can have; what says otherwise is damaged, or no sound."""


class Waveform(Protocol):
    """Anything with samples (time,) or (time, channels) at a rate: an ``Audio``, or ``zoo.data.records.Sound``."""

    @property
    def samples(self) -> NDArray[Any]:
        """Numbers in [-1, 1]."""

    @property
    def rate(self) -> int:
        """Samples per second."""


@dataclass(frozen=True, eq=False)
class Audio:
    """One channel of sound: what tokenizers of music decode to, and what a model of music generates.

    Attributes:
        samples: float32 (time,) in [-1, 1].
        rate: samples per second.
    """

    samples: Samples
    rate: int

    def __post_init__(self) -> None:
        check_rate(self.rate)
        if self.samples.ndim != 1:
            raise ZooError(f"audio has samples of shape (time,), got {self.samples.shape}; mix them with to_mono")

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate


def check_rate(rate: int) -> None:
    """Refuse a number of samples per second that no sound has.

    Raises:
        ZooError: say so.
    """
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise ZooError(f"rate must be {LOWEST_RATE} to {HIGHEST_RATE} samples per second, got {rate}")


def check_finite(samples: Samples, first: int = 0) -> None:
    """Refuse samples that are no numbers.

    Args:
        samples: (time,) or (time, channels).
        first: number of the first of them, for the message.

    Raises:
        ZooError: name the first one.
    """
    if not np.isfinite(samples).all():
        place = tuple(np.argwhere(~np.isfinite(samples))[0])
        raise ZooError(f"sample {first + place[0]} is {samples[place]}, not a number; write the sound again")


def to_mono(samples: NDArray[Any], weights: Sequence[float] | NDArray[Any] | None = None) -> Samples:
    """Return one channel of samples (time,) or (time, channels), float32 (time,).

    Args:
        samples: numbers in [-1, 1].
        weights: share of each channel, (channels,), which add up to 1; None for equal ones.

    Raises:
        ZooError: samples of another shape.
    """
    values = np.asarray(samples)
    if values.ndim not in (1, 2) or (values.ndim == 2 and not values.shape[1]):
        raise ZooError(f"samples have the shape (time,) or (time, channels), got {values.shape}")
    values = values.astype(np.float32, copy=False)
    if values.ndim == 1:
        return values
    channels = values.shape[1]
    if channels == 1:
        return values[:, 0]
    shares = np.full(channels, 1 / channels) if weights is None else np.asarray(weights)
    mixed: Samples = values[:, 0] * np.float32(shares[0])
    for channel in range(1, channels):  # one after the other, so that a block gives the same bits as the whole
        mixed += values[:, channel] * np.float32(shares[channel])
    return mixed


def to_int16(samples: NDArray[Any]) -> NDArray[np.int16]:
    """Return samples in [-1, 1] as 16-bit numbers, louder ones clipped; a 16-bit file's come out as they were."""
    return np.clip(np.rint(samples * 32_768.0), -32_768, 32_767).astype(np.int16)


def from_int16(samples: NDArray[np.int16]) -> Samples:
    """Return 16-bit numbers as samples in [-1, 1)."""
    return samples.astype(np.float32) / np.float32(32_768)


def resample(samples: Samples, rate: int, wanted: int) -> Samples:
    """Return samples (time,) or (time, channels) of ``rate`` at the rate ``wanted``, as many as the seconds ask for.

    Band-limited, by soxr (high quality); the same samples where the rates are equal.

    Raises:
        ZooError: a rate that no sound has.
    """
    check_rate(rate)
    check_rate(wanted)
    if rate == wanted or not len(samples):
        return samples
    import soxr

    found: Samples = soxr.resample(samples, rate, wanted)
    return found


def resample_blocks(blocks: Iterable[Samples], rate: int, wanted: int) -> Iterator[Samples]:
    """Yield the samples that ``resample`` gives for all ``blocks`` joined, while they come.

    Args:
        blocks: (time,) or (time, channels) each.
        rate, wanted: samples per second, given and asked for.

    Raises:
        ZooError: a rate that no sound has.
    """
    check_rate(rate)
    check_rate(wanted)
    if rate == wanted:
        yield from blocks
        return
    import soxr

    stream, shape = None, ()
    for block in blocks:
        if stream is None:
            shape = block.shape[1:]
            stream = soxr.ResampleStream(rate, wanted, shape[0] if shape else 1, dtype="float32")
        found = stream.resample_chunk(block)
        if len(found):
            yield found
    if stream is not None:
        rest = stream.resample_chunk(np.empty((0, *shape), np.float32), last=True)
        if len(rest):
            yield rest
