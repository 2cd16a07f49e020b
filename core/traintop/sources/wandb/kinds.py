"""What kind each record of a W&B run file is, told for many at once.

A record is its number (field 1), perhaps how it was delivered (fields 16 and 200), and one message
that is its content. Nearly all are rows of the history or summaries of what was logged so far.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

HISTORY, SUMMARY = 2, 3
OTHER = 0

_DELIVERY = (0x0C << 8 | 0xC2, 0x01 << 8 | 0x82)
"""The keys of fields 200 and 16, of two bytes each."""

Indices = NDArray[np.int64]


class Contents(NamedTuple):
    """The contents of records; every array has shape (n,)."""

    kinds: Indices
    """`HISTORY`, `SUMMARY`, or `OTHER`: to be read field by field."""
    starts: Indices
    ends: Indices


def split_records(buffer: NDArray[np.uint8], starts: Indices, ends: Indices) -> Contents:
    """Find the contents of records.

    Args:
        buffer: Holds the records, and at least 16 bytes behind the last.
        starts: Where each begins.
        ends: Where each ends.
    """
    at = starts.copy()
    numbered = buffer[at] == 8
    at += numbered
    going = numbered
    for _ in range(10):
        at += going
        going = going & (buffer[at - going] > 127)
        at = np.minimum(at, ends)
        if not going.any():
            break
    for _ in _DELIVERY:
        key = buffer[at].astype(np.int64) | buffer[at + 1].astype(np.int64) << 8
        size = buffer[at + 2].astype(np.int64)
        passed = np.isin(key, _DELIVERY) & (size < 128)
        if not passed.any():
            break
        at = np.minimum(at + np.where(passed, 3 + size, 0), ends)
    key = buffer[at].astype(np.int64)
    size, width = _lengths(buffer, at + 1)
    begin = at + 1 + width
    end = begin + size
    known = ((key == HISTORY << 3 | 2) | (key == SUMMARY << 3 | 2)) & (width > 0) & (end <= ends)
    return Contents(np.where(known, key >> 3, OTHER), begin, end)


def _lengths(buffer: NDArray[np.uint8], at: Indices) -> tuple[Indices, Indices]:
    """Lengths of at most four bytes each, and how many bytes they have; 0 bytes for longer ones."""
    size = np.zeros(len(at), np.int64)
    width = np.zeros(len(at), np.int64)
    going = np.ones(len(at), np.bool_)
    for place in range(4):
        byte = buffer[at + place].astype(np.int64)
        size |= np.where(going, (byte & 127) << 7 * place, 0)
        width += going
        going = going & (byte > 127)
        if not going.any():
            return size, width
    return size, np.where(going, 0, width)
