"""Where the records of an event file begin: TFRecord framing, found in bulk.

A record is its length (8 bytes), the masked CRC-32C of the length (4), the payload, and the masked
CRC-32C of the payload (4), all little-endian. Every event begins with the byte 9, the key of its
wall time; where such a byte follows a length with the right checksum, a record begins. Records that
are found so are linked into a chain, each ending where the next begins; only where the chain breaks
is a header read by itself.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traintop.sources.tfevents.crc32c import checksum, length_checksums, mask

HEADER = 12
FOOTER = 4
SHORT = 4096
"""Lengths below this are found in bulk: scalars are far shorter, images and graphs are longer."""
LONGEST = 1 << 31
"""A protocol buffer is no longer than this: such a length is damage, whatever its checksum."""

Indices = NDArray[np.int64]


class Frames(NamedTuple):
    """The whole records of some bytes."""

    starts: Indices
    """Where each header begins."""
    lengths: Indices
    """Bytes of payload."""
    end: int
    """Where what was not taken begins: a record that is not whole yet."""
    wanted: int
    """Length of the record that begins at `end`, with header and footer; 0 where not known yet."""
    damaged: tuple[int, ...]
    """Where a header was met that is none."""


def find_frames(buffer: NDArray[np.uint8], size: int, lost: bool) -> Frames:
    """Find the records in the first `size` bytes of a buffer, the first of which begins at 0.

    Args:
        buffer: Shape (at least size + 16,).
        size: Bytes that are to be looked at.
        lost: Whether the bytes before were damaged, so that the first record begins anywhere.
    """
    starts, ends = _headers(buffer, size)
    breaks = np.append(np.flatnonzero(ends[:-1] != starts[1:]), len(starts) - 1)
    spans: list[Indices] = []
    by_hand: list[tuple[int, int]] = []
    damaged: list[int] = []
    at = wanted = 0
    while True:
        index = int(np.searchsorted(starts, at))
        if index < len(starts) and starts[index] == at:
            lost = False
            last = int(breaks[np.searchsorted(breaks, index)])
            if ends[last] > size:
                wanted = int(ends[last] - starts[last])
                spans.append(np.arange(index, last))
                at = int(starts[last])
                break
            spans.append(np.arange(index, last + 1))
            at = int(ends[last])
            continue
        if at + HEADER > size:
            break
        length = _length(buffer, at)
        if length is None:
            if not lost:
                damaged.append(at)
            if index == len(starts):
                # A header may have begun in the last bytes.
                return _frames(starts, ends, spans, by_hand, max(at + 1, size - HEADER), 0, damaged)
            at, lost = int(starts[index]), False
            continue
        lost = False
        if at + HEADER + length + FOOTER > size:
            wanted = HEADER + length + FOOTER
            break
        by_hand.append((at, length))
        at += HEADER + length + FOOTER
    return _frames(starts, ends, spans, by_hand, at, wanted, damaged)


def _headers(buffer: NDArray[np.uint8], size: int) -> tuple[Indices, Indices]:
    """Where records with a short payload begin that starts with the byte 9, and where they end."""
    # One byte less than the header, so that the byte after it is there as well.
    starts = np.flatnonzero(buffer[HEADER:size] == 9)
    heads = _view(buffer, "V16")[starts].view("<u4").reshape(-1, 4)
    lengths = heads[:, 0].astype(np.int64)
    short = (lengths < SHORT) & (heads[:, 1] == 0)
    starts, lengths, stored = starts[short], lengths[short], heads[short, 2]
    right = length_checksums(SHORT)[lengths] == stored
    starts, lengths = starts[right], lengths[right]
    return starts, starts + (HEADER + FOOTER) + lengths


def _length(buffer: NDArray[np.uint8], at: int) -> int | None:
    """The length that a header states; None if it is no header."""
    head = buffer[at : at + HEADER].tobytes()
    length = int.from_bytes(head[:8], "little")
    stored = int.from_bytes(head[8:], "little")
    return length if length < LONGEST and mask(checksum(head[:8])) == stored else None


def _frames(
    starts: Indices,
    ends: Indices,
    spans: list[Indices],
    by_hand: list[tuple[int, int]],
    end: int,
    wanted: int,
    damaged: list[int],
) -> Frames:
    chosen = np.concatenate(spans) if spans else np.empty(0, np.int64)
    found, lengths = starts[chosen], (ends - starts)[chosen] - (HEADER + FOOTER)
    if by_hand:
        found = np.concatenate((found, [start for start, _ in by_hand]))
        lengths = np.concatenate((lengths, [length for _, length in by_hand]))
        order = np.argsort(found)
        found, lengths = found[order], lengths[order]
    return Frames(found, lengths, end, wanted, tuple(damaged))


def _view(buffer: NDArray[np.uint8], dtype: str) -> NDArray[np.void]:
    """An element at every byte, each overlapping the next: gathers what lies at odd places."""
    kind = np.dtype(dtype)
    return np.ndarray((len(buffer) - kind.itemsize + 1,), kind, buffer, 0, (1,))
