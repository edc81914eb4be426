"""Sounds at one rate, from any place on: in memory as 16-bit numbers as far as they fit, else read where they lie."""

from __future__ import annotations

import math
import threading

import numpy as np
from numpy.typing import NDArray

from zoo.data.read_sound import Readable, SoundRecords
from zoo.tokenizers.audio.waveform import Samples, from_int16, resample, resample_blocks, to_int16, to_mono

MARGIN = 1024
"""Samples, at the lower of two rates, on each side of a part that is resampled: soxr's filters reach less far."""


class Recordings:
    """The sounds of a data set at one rate.

    Which sounds are kept in memory is a matter of their order and lengths alone, and they are read when they are first
    asked for. A part is the same each time, and kept or not it is the same up to the rounding to 16 bits.

    Args:
        records: the sounds.
        rate: samples per second that are wanted.
        mono: channels are mixed, with equal shares.
        memory: bytes that kept sounds may take.

    Attributes:
        lengths: int64 (sounds,), samples of each at ``rate``; fewer can be had of a file whose header lies.

    Raises:
        ZooError: a file that cannot be read.
    """

    def __init__(self, records: SoundRecords, *, rate: int, mono: bool, memory: int) -> None:
        self._records, self._rate, self._mono = records, rate, mono
        facts = []
        for number in range(len(records)):
            with records.open(number) as sound:
                facts.append((sound.frames, sound.rate, 1 if mono else sound.channels))
        table = np.array(facts, dtype=np.int64).reshape(-1, 3)
        self.lengths: NDArray[np.int64] = np.rint(table[:, 0] * (rate / table[:, 1])).astype(np.int64)
        self._kept = np.cumsum(2 * self.lengths * table[:, 2]) <= memory
        self._known: dict[int, NDArray[np.int16]] = {}
        self._reading = threading.Lock()

    def part(self, number: int, start: int, count: int) -> Samples:
        """Return samples (time, channels) of a sound from ``start`` on, fewer than ``count`` where it ends before.

        Raises:
            ZooError: a file that cannot be read.
        """
        if self._kept[number]:
            return from_int16(self._whole(number)[start : start + count])
        with self._records.open(number) as sound:
            return self._sought(sound, start, count)

    def _whole(self, number: int) -> NDArray[np.int16]:
        with self._reading:  # batches are made by several threads
            if number not in self._known:
                with self._records.open(number) as sound:
                    blocks = (self._mixed(block) for block in sound.blocks())
                    found = [to_int16(block) for block in resample_blocks(blocks, sound.rate, self._rate)]
                self._known[number] = np.concatenate(found) if found else np.empty((0, 1), np.int16)
            return self._known[number]

    def _sought(self, sound: Readable, start: int, count: int) -> Samples:
        """Return a part as the whole has it: resampling begins where a sample of both rates lies at the same time."""
        common = math.gcd(sound.rate, self._rate)
        own, wanted = sound.rate // common, self._rate // common  # so many samples each of the same time
        margin = -(-MARGIN // min(own, wanted))
        first = max(0, start // wanted - margin)
        last = -(-(start + count) // wanted) + margin
        given = self._mixed(sound.part(first * own, (last - first) * own))
        place = start - first * wanted
        return np.clip(resample(given, sound.rate, self._rate)[place : place + count], -1, 1)

    def _mixed(self, block: Samples) -> Samples:
        return to_mono(block)[:, None] if self._mono else block
