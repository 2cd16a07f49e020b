"""Where the records of a W&B run file are: the framing of a LevelDB log, found in bulk.

After a header of seven bytes the file is cut into blocks of 32 KiB. A record lies in one block
(type 1), or in several as a first, middle and last piece (2, 3, 4); a piece is its CRC-32 over type
and data (4 bytes), its length (2), its type (1) and its data. The last bytes of a block in which no
header has room are zeros. https://github.com/google/leveldb/blob/main/doc/log_format.md, except for
the checksum, which is zlib's.

Where a type 1 stands before the byte 8, which almost every record begins with, a whole record may
begin. Those that end where the next begins are taken together, all others piece by piece.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FILE_HEADER = 7
BLOCK = 1 << 15
PIECE_HEADER = 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
MAX_RECORD = 64 << 20
"""A record of more bytes is passed over."""

PAD = 64
"""Zeros behind the records, so that what begins in the last one can be looked at."""

Indices = NDArray[np.int64]
_Run = tuple[Indices, Indices]
"""Records that follow each other: where their headers begin, and where they end."""
Skip = Callable[[int, str], None]
_HEADER = struct.Struct("<IHB")


class Records(NamedTuple):
    """The whole records of some bytes."""

    data: bytes
    """The records, one behind the other, and what lay between them; `PAD` zeros at the end."""
    starts: Indices
    """Where each begins in `data`, rising."""
    ends: Indices
    checked: NDArray[np.bool_]
    """Whether the checksum was compared; else it stands 7 bytes before `starts`."""


class Framing:
    """Cuts the bytes of a file into records.

    Args:
        skip: Called with a place in the file and why something there cannot be read.
    """

    def __init__(self, skip: Skip) -> None:
        self._skip = skip
        self._held: bytes = b""
        self._offset = 0  # in the file, of what is held
        self._pieces: list[bytes] | None = None  # of a record whose end is still to come
        self._size = 0

    @property
    def torn(self) -> bool:
        """Whether a record is not whole yet."""
        return bool(self._held or self._pieces)

    def leap(self, offset: int) -> None:
        """Go on at the block that begins at this place of the file."""
        self._held, self._pieces, self._offset = b"", None, offset

    def feed(self, data: bytes) -> Records:
        """Take bytes, cut anywhere."""
        data = self._held + data
        at = 0
        if self._offset == 0:
            if len(data) < FILE_HEADER:
                self._held = data
                return Records(b"", *_NOTHING)
            at = FILE_HEADER
        bulk = _Bulk(data, self._offset)
        found: list[_Run | bytes] = []
        while True:
            run = bulk.run_from(at)
            if run is not None:
                self._drop_pieces(at)
                found.append(run)
                at = int(run[1][-1])
            after = self._piece(data, at, found)
            if after is None:
                break
            at = after
        self._held = data[at:]
        self._offset += at
        return _records(data, found)

    def _piece(self, data: bytes, at: int, found: list[_Run | bytes]) -> int | None:
        """Take the piece at a place; return where the next begins, None if it is not whole."""
        room = BLOCK - (self._offset + at) % BLOCK
        if room < PIECE_HEADER:
            return at + room if at + room <= len(data) else None
        if at + PIECE_HEADER > len(data):
            return None
        stored, length, kind = _header(data, at)
        start, end = at + PIECE_HEADER, at + PIECE_HEADER + length
        if not FULL <= kind <= LAST or length > room - PIECE_HEADER:
            if at + room > len(data):
                return None
            self._lose(at, "no record begins here; read on at the next block")
            return at + room
        if end > len(data):
            return None
        if not _right(data, at, length, stored):
            self._lose(at, "wrong checksum")
            # The length may be what is damaged: then the next header is in the next block.
            return end if _plausible(data, end, room - (end - at)) else at + room
        self._join(kind, at, data[start:end], found)
        return end

    def _join(self, kind: int, at: int, data: bytes, found: list[_Run | bytes]) -> None:
        if kind in (FULL, FIRST):
            self._drop_pieces(at)
        if kind == FULL:
            found.append(data)
        elif kind == FIRST:
            self._pieces, self._size = [data], len(data)
        elif self._pieces is not None:
            self._size += len(data)
            if self._size > MAX_RECORD:
                self._lose(at, "a record of more than 64 MiB")
                return
            self._pieces.append(data)
            if kind == LAST:
                found.append(b"".join(self._pieces))
                self._pieces = None

    def _drop_pieces(self, at: int) -> None:
        if self._pieces is not None:
            self._lose(at, "the record before has no end")

    def _lose(self, at: int, why: str) -> None:
        self._skip(self._offset + at, why)
        self._pieces = None


class _Bulk:
    """Whole records in one block each that begin as almost all do."""

    def __init__(self, data: bytes, offset: int) -> None:
        buffer = np.frombuffer(data, np.uint8)
        begins = (buffer[PIECE_HEADER - 1 : -1] == FULL) & (buffer[PIECE_HEADER:] == 8)
        starts = np.flatnonzero(begins)
        lengths = buffer[starts + 4].astype(np.int64) | buffer[starts + 5].astype(np.int64) << 8
        ends = starts + PIECE_HEADER + lengths
        room = BLOCK - (starts + offset) % BLOCK
        fits = (ends - starts <= room) & (ends <= len(data))
        self._starts, self._ends = starts[fits], ends[fits]
        breaks = np.flatnonzero(self._ends[:-1] != self._starts[1:]).tolist()
        self._breaks: list[int] = [*breaks, len(self._starts) - 1]
        self._places: list[int] = self._starts.tolist()

    def run_from(self, at: int) -> _Run | None:
        """Where the records are that follow each other from a place on: headers, and ends."""
        index = bisect_left(self._places, at)
        if index == len(self._places) or self._places[index] != at:
            return None
        last = self._breaks[bisect_left(self._breaks, index)]
        return self._starts[index : last + 1], self._ends[index : last + 1]


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """The checksum, the length and the type that the header of a piece states."""
    stored, length, kind = _HEADER.unpack_from(data, at)
    return stored, length, kind


def _right(data: bytes, at: int, length: int, stored: int) -> bool:
    """Whether the checksum of a piece is the stored one; type and data follow each other."""
    return zlib.crc32(data[at + PIECE_HEADER - 1 : at + PIECE_HEADER + length]) == stored


def are_right(records: Records, which: Indices) -> NDArray[np.bool_]:
    """Whether the chosen records, which were not checked, have the checksum of their header."""
    data, starts = records.data, records.starts[which]
    # Type and data follow each other, and the checksum stands 7 bytes before the data.
    words = np.ndarray((len(data) - 3,), "<u4", data, 0, (1,))
    places = zip((starts - 1).tolist(), records.ends[which].tolist(), strict=True)
    found = [zlib.crc32(data[start:end]) for start, end in places]
    right: NDArray[np.bool_] = np.array(found, np.uint32) == words[starts - PIECE_HEADER]
    return right


def _plausible(data: bytes, at: int, room: int) -> bool:
    """Whether a piece with the right checksum begins at a place, or the block ends there."""
    if room < PIECE_HEADER:
        return True
    if at + PIECE_HEADER > len(data):
        return False
    stored, length, kind = _header(data, at)
    fits = FULL <= kind <= LAST and length <= room - PIECE_HEADER
    return fits and at + PIECE_HEADER + length <= len(data) and _right(data, at, length, stored)


def _records(data: bytes, found: list[_Run | bytes]) -> Records:
    """Put records behind one another."""
    view = memoryview(data)  # slices of it are no copies
    pieces: list[bytes | memoryview] = []
    starts: list[Indices] = [_EMPTY]
    ends: list[Indices] = [_EMPTY]
    joined: list[bool] = []
    size = 0
    for one in found:
        if isinstance(one, bytes):
            piece: bytes | memoryview = one
            starts.append(np.array([size]))
            ends.append(np.array([size + len(one)]))
        else:
            heads, tails = one
            first = int(heads[0])
            piece = view[first : int(tails[-1])]
            starts.append(heads + (size - first + PIECE_HEADER))
            ends.append(tails + (size - first))
        joined.append(isinstance(one, bytes))
        pieces.append(piece)
        size += len(piece)
    pieces.append(bytes(PAD))
    return Records(
        b"".join(pieces),
        np.concatenate(starts),
        np.concatenate(ends),
        np.repeat(np.array(joined, np.bool_), [len(part) for part in starts[1:]]),
    )


_EMPTY = np.empty(0, np.int64)
_NOTHING = (_EMPTY, _EMPTY, np.empty(0, np.bool_))
