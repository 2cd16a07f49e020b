"""CRC-32C (Castagnoli) over many short records at once, in numpy.

A CRC is linear over GF(2): the checksum of a record is the exclusive or of what each of its bytes
adds, and what a byte adds depends on its value and on how many bytes follow. `position_table` holds
that for every value and distance, so the checksums of a million records that differ in 16 bytes
each take 16 look-ups a record, whatever their length.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

POLYNOMIAL = 0x82F63B78
"""Reversed, as in RFC 3720 B.4."""

POSITIONS = 1024
"""Distances from the end that the table covers."""

_ALL = 0xFFFFFFFF
_DELTA = 0xA282EAD8

Words = NDArray[np.uint32]


@cache
def position_table() -> Words:
    """What a byte adds to a checksum, shape (POSITIONS, 256): in row k, where k others follow."""
    row = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        row = np.where(row & 1, row >> 1 ^ np.uint32(POLYNOMIAL), row >> 1)
    table = np.empty((POSITIONS, 256), np.uint32)
    table[0] = row
    for k in range(1, POSITIONS):
        before = table[k - 1]
        table[k] = row[before & 255] ^ before >> 8
    return table


def checksum(data: bytes) -> int:
    """CRC-32C of some bytes."""
    table, state = position_table(), _ALL
    for start in range(0, len(data), POSITIONS):
        piece = np.frombuffer(data[start : start + POSITIONS], np.uint8)
        if len(piece) < 4:  # shorter than the state that is folded in
            for byte in piece.tolist():
                state = int(table[0, (state ^ byte) & 255]) ^ state >> 8
            continue
        folded = piece.copy()
        folded[:4] ^= np.frombuffer(state.to_bytes(4, "little"), np.uint8)
        state = int(np.bitwise_xor.reduce(table[np.arange(len(piece))[::-1], folded]))
    return state ^ _ALL


def mask(crc: int) -> int:
    """A checksum as TFRecord files store it, so that data that hold checksums stay unlike them."""
    return ((crc >> 15 | crc << 17) + _DELTA) & _ALL


def unmask(stored: Words) -> Words:
    """The checksums behind the stored ones."""
    rotated = stored - np.uint32(_DELTA)
    return rotated >> np.uint32(17) | rotated << np.uint32(15)


@cache
def length_checksums(below: int) -> Words:
    """The stored checksum of each record length below a bound, shape (below,)."""
    table = position_table()
    lengths = np.arange(below, dtype="<u8").view(np.uint8).reshape(below, 8)
    crc = np.full(below, checksum(bytes(8)), np.uint32)
    for place in range(8):
        crc ^= table[7 - place, lengths[:, place]] ^ table[7 - place, 0]
    return (crc >> np.uint32(15) | crc << np.uint32(17)) + np.uint32(_DELTA)
