"""CRC-32C (Castagnoli), the checksum of TensorFlow's files, at memory speed: thousands of stretches side by side."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

POLYNOMIAL = 0x82F63B78
"""Bit-reversed, as all the arithmetic here."""

WORDS = 32
"""Four-byte words that each stretch is read over; a stretch is 128 bytes."""
MOST_STRETCHES = 1 << 14

Crcs = NDArray[np.uint32]


def crc32c(data: bytes | memoryview | NDArray[np.uint8], before: int = 0) -> int:
    """Return the CRC-32C of ``data``.

    Args:
        data: any number of bytes.
        before: the CRC of what came before it, to go on with.
    """
    rest = np.frombuffer(data, dtype=np.uint8)
    state = before ^ 0xFFFFFFFF
    stretch = 4 * WORDS
    while len(rest) >= stretch:
        count = min(MOST_STRETCHES, 1 << (len(rest) // stretch).bit_length() - 1)
        head, rest = rest[: count * stretch], rest[count * stretch :]
        state = _zeros_after(state, len(head)) ^ _side_by_side(head.view("<u4").reshape(count, WORDS))
    table, _, _ = _tables()
    for byte in rest.tolist():
        state = int(table[(state ^ byte) & 0xFF]) ^ (state >> 8)
    return state ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """Return ``crc`` as TensorFlow and LevelDB store it (rotated, plus a constant)."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _side_by_side(words: NDArray[np.uint32]) -> int:
    """Return the state after ``words`` (stretches, words), from state 0."""
    _, high, low = _tables()
    states = np.zeros(len(words), dtype=np.uint32)
    for column in np.ascontiguousarray(words.T):
        states ^= column
        states = low[states & 0xFFFF] ^ high[states >> 16]
    length = 4 * words.shape[1]
    while len(states) > 1:  # a power of two: each state moves past its right neighbour's bytes
        states = _apply(_zeros(length), states[0::2]) ^ states[1::2]
        length *= 2
    return int(states[0])


def _zeros_after(state: int, count: int) -> int:
    """Return ``state`` after ``count`` zero bytes."""
    states = np.array([state], dtype=np.uint32)
    power = 1
    while count:
        if count & 1:
            states = _apply(_zeros(power), states)
        count >>= 1
        power *= 2
    return int(states[0])


@cache
def _tables() -> tuple[Crcs, Crcs, Crcs]:
    """Return the table of one byte, and those of the high and the low half of a four-byte word."""
    one = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        one = np.where(one & 1, (one >> 1) ^ np.uint32(POLYNOMIAL), one >> 1)
    high = np.arange(1 << 16, dtype=np.uint32)
    for _ in range(2):
        high = one[high & 0xFF] ^ (high >> 8)
    low = high
    for _ in range(2):
        low = one[low & 0xFF] ^ (low >> 8)
    return one, high, low


@cache
def _zeros(count: int) -> Crcs:
    """Return what ``count`` zero bytes (a power of two) do to each of a state's 32 bits."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    if count == 1:
        one, _, _ = _tables()
        moved: Crcs = one[bits & 0xFF] ^ (bits >> 8)
        return moved
    half = _zeros(count // 2)
    return _apply(half, half)


def _apply(matrix: Crcs, states: Crcs) -> Crcs:
    """Return the matrix (32 columns, one a bit) applied to every state."""
    result = np.zeros_like(states)
    for bit in range(32):
        result ^= np.where((states >> np.uint32(bit)) & 1, matrix[bit], np.uint32(0))
    return result
