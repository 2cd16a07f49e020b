"""The messages of a W&B run file that are no rows: output, system metrics, settings, end."""

from __future__ import annotations

import json
import math
from typing import Any, cast

from traintop.records import Event
from traintop.sources.keys import as_number
from traintop.sources.protobuf import BYTES, VARINT, Field, fields, signed, text

MAX_DEPTH = 4

SYSTEM = "system"
"""What stands before the names of the machine's metrics, as W&B itself shows them."""


PERCENT = frozenset({"cpu", "gpu", "memory", "memoryAllocated", "powerPercent", "memory_percent"})
"""Last words of the names of the machine's metrics that are shares of a whole."""


def read_line(data: bytes, message: Field) -> bytes:
    """A piece of the run's output."""
    line = b""
    for field in fields(data, message.start, message.end):
        if (field.number, field.wire) == (3, BYTES):
            line = data[field.start : field.end]
    return line


def read_stats(data: bytes, message: Field) -> tuple[float, dict[str, float]]:
    """Metrics of the machine: when they were taken, seconds since 1970, and their values."""
    when = math.nan
    values: dict[str, float] = {}
    for field in fields(data, message.start, message.end):
        if (field.number, field.wire) == (2, BYTES):
            when = _timestamp(data, field)
        elif (field.number, field.wire) == (3, BYTES):
            name, value = _item(data, field)
            _numbers(f"{SYSTEM}.{name}", value, values, 0)
    return when, values


def read_settings(data: bytes, message: Field) -> dict[str, Any]:
    """What a record of settings sets: name -> value, as it was written."""
    found: dict[str, Any] = {}
    for field in fields(data, message.start, message.end):
        if (field.number, field.wire) == (1, BYTES):
            name, value = _item(data, field)
            found[name] = value
    return found


def read_run(data: bytes, message: Field) -> dict[str, Any]:
    """The settings that a run began with."""
    for field in fields(data, message.start, message.end):
        if (field.number, field.wire) == (4, BYTES):
            return read_settings(data, field)
    return {}


def read_exit(data: bytes, message: Field) -> Event:
    """How a run ended."""
    code = 0
    for field in fields(data, message.start, message.end):
        if (field.number, field.wire) == (1, VARINT):
            code = signed(field.value)
    action = "failed" if code else "finished"
    return Event(event="control", fields={"action": action, "exit_code": code})


def _timestamp(data: bytes, message: Field) -> float:
    seconds = nanoseconds = 0
    for field in fields(data, message.start, message.end):
        if (field.number, field.wire) == (1, VARINT):
            seconds = signed(field.value)
        elif (field.number, field.wire) == (2, VARINT):
            nanoseconds = signed(field.value)
    return seconds + nanoseconds * 1e-9


def _item(data: bytes, message: Field) -> tuple[str, Any]:
    """The name and the value of an item: a key, once or nested, and JSON text."""
    parts: list[str] = []
    value: Any = None
    for field in fields(data, message.start, message.end):
        if field.wire == BYTES and field.number in (1, 2):
            parts.append(text(data, field))
        elif (field.number, field.wire) == (16, BYTES):
            value = parse(text(data, field))
    return ".".join(filter(None, parts)), value


def parse(value: str) -> Any:
    """The value that JSON text spells; the text itself where it is none."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _numbers(name: str, value: Any, into: dict[str, float], depth: int) -> None:
    if isinstance(value, dict):
        if depth < MAX_DEPTH:
            for key, inner in cast("dict[str, Any]", value).items():
                _numbers(f"{name}.{key}", inner, into, depth + 1)
        return
    number = as_number(value)
    if number is not None:
        into[name] = number
