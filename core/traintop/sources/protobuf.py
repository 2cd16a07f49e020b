"""The wire format of protocol buffers, as much of it as reading a log takes.

Field numbers and wire types: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_SIZES = {FIXED64: 8, FIXED32: 4}
_SIGN = 1 << 63


class Malformed(Exception):  # noqa: N818 - says what is the case, never leaves the package
    """The bytes are no message: a length beyond the end, an unknown wire type, and the like."""


class Field(NamedTuple):
    """One field of a message."""

    number: int
    wire: int
    start: int
    """Where its content begins in the bytes that were read."""
    end: int
    value: int
    """Of a varint; 0 for the others, whose bytes are `data[start:end]`."""


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The number at a place, and the place after it.

    Raises:
        Malformed: It does not end before `end`, or has more than 64 bits.
    """
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise Malformed("a number without an end")


def signed(value: int) -> int:
    """A varint of an int32 or int64 field, which has negative numbers in two's complement."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value & _SIGN else value


def fields(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Field]:
    """The fields of the message in `data[start:end]`.

    Raises:
        Malformed: The bytes are no message. Fields before that were handed over.
    """
    at, stop = start, len(data) if end is None else end
    while at < stop:
        key, at = varint(data, at, stop)
        wire, value = key & 7, 0
        if wire == VARINT:
            begin = at
            value, at = varint(data, at, stop)
        else:
            if wire == BYTES:
                size, at = varint(data, at, stop)
            elif wire in _SIZES:
                size = _SIZES[wire]
            else:
                raise Malformed(f"wire type {wire}")
            begin, at = at, at + size
            if at > stop:
                raise Malformed("a field that is longer than its message")
        yield Field(key >> 3, wire, begin, at, value)


def text(data: bytes, field: Field) -> str:
    """The text of a field; what is no UTF-8 becomes U+FFFD."""
    return data[field.start : field.end].decode("utf-8", "replace")
