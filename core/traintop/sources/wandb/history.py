"""The rows of a W&B run file as lines of JSON, for many rows at once.

A row is a message of items in any order. An item is the bytes `10 length 18 length`, its key,
`130 1 length`, and its value as JSON text: but for seven bytes it is what JSON writes as
`"key": value`. So these bytes are replaced, and what reads JSON lines reads the rows. The bytes 130
and 1 do not occur in JSON text, so each pair of them marks a value; the item before it ends where
this one begins. A row that is not wholly made of such items is read field by field.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traintop.sources.protobuf import BYTES, VARINT, Malformed, fields, signed, text
from traintop.sources.wandb.messages import parse

STEP = "_step"
JOINT = "\x7f\x7f"
"""What stands between the parts of a nested key, in place of two bytes of the message."""

MAX_PARTS = 8
_GAP = 4
"""Bytes added to each row: one to close it, one to end the line, and room to look ahead."""

Indices = NDArray[np.int64]


def json_lines(rows: list[bytes]) -> tuple[bytes, list[str]]:
    """Write rows as lines of JSON.

    Args:
        rows: The message of each.

    Returns:
        A line a row, blank where it holds nothing; and why rows could not be read, which have a
        blank line too.
    """
    data = bytearray((b"\n" * _GAP).join((*rows, b"")))
    sizes = np.array(list(map(len, rows)), np.int64)
    ends = np.cumsum(sizes + _GAP) - _GAP
    starts = ends - sizes
    buffer = np.frombuffer(data, np.uint8)
    bad = _rewrite(buffer, starts, ends, quotes=b'"' in data or b"\\" in data)
    if not len(bad):
        return bytes(data), []
    lines: list[bytes | bytearray] = []
    problems: list[str] = []
    at = 0
    which: list[int] = bad.tolist()
    for row in which:
        lines.append(data[at : int(starts[row])])
        at = int(ends[row]) + _GAP
        try:
            lines.append(json.dumps(_read_row(rows[row])).encode() + b"\n")
        except Malformed as error:
            problems.append(str(error))
            lines.append(b"\n")
    lines.append(data[at:])
    return b"".join(lines), problems


def _rewrite(buffer: NDArray[np.uint8], starts: Indices, ends: Indices, *, quotes: bool) -> Indices:
    """Make JSON of the rows in a buffer; return those that have to be read field by field.

    Args:
        buffer: Is changed.
        starts: Where each row begins.
        ends: Where it ends.
        quotes: Whether there are quotes or backslashes anywhere.
    """
    marks = np.flatnonzero(buffer[:-1] == 130)
    marks = marks[buffer[marks + 1] == 1]
    edges = np.searchsorted(marks, np.append(starts, len(buffer)))
    row = np.repeat(np.arange(len(starts)), np.diff(edges))
    value, size = _length(buffer, marks + 2)
    after = value + size
    # In the number of a step the two bytes may occur, at the very end of a row.
    outside = np.flatnonzero(after > ends[row])
    if len(outside):
        marks, row = np.delete(marks, outside), np.delete(row, outside)
        value, after = np.delete(value, outside), np.delete(after, outside)
        edges = np.searchsorted(marks, np.append(starts, len(buffer)))
    bad = ends > starts
    if not len(marks):
        return np.flatnonzero(bad)
    begin = np.concatenate(([0], after[:-1]))
    first = edges[:-1][edges[:-1] < edges[1:]]
    begin[first] = starts[row[first]]
    # The length of the item must lead to the end of its value, that of its key to its mark.
    begin = np.minimum(begin, marks)
    inner, stated = _length(buffer, begin + 1)
    inner = np.minimum(inner, marks)
    key, key_size = _length(buffer, inner + 1)
    tag = buffer[inner]
    good = (buffer[begin] == 10) & (inner + stated == after) & ((tag == 18) | (tag == 10))
    nested = np.flatnonzero(good & (key + key_size < marks))
    joints = _joints(buffer, nested, key + key_size, marks, good)
    good &= key + key_size <= marks
    if quotes:
        good &= ~_has_quotes(buffer, key, marks)
    # A row is read so if all of its items are, and they reach to its end.
    bad[:] = False
    bad[row[~good]] = True
    reached = starts.copy()
    reached[row] = after  # of several the last one stays
    bad |= (reached < ends) & ~_only_repeats_the_step(buffer, reached, ends, marks, key, row)
    bad |= reached > ends
    if bad.any():
        kept = ~bad[row]
        begin, key, marks, value = begin[kept], key[kept], marks[kept], value[kept]
        joints = joints[~bad[np.searchsorted(starts, joints, side="right") - 1]]
    buffer[begin] = ord(",")
    _fill(buffer, begin + 1, key - 1, least=2)
    buffer[key - 1] = ord('"')
    buffer[marks] = ord('"')
    buffer[marks + 1] = ord(":")
    _fill(buffer, marks + 2, value, least=1)
    buffer[joints] = buffer[joints + 1] = 0x7F
    whole = np.flatnonzero(~bad)
    buffer[starts[whole]] = ord("{")
    _fill(buffer, reached[whole], ends[whole] + _GAP - 1)
    buffer[reached[whole]] = ord("}")
    empty = whole[starts[whole] == ends[whole]]
    buffer[starts[empty]] = ord(" ")
    return np.flatnonzero(bad)


def _length(buffer: NDArray[np.uint8], at: Indices) -> tuple[Indices, Indices]:
    """Lengths of one or two bytes, and where what they are the lengths of begins."""
    at = np.minimum(at, len(buffer) - 2)
    size = buffer[at].astype(np.int64)
    wide = np.flatnonzero(size > 127)
    at = at + 1
    if len(wide):
        size[wide] += (buffer[at[wide]].astype(np.int64) << 7) - 128
        at[wide] += 1
    return at, size


def _joints(
    buffer: NDArray[np.uint8],
    nested: Indices,
    part_end: Indices,
    marks: Indices,
    good: NDArray[np.bool_],
) -> Indices:
    """Where the further parts of nested keys begin; keys that are no such are no longer `good`."""
    found: list[Indices] = [np.empty(0, np.int64)]
    at = part_end[nested]
    for _ in range(MAX_PARTS):
        if not len(nested):
            break
        start, size = _length(buffer, at + 1)
        right = (buffer[at] == 18) & (start == at + 2) & (start + size <= marks[nested])
        good[nested[~right]] = False
        nested, at, end = nested[right], at[right], (start + size)[right]
        found.append(at)
        more = end < marks[nested]
        nested, at = nested[more], end[more]
    good[nested] = False
    return np.concatenate(found)


def _has_quotes(buffer: NDArray[np.uint8], keys: Indices, marks: Indices) -> NDArray[np.bool_]:
    """Whether keys have quotes or backslashes in them, which JSON writes otherwise."""
    found = np.zeros(len(marks), np.bool_)
    quotes = np.flatnonzero((buffer == ord('"')) | (buffer == ord("\\")))
    if len(quotes):
        item = np.searchsorted(marks, quotes)
        inside = item < len(marks)
        inside[inside] = quotes[inside] >= keys[item[inside]]
        found[item[inside]] = True
    return found


def _only_repeats_the_step(
    buffer: NDArray[np.uint8],
    reached: Indices,
    ends: Indices,
    marks: Indices,
    keys: Indices,
    row: Indices,
) -> NDArray[np.bool_]:
    """Whether rows end with their step, a short message, and have an item of that name as well."""
    at = np.minimum(reached, ends)
    step: NDArray[np.bool_] = (buffer[at] == 18) & (at + 2 + buffer[at + 1] == ends)
    if not step.any():
        return step
    places = np.flatnonzero(marks - keys == len(STEP))
    letters = buffer[keys[places][:, None] + np.arange(len(STEP))]
    same = (letters == np.frombuffer(STEP.encode(), np.uint8)).all(axis=1)
    named = np.zeros(len(ends), np.bool_)
    named[row[places[same]]] = True
    return step & named


def _fill(buffer: NDArray[np.uint8], begin: Indices, end: Indices, least: int = 0) -> None:
    """Put blanks between places that are at least so many bytes apart."""
    for at in range(least):
        buffer[begin + at] = ord(" ")
    begin = begin + least
    while len(left := np.flatnonzero(begin < end)):
        begin, end = begin[left], end[left]
        buffer[begin] = ord(" ")
        begin += 1


def _read_row(data: bytes) -> dict[str, Any]:
    """Read the items of one row, field by field.

    Raises:
        Malformed: The bytes are no such message.
    """
    values: dict[str, Any] = {}
    for item in fields(data):
        if item.wire != BYTES or item.number not in (1, 2):
            continue
        if item.number == 2:  # how the row is numbered, where no item says it
            for field in fields(data, item.start, item.end):
                if (field.number, field.wire) == (1, VARINT):
                    values.setdefault(STEP, signed(field.value))
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
        if name := JOINT.join(filter(None, parts)):
            values[name] = value
    return values
