"""Telling a JSON document from JSON lines and other text, by its first bytes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

from traintop.sources import histories, json_text
from traintop.sources.keys import STEP_KEYS, plain

_BEGINNING = re.compile(
    rb"[\s\0]*(\{\s*(\"|\}|$)|\[\s*([\[{]|\]\s*(?:\n|$)|$|-?\d+(\.\d+)?([eE][+-]?\d+)?\s*,))"
)


def is_document(path: Path, head: bytes) -> bool:
    """Whether a text that begins so is one JSON value over many lines, or one that is a history.

    Where the first line is longer than the head, the name decides whether it has a record a line.
    """
    lines_expected = not {".jsonl", ".ndjson"}.isdisjoint(map(str.lower, path.suffixes))
    head = head.removeprefix(b"\xef\xbb\xbf")
    if _BEGINNING.match(head) is None:
        return False
    first, ended, rest = head.lstrip().partition(b"\n")
    if ended and _is_object(first):
        return not rest.strip() and _is_history(first)
    if not ended:
        # The first record of a file of lines may be as long, and have arrays in it too.
        return not lines_expected and _is_history(first) and holds_curves(path, first)
    return _holds_something(head)


def holds_curves(_path: Path, head: bytes) -> bool:
    """Whether a document that begins so is clearly the history of a training."""
    try:
        value = json_text.parse_beginning(head)
    except (ValueError, RecursionError):
        return False
    return histories.is_of_training(histories.find(value))


def _is_object(line: bytes) -> bool:
    try:
        values = json_text.parse(line).values
    except (ValueError, RecursionError):
        return False
    return all(isinstance(value, dict) for value in values)


def _is_history(line: bytes) -> bool:
    """Whether a line is more than a record: its numbers are in arrays, and no step is named."""
    try:
        value = json_text.parse_beginning(line)
    except (ValueError, RecursionError):
        return False
    found = histories.find(value)
    if isinstance(value, list):
        return bool(found.records or found.arrays)
    if any(map(histories.has_axis, (each.rows for each in found.records))):
        return True
    members = cast("dict[str, Any]", value)
    named = {plain(key) for key, part in members.items() if not isinstance(part, list | dict)}
    scalars = sum(isinstance(part, float) for part in members.values())
    return named.isdisjoint(STEP_KEYS) and len(found.arrays) > scalars


def _holds_something(head: bytes) -> bool:
    """Whether what is whole of a text is JSON with more in it than numbers in brackets."""
    try:
        value = json_text.parse_beginning(head)
    except (ValueError, RecursionError):
        return False
    if isinstance(value, dict):
        return True
    parts = cast("list[object]", value)
    return not parts or isinstance(parts[0], dict | list) or len(parts) > 2
