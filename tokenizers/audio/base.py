"""What every audio tokenizer is: a sound of any rate and number of channels to ids, and back to one channel."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.errors import ZooError
from zoo.tokenizers.audio.waveform import Audio, Samples, Waveform, check_finite, check_rate, resample, to_mono
from zoo.tokenizers.base import Tokenizer
from zoo.tokenizers.ids import check_ids


class AudioTokenizer(Tokenizer[Audio]):
    """A tokenizer of sounds, which are mixed to one channel and brought to its rate first.

    Args:
        rate: samples per second that it reads and makes.
        hop: samples that one id stands for, or one step of ids where ``ids_per_hop`` of them stand for the same time.
        ids_per_hop: ids of every step.
    """

    def __init__(self, *, rate: int, hop: int, ids_per_hop: int = 1) -> None:
        check_rate(rate)
        if hop < 1 or ids_per_hop < 1:
            raise ZooError(f"hop and ids_per_hop must be at least 1, got {hop} and {ids_per_hop}")
        self.rate, self.hop, self.ids_per_hop = rate, hop, ids_per_hop

    @property
    def ids_per_second(self) -> float:
        """What ``spec.tokens_per_second`` states."""
        return self.rate / self.hop * self.ids_per_hop

    def count(self, seconds: float) -> int:
        """Return how many ids a sound of so many seconds has."""
        return -(-round(seconds * self.rate) // self.hop) * self.ids_per_hop

    def begin(self, sample: Waveform) -> Tensor:
        """Return the ids that longer sounds begin with which begin with ``sample``, int64 (time,); see ``encode``."""
        return self.encode(sample)

    def silence(self) -> int:
        """Return the last id of a moment of silence: what a sound may be thought to come after."""
        return int(self.encode_samples(torch.zeros(self.hop))[-1])

    def prepare(self, sample: Waveform) -> Samples:
        """Return the sound as it is encoded: float32 (time,), one channel, at ``rate``.

        Args:
            sample: anything with samples (time,) or (time, channels) in [-1, 1] and a rate, of any length.

        Raises:
            ZooError: no such thing, or samples that are no numbers.
        """
        rate = getattr(sample, "rate", None)
        if rate is None or not hasattr(sample, "samples"):
            raise ZooError(f"a sound has samples and a rate, got {type(sample).__name__}; say Audio(samples=, rate=)")
        samples = sample.samples
        if isinstance(samples, Tensor):
            samples = samples.detach().cpu().numpy()
        mono = to_mono(samples)
        check_finite(mono)
        return resample(mono, int(rate), self.rate)

    def encode(self, sample: Waveform) -> Tensor:
        """Return the ids of a sound, int64 (time,); see ``prepare`` for what may be given.

        Raises:
            ZooError: no sound, or samples that are no numbers.
        """
        return self.encode_samples(torch.from_numpy(np.ascontiguousarray(self.prepare(sample))))

    def encode_blocks(self, blocks: Iterable[Samples]) -> Iterator[Tensor]:
        """Yield the ids of a sound that comes in blocks (time,) at ``rate``; joined, they are those of one piece.

        Here the blocks are joined first; a tokenizer that need not see all of a long sound at once says so itself.
        """
        joined = [np.empty(0, np.float32), *blocks]
        yield self.encode_samples(torch.from_numpy(np.concatenate(joined)))

    def decode(self, ids: Tensor | Sequence[int] | NDArray[Any]) -> Audio:
        """Return the sound that ``ids``, shape (time,), stand for, in [-1, 1].

        Raises:
            ZooError: some are none.
        """
        values = torch.from_numpy(check_ids(ids, self.spec.vocabulary_size))
        samples = self.decode_samples(values).detach().cpu().float().clamp(-1, 1)
        return Audio(samples=samples.numpy(), rate=self.rate)

    @abstractmethod
    def encode_samples(self, samples: Tensor) -> Tensor:
        """Return the ids (time,) int64 of samples (time,) float32 at ``rate``; a last hop that is not full is filled up
        with silence, and no samples give no ids."""

    @abstractmethod
    def decode_samples(self, ids: Tensor) -> Tensor:
        """Return the samples (time,) float32 at ``rate`` of ids (time,), which are known to be in the vocabulary."""
