"""The rows of a W&B run file, decoded in bulk.

A row is a message of items in any order; an item is its key, once or several times where it is
nested, and its value as JSON text under field 16, whose key is the bytes 130 and 1. These two do
not occur in text, so each marks a value; the item before it ends where this one begins. A row that
is not wholly made of such items is read field by field.
"""

from __future__ import annotations

import math
import struct
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from traintop.records import Floats
from traintop.sources.keys import as_number
from traintop.sources.protobuf import BYTES, VARINT, Malformed, fields, signed, text
from traintop.sources.wandb.framing import PAD
from traintop.sources.wandb.messages import parse

MAX_TEXT = 31
"""Characters of a number that is decoded in bulk; the longest that `repr` writes has 24."""
STEP = "_step"
ABSENT = -1
_LOW_BYTES = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)
_MINUS_I = np.uint64(int.from_bytes(b"-I", "little"))
_DIGIT = np.zeros(256, np.bool_)
_DIGIT[[*b"0123456789-"]] = True

_WITH_NEXT = np.tri(MAX_TEXT + 1, dtype=np.bool_)
"""Row k has the first k + 1 of 32 bytes."""
_PACKER = msgspec.msgpack.Encoder()
_NUMBERS = msgspec.json.Decoder(list[float])

Indices = NDArray[np.int64]


class Cells(NamedTuple):
    """Numbers of rows, in file order; every array has shape (n,)."""

    rows: Indices
    keys: Indices
    """Number of each one's name."""
    values: Floats

    def with_more(self, extra: list[tuple[int, int, float]]) -> Cells:
        """Return these and further ones (row, key, value), by row."""
        more = np.array(extra, np.float64).T
        rows = np.concatenate((self.rows, more[0].astype(np.int64)))
        order = np.argsort(rows, kind="stable")
        return Cells(
            rows[order],
            np.concatenate((self.keys, more[1].astype(np.int64)))[order],
            np.concatenate((self.values, more[2]))[order],
        )


