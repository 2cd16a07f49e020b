"""JSON texts that may be unfinished: whether one has come to its end, and what it says so far."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import msgspec

from traintop.sources.objects import parse_values

_MARK = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},"]', re.DOTALL)
_CLOSER = {"{": "}", "[": "]"}


class Brackets:
    """Follows how deep a JSON text is nested, over any pieces that it comes in."""

    def __init__(self) -> None:
        self.depth = 0
        self.begun = False
        self._in_string = False
        self._held = b""  # a backslash at the end of a piece

    @property
    def closed(self) -> bool:
        """Whether there was an object or array, and none is open."""
        return self.begun and self.depth <= 0 and not self._in_string

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        data = self._held + data
        slashes = len(data) - len(data.rstrip(b"\\"))
        self._held = b"\\" if slashes % 2 else b""
        if self._held:
            data = data[:-1]
        parts = data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b"".join(parts[self._in_string :: 2])
        self._in_string ^= len(parts) % 2 == 0
        opened = outside.count(b"{") + outside.count(b"[")
        self.begun = self.begun or opened > 0
        self.depth += opened - outside.count(b"}") - outside.count(b"]")


class Parsed(NamedTuple):
    """What a JSON text says."""

    values: list[Any]
    """One after another."""
    finite: bool
    """Whether no number in it can be NaN or infinite: the text is JSON as it is defined."""


def parse(data: bytes) -> Parsed:
    """The values of a JSON text; NaN and the like are taken.

    Raises:
        ValueError: It is no JSON; the message says where.
        RecursionError: It is nested too deeply.
    """
    try:
        return Parsed([msgspec.json.decode(data)], finite=True)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        text = data.decode("utf-8", "replace").strip("\0\ufeff \t\r\n")
        return Parsed(parse_values(text), finite=False)


def parse_beginning(data: bytes, *, whole_records: bool = False) -> Any:
    """What an unfinished JSON text says: its last value that is not whole is left out.

    Args:
        data: The text.
        whole_records: Whether an object in a list is left out too where it is not whole.

    Raises:
        ValueError: It is not the beginning of a JSON text.
        RecursionError: It is nested too deeply.
    """
    text = data.decode("utf-8", "replace").lstrip("\0\ufeff \t\r\n")
    end, closers = _last_end(text, whole_records)
    if not end:
        raise ValueError("not a JSON object or array")
    value, _ = json.JSONDecoder().raw_decode(text[:end] + closers)
    return value


def _last_end(text: str, whole_records: bool) -> tuple[int, str]:
    """Where the text can be cut off, and the brackets that close it there."""
    open_: list[str] = []
    records = 0  # the depth at which a record in a list is open, 0 if none is
    end = depth = 0
    for mark in _MARK.finditer(text):
        found = mark[0]
        if found == '"':
            break  # a string that is cut off
        if found in _CLOSER:
            if not records and found == "{" and open_[-1:] == ["]"]:
                records = len(open_) + 1
            open_.append(_CLOSER[found])
        elif found in ("}", "]"):
            if not open_ or open_.pop() != found:
                raise ValueError("a bracket is closed that is not open")
            if len(open_) < records:
                records = 0
        elif found != ",":
            continue
        if not (whole_records and records):
            end, depth = (mark.start() if found == "," else mark.end()), len(open_)
        if not open_:
            break
    return end, "".join(reversed(open_[:depth]))
