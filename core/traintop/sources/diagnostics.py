"""What only traintop's own run directories have: events and `run.json`, and see `layers`.

`train_diagnostics.jsonl` and `val_diagnostics.jsonl` are JSON Lines like any other.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np

from traintop.records import Event, Item, RunInfo, SourceReport
from traintop.sources.decoder import Tally
from traintop.sources.keys import as_number, seconds
from traintop.sources.lines import CUT_MARK, whole_lines

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = "traintop/1"
RUN_INFO_LIMIT = 1 << 20
"""Bytes of a run.json that are read; a larger one is refused."""


_EVENT = re.compile(rb"\s*\{.*\"event\"\s*:\s*\"")


def holds_events(path: Path, head: bytes) -> bool:
    """Whether a file of this name that begins with these bytes holds the events of a run."""
    lines = whole_lines(head)
    return path.name == "events.jsonl" and bool(lines) and _EVENT.match(lines[0]) is not None


class Events:
    """Decodes `events.jsonl`: checkpoints, epochs, notes ..., a line each."""

    format = FORMAT
    by_lines = True
    rewritten = False

    def __init__(self) -> None:
        self.tally = Tally()
        self.tables: tuple[str, ...] = ()

    def feed(self, data: bytes) -> list[Item]:
        """Take whole lines."""
        items: list[Item] = []
        for number, line in self.tally.number(data):
            try:
                record = json_object(line)
                event = record.pop("event", None)
                if not isinstance(event, str):
                    raise ValueError("no event")
            except (ValueError, RecursionError) as error:
                self.tally.skip(number, str(error))
                continue
            step = as_number(record.pop("step", None))
            time = seconds(record.pop("time", None), 1.0)
            self.tally.records += 1
            items.append(
                Event(
                    event=event,
                    step=int(step) if step is not None and np.isfinite(step) else None,
                    time=time if np.isfinite(time) else None,
                    fields=record,
                )
            )
        return items

    def finish(self) -> list[Item]:
        """Nothing is held back."""
        return []


class RunInfoFile:
    """`run.json`: one object, replaced as a whole. While it is broken the last good one holds.

    Args:
        path: The file, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._size = 0
        self._read = 0
        self._records = 0
        self._error: str | None = None

    @property
    def pending(self) -> bool:
        """Never: the file is read whole."""
        return False

    @property
    def awaited(self) -> None:
        """It is read at once."""

    @property
    def held_open(self) -> bool:
        """It is written whole."""
        return False

    @property
    def polled(self) -> bool:
        """It lies beside the others: what is true of them is true of it."""
        return False

    def read(self, max_bytes: int) -> list[Item]:  # noqa: ARG002 - it is small and read whole
        """Read the file if it was replaced or changed since the last call."""
        try:
            status = self.path.stat()
            seen = (status.st_ino, status.st_size, status.st_mtime_ns)
            if seen == self._seen:
                return []
            self._seen, self._size = seen, status.st_size
            if status.st_size > RUN_INFO_LIMIT:
                raise ValueError(f"larger than {RUN_INFO_LIMIT} bytes")
            data = self.path.read_bytes()
            self._read = len(data)
            info = _run_info(data)
        except OSError as error:
            self._seen = None
            self._error = error.strerror or str(error)
            return []
        except (ValueError, RecursionError) as error:
            self._error = f"not a run description: {error}"
            return []
        self._error = None
        self._records = 1
        return [info]

    def finish(self) -> list[Item]:
        """Nothing is held back."""
        return []

    def report(self) -> SourceReport:
        """What the file turned out to be."""
        return SourceReport(
            path=self.path,
            format=FORMAT,
            records=self._records,
            bytes_read=self._read,
            bytes_total=max(self._size, self._read),
            error=self._error,
        )

    def close(self) -> None:
        """Nothing is held open."""


def _run_info(data: bytes) -> RunInfo:
    """The keys that we know, each read on its own: one odd value does not cost the others."""
    record = json_object(data)
    info: dict[str, Any] = {}
    for name, kind in _FIELDS.items():
        if record.get(name) is None:
            continue
        try:
            info[name] = msgspec.convert(record[name], kind, strict=False)
        except msgspec.ValidationError:
            continue
    return RunInfo(**info)


_FIELDS: dict[str, Any] = {field.name: field.type for field in msgspec.structs.fields(RunInfo)}


def json_object(data: bytes) -> dict[str, Any]:
    """The JSON object in these bytes, which may hold bare NaN and Infinity.

    Raises:
        ValueError: It is none; the message says why.
    """
    try:
        value = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        if data.endswith(CUT_MARK):
            raise ValueError("line too long") from None
        try:
            value = json.loads(data.decode("utf-8", "replace").strip("\ufeff\0 \r\n"))
        except ValueError as error:
            raise ValueError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return cast("dict[str, Any]", value)