class Names:
    """The names of items, numbered in the order in which they turn up, and those left aside."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._ignored: dict[str, int] = {}
        self._media: tuple[str, ...] = ()
        self._numbers: dict[str, int] = {}
        self._of_hash: dict[int, int] = {}
        self._hashes = np.empty(0, np.uint64)  # sorted
        self._order = np.empty(0, np.int64)

    def number(self, name: str) -> int:
        """The number of a name."""
        found = self._numbers.get(name)
        if found is None:
            found = self._numbers[name] = len(self.names)
            self.names.append(name)
        return found

    def ignore(self, name: str) -> None:
        """Count a value that is no number. One called `_type` makes what it lies in a medium."""
        if name.endswith("._type"):
            name = name.removesuffix("._type")
            if f"{name}." not in self._media:
                self._media += (f"{name}.",)
        self._ignored[name] = self._ignored.get(name, 0) + 1

    def is_media(self, name: str) -> bool:
        """Whether a name is that of a part of a picture, a table, a histogram or the like."""
        return name.startswith(self._media)

    def take_ignored(self) -> dict[str, int]:
        """How many values that are no numbers were met since the last call, by name."""
        ignored, self._ignored = self._ignored, {}
        return {name: count for name, count in ignored.items() if not self.is_media(name)}

    def look_up(
        self, hashes: NDArray[np.uint64], data: bytes, begin: Indices, end: Indices
    ) -> Indices:
        """The numbers of keys that are given by their bytes, `ABSENT` for what is no key."""
        numbers = self._known(hashes)
        unknown = np.flatnonzero(numbers == -2)
        if not len(unknown):
            return numbers
        for one in unknown[np.unique(hashes[unknown], return_index=True)[1]].tolist():
            name = _name(data, int(begin[one]), int(end[one]))
            self._of_hash[int(hashes[one])] = ABSENT if name is None else self.number(name)
        self._hashes = np.array(sorted(self._of_hash), np.uint64)
        self._order = np.array([self._of_hash[one] for one in self._hashes.tolist()], np.int64)
        return self._known(hashes)

    def _known(self, hashes: NDArray[np.uint64]) -> Indices:
        if not len(self._hashes):
            return np.full(len(hashes), -2)
        place = np.searchsorted(self._hashes, hashes)
        place[place == len(self._hashes)] = 0
        return np.where(self._hashes[place] == hashes, self._order[place], -2)


def _name(data: bytes, begin: int, end: int) -> str | None:
    """The name that the fields of an item before its value spell."""
    try:
        parts = [
            text(data, field)
            for field in fields(data, begin, end)
            if field.wire == BYTES and field.number in (1, 2)
        ]
    except Malformed:
        return None
    return ".".join(filter(None, parts)) or None


def read_rows(data: bytes, starts: Indices, ends: Indices, names: Names) -> tuple[Cells, Indices]:
    """Read the items of rows.

    Args:
        data: The messages of the rows, one behind the other, and `PAD` bytes behind the last.
        starts: Where each begins.
        ends: Where it ends.
        names: Learns the names of the items.

    Returns:
        The numbers, and the rows that have to be read field by field.
    """
    buffer = np.frombuffer(data, np.uint8)
    marks = np.flatnonzero(buffer[:-PAD] == 130)
    marks = marks[buffer[marks + 1] == 1]
    edges = np.searchsorted(marks, np.append(starts, ends[-1]))
    row = np.repeat(np.arange(len(starts)), np.diff(edges))
    if not len(marks):
        return _NO_CELLS, np.flatnonzero(ends > starts)
    size = buffer[marks + 2].astype(np.int64)
    long = size > 127
    size = np.where(long, size - 128 | buffer[marks + 3].astype(np.int64) << 7, size)
    value = marks + 3 + long
    after = value + size
    first = np.concatenate(([True], row[1:] != row[:-1]))
    begin = np.where(first, starts[row], np.concatenate(([0], after[:-1])))
    # The length of the item must lead to the end of its value.
    stated = buffer[np.minimum(begin + 1, marks)].astype(np.int64)
    wide = stated > 127
    stated = np.where(
        wide, stated - 128 | buffer[np.minimum(begin + 2, marks)].astype(np.int64) << 7, stated
    )
    key = begin + 2 + wide
    good = (buffer[np.minimum(begin, marks)] == 10) & (key + stated == after) & (key < marks)
    key = np.where(good, key, marks)
    key_size = marks - key
    number = names.look_up(_hash(buffer, key, key_size), data, key, marks)
    good &= number >= 0
    # A row is read so if all of its items are, and they reach to its end.
    bad = np.zeros(len(starts), np.bool_)
    bad[row[~good]] = True
    reached = starts.copy()
    reached[row] = after  # of several the last one stays
    stepped = _ends_with_step(buffer, reached, ends)
    bad |= (reached > ends) | ((reached != ends) & ~stepped)
    if stepped.any():  # what that says is needed where no item says it
        named = np.zeros(len(starts), np.bool_)
        named[row[number == names.number(STEP)]] = True
        bad |= stepped & ~named
    taken = ~bad[row]
    cells = _values(
        data, buffer, Items(row[taken], number[taken], value[taken], size[taken]), names
    )
    return cells, np.flatnonzero(bad)


class Items(NamedTuple):
    """Items whose values lie somewhere in a buffer."""

    rows: Indices
    keys: Indices
    at: Indices
    sizes: Indices


def read_row(data: bytes, start: int, end: int, names: Names) -> dict[int, float]:
    """Read the items of one row, field by field: number of the name -> value.

    Raises:
        Malformed: The bytes are no such message.
    """
    values: dict[int, float] = {}
    for item in fields(data, start, end):
        if item.wire != BYTES or item.number not in (1, 2):
            continue
        if item.number == 2:  # how the row is numbered, where no item says it
            for field in fields(data, item.start, item.end):
                if (field.number, field.wire) == (1, VARINT):
                    values.setdefault(names.number(STEP), float(signed(field.value)))
            continue
        parts: list[str] = []
        value: Any = None
        for field in fields(data, item.start, item.end):
            match field.number, field.wire:
                case 1 | 2, 2:
                    parts.append(text(data, field))
                case 8 | 16, 2:
                    value = parse(text(data, field))
                case 4, 0:
                    value = bool(field.value)
                case 5, 0:
                    value = (field.value >> 1) ^ -(field.value & 1)
                case 6, 1:
                    value = struct.unpack_from("<d", data, field.start)[0]
                case 7, 2:
                    value = text(data, field)
                case _:
                    pass
        name = ".".join(filter(None, parts))
        if name:
            _take(name, value, names, values)
    return values


def _take(name: str, value: Any, names: Names, values: dict[int, float], depth: int = 0) -> None:
    """Take what a value holds: the numbers of an object that is no picture, table or the like."""
    if isinstance(value, dict):
        if "_type" in value or depth == 4:
            names.ignore(name)
            return
        for key, inner in value.items():
            _take(f"{name}.{key}", inner, names, values, depth + 1)
        return
    number = as_number(value)
    if number is not None:
        values[names.number(name)] = number
    elif value is not None:
        names.ignore(name)


def _ends_with_step(
    buffer: NDArray[np.uint8], reached: Indices, ends: Indices
) -> NDArray[np.bool_]:
    """Whether the step stands behind the items of rows, a message of up to 127 bytes."""
    reached = np.minimum(reached, ends)
    step: NDArray[np.bool_] = (buffer[reached] == 18) & (reached + 2 + buffer[reached + 1] == ends)
    return step


def _hash(buffer: NDArray[np.uint8], at: Indices, sizes: Indices) -> NDArray[np.uint64]:
    """Hash the bytes of keys, eight at a time."""
    words = np.ndarray((len(buffer) - 7,), "<u8", buffer, 0, (1,))
    hashes = sizes.astype(np.uint64) * _MULTIPLIER
    for begin in range(0, int(sizes.max(initial=0)), 8):
        here = slice(None) if begin == 0 else np.flatnonzero(sizes > begin)
        size = np.minimum(sizes[here] - begin, 8)
        mixed = (hashes[here] ^ words[at[here] + begin] & _LOW_BYTES[size]) * _MULTIPLIER
        hashes[here] = mixed ^ mixed >> _SHIFT
    return hashes


def _values(data: bytes, buffer: NDArray[np.uint8], items: Items, names: Names) -> Cells:
    """The numbers that the texts of items spell."""
    values = np.full(len(items.rows), np.nan)
    words = np.ndarray((len(buffer) - 7,), "<u8", buffer, 0, (1,))[items.at]
    plain = _DIGIT[(words & np.uint64(255)).astype(np.int64)] & (items.sizes <= MAX_TEXT)
    plain &= (items.sizes > 0) & (words & np.uint64(0xFFFF) != _MINUS_I)
    spelled = np.flatnonzero(plain)
    numbers = _decode(buffer, items.at[spelled], items.sizes[spelled])
    if numbers is None:
        others = np.arange(len(items.rows))
    else:
        values[spelled] = numbers
        others = np.flatnonzero(~plain)
    present = np.ones(len(items.rows), np.bool_)
    words = words[others] & _LOW_BYTES[np.minimum(items.sizes[others], 8)]
    for word, value in _WORDS.items():
        here = words == int.from_bytes(word, "little")
        here &= items.sizes[others] == len(word)
        values[others[here]] = math.nan if value is None else value
        if value is None:
            present[others[here]] = False
        others, words = others[~here], words[~here]
    extra: list[tuple[int, int, float]] = []
    present[others] = False
    for one in others.tolist():
        at, size = int(items.at[one]), int(items.sizes[one])
        found: dict[int, float] = {}
        value = parse(data[at : at + size].decode("utf-8", "replace"))
        _take(names.names[int(items.keys[one])], value, names, found)
        extra += [(int(items.rows[one]), name, number) for name, number in found.items()]
    cells = Cells(items.rows[present], items.keys[present], values[present])
    return cells.with_more(extra) if extra else cells


def _decode(buffer: NDArray[np.uint8], at: Indices, sizes: Indices) -> Floats | None:
    """Numbers of at most `MAX_TEXT` characters each; None if one of them is none."""
    if not len(at):
        return np.empty(0)
    texts = np.ndarray((len(buffer) - 31,), "V32", buffer, 0, (1,))[at]
    matrix = texts.view(np.uint8).reshape(-1, 32)
    matrix[np.arange(len(at)), sizes] = ord(",")
    listed = matrix[_WITH_NEXT[sizes]]
    listed[-1] = ord("]")
    try:
        numbers = _NUMBERS.decode(b"[" + listed.tobytes())
    except msgspec.MsgspecError:
        return None
    if len(numbers) != len(at):
        return None
    # Packed, each has nine bytes: taking them from there is far faster than from the list.
    packed = _PACKER.encode(numbers)
    floats = np.ndarray((len(at),), ">f8", packed, len(packed) - 9 * len(at) + 1, (9,))
    return floats.astype(np.float64)


_EMPTY = np.empty(0, np.int64)
_NO_CELLS = Cells(_EMPTY, _EMPTY, np.empty(0))
_WORDS: dict[bytes, float | None] = {
    b"NaN": math.nan, b'"NaN"': math.nan, b"Infinity": math.inf, b"true": 1.0, b"false": 0.0,
    b"null": None,
}  # fmt: skip
"""Values of at most eight bytes that are no digits, as Python's `json` and W&B write them."""
