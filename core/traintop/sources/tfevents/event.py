"""One event of an event file, read field by field.

Field numbers: tensorflow/core/util/event.proto, framework/summary.proto and framework/tensor.proto.
"""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

from traintop.sources.protobuf import (
    BYTES,
    FIXED32,
    FIXED64,
    VARINT,
    Field,
    Malformed,
    fields,
    signed,
    text,
    varint,
)

MAX_TAG = 1000
"""Bytes of a name; a longer one is none."""

_EVENT_KINDS = {4: "graph", 6: "log message", 7: "session log", 8: "run metadata", 9: "meta graph"}
_VALUE_KINDS = {3: "histogram", 4: "image", 5: "histogram", 6: "audio"}
_SCALARS = "scalars"

# DataType -> how one element lies in `tensor_content`; enum of framework/types.proto.
_CONTENT = {1: "<f", 2: "<d", 3: "<i", 4: "<B", 5: "<h", 6: "<b", 9: "<q", 10: "<?", 14: "bfloat16",
            17: "<H", 19: "<e", 22: "<I", 23: "<Q"}  # fmt: skip
_HALF, _BFLOAT16 = 19, 14
_LISTS = {7: VARINT, 10: VARINT, 11: VARINT, 13: VARINT, 16: VARINT, 17: VARINT,
          5: FIXED32, 6: FIXED64}  # fmt: skip
"""Fields of a tensor that list its elements -> the wire type of one."""


class Scalar(NamedTuple):
    """A number of a summary."""

    tag: str
    value: float
    at: int
    """Where its bytes lie in the event."""
    code: str
    """How they are to be read, as in `struct`; empty where that is not of fixed size."""


class Event(NamedTuple):
    """What an event holds."""

    time: float
    """Seconds since 1970, NaN where there is none."""
    step: int
    scalars: tuple[Scalar, ...]
    others: tuple[str, ...]
    """The kinds of what is no number: `image`, `histogram`, `graph` ..."""


def read_event(data: bytes) -> Event:
    """Read one event.

    Raises:
        Malformed: The bytes are no event.
    """
    time, step = math.nan, 0
    scalars: list[Scalar] = []
    others: list[str] = []
    for field in fields(data):
        match field.number, field.wire:
            case 1, 1:
                time = struct.unpack_from("<d", data, field.start)[0]
            case 2, 0:
                step = signed(field.value)
            case 5, 2:
                for value in fields(data, field.start, field.end):
                    if (value.number, value.wire) == (1, BYTES):
                        _read_value(data, value, scalars, others)
            case number, _ if number in _EVENT_KINDS:
                others.append(_EVENT_KINDS[number])
            case _:
                pass  # the version of the file, and who wrote it
    return Event(time, step, tuple(scalars), tuple(others))


def _read_value(data: bytes, message: Field, scalars: list[Scalar], others: list[str]) -> None:
    """Read one value of a summary."""
    tag = plugin = kind = ""
    found: tuple[float, int, str] | None = None
    for field in fields(data, message.start, message.end):
        match field.number, field.wire:
            case 1, 2:
                if field.end - field.start > MAX_TAG:
                    raise Malformed("a name that is too long")
                tag = text(data, field)
            case 2, 5:
                found = struct.unpack_from("<f", data, field.start)[0], field.start, "<f"
            case 8, 2:
                found = _read_tensor(data, field)
                kind = kind or "tensor"
            case 9, 2:
                plugin = _plugin(data, field)
            case number, _ if number in _VALUE_KINDS:
                kind = _VALUE_KINDS[number]
            case _:
                pass
    if found is not None and plugin in ("", _SCALARS):
        scalars.append(Scalar(tag, *found))
    else:
        others.append(plugin.removesuffix("s") or kind or "nothing")


def _plugin(data: bytes, metadata: Field) -> str:
    """The name of the plugin that a value is for."""
    for outer in fields(data, metadata.start, metadata.end):
        if (outer.number, outer.wire) == (1, BYTES):
            for inner in fields(data, outer.start, outer.end):
                if (inner.number, inner.wire) == (1, BYTES):
                    return text(data, inner)
    return ""


def _read_tensor(data: bytes, message: Field) -> tuple[float, int, str] | None:
    """The one number of a tensor, where it lies, and how it is coded; None if it is not one."""
    dtype = 0
    content: Field | None = None
    listed: list[Field] = []
    for field in fields(data, message.start, message.end):
        if field.number == 1 and field.wire == VARINT:
            dtype = field.value
        elif field.number == 2 and field.wire == BYTES:
            if _elements(data, field) != 1:
                return None
        elif field.number == 4 and field.wire == BYTES:
            content = field
        elif field.number in _LISTS:
            listed.append(field)
    if content is not None and content.end > content.start:
        return _from_content(data, dtype, content)
    return _from_list(data, dtype, listed[0]) if len(listed) == 1 else None


def _elements(data: bytes, shape: Field) -> int:
    """How many elements a tensor of a shape has."""
    count = 1
    for dim in fields(data, shape.start, shape.end):
        if (dim.number, dim.wire) != (2, BYTES):
            continue
        size = [field.value for field in fields(data, dim.start, dim.end) if field.number == 1]
        count *= size[0] if size else 0
    return count


def _from_content(data: bytes, dtype: int, content: Field) -> tuple[float, int, str] | None:
    code = _CONTENT.get(dtype)
    if code is None:
        return None
    size = 2 if dtype == _BFLOAT16 else struct.calcsize(code)
    if content.end - content.start != size:
        return None
    if dtype == _BFLOAT16:
        return _bfloat16(data[content.start : content.end]), content.start, ""
    code = code if code in ("<f", "<d") else ""
    value = float(struct.unpack_from(_CONTENT[dtype], data, content.start)[0])
    return value, content.start, code


def _from_list(data: bytes, dtype: int, field: Field) -> tuple[float, int, str] | None:
    kind = _LISTS[field.number]
    start = field.start
    if kind == VARINT:
        number = field.value
        if field.wire == BYTES:
            number, end = varint(data, start, field.end)
            if end != field.end:
                return None
        if dtype == _HALF:
            return struct.unpack("<e", (number & 0xFFFF).to_bytes(2, "little"))[0], start, ""
        if dtype == _BFLOAT16:
            return _bfloat16((number & 0xFFFF).to_bytes(2, "little")), start, ""
        return float(number if field.number in (16, 17) else signed(number)), start, ""
    code = "<f" if kind == FIXED32 else "<d"
    if field.end - start != struct.calcsize(code):
        return None
    return struct.unpack_from(code, data, start)[0], start, code


def _bfloat16(data: bytes) -> float:
    """A number that is the upper half of a float32."""
    return float(struct.unpack("<f", b"\0\0" + data)[0])
