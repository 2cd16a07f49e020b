"""Lines of strict JSON, each appended to its file in one write."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

TAIL_BYTES = 1 << 16
DELETED_CHECK_SECONDS = 1.0

_NON_FINITE = {"nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"'}


def encode(record: Mapping[str, object]) -> bytes:
    """One record as a line of strict JSON, without its newline.

    Floats have 6 significant digits, except `time` (seconds since 1970), which has milliseconds;
    non-finite ones are the strings "NaN", "Infinity" and "-Infinity". Integers are exact.

    Raises:
        TypeError: A value is none of None, bool, int, float, str, list, tuple and mapping.
    """
    return _object(record).encode()


def _object(record: Mapping[str, object]) -> str:
    members = [
        f"{_quoted(key)}:{value:.3f}"
        if key == "time" and isinstance(value, float)
        else f"{_quoted(key)}:{_value(value)}"
        for key, value in record.items()
    ]
    return "{" + ",".join(members) + "}"


def _value(value: object) -> str:
    if isinstance(value, float):
        text = f"{value:.6g}"
        return _NON_FINITE.get(text, text)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join([_value(item) for item in cast("Iterable[object]", value)]) + "]"
    if isinstance(value, Mapping):
        return _object(cast("Mapping[str, object]", value))
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


@lru_cache(maxsize=1024)
def _quoted(key: str) -> str:
    return json.dumps(key)


class LineWriter:
    """Appends lines to one file. The file is made at the first line.

    A torn last line (of a crash, or of a full disk) is ended first, so that it costs only itself.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None
        self._torn = False
        self._checked = 0.0

    def write(self, line: bytes) -> None:
        """Append a line.

        Raises:
            OSError: It could not be written whole: a full disk, no rights, or the file or its
                directory is gone.
        """
        fd = self._open() if self._fd is None else self._fd
        self._check_linked(fd)
        data = b"\n" + line + b"\n" if self._torn else line + b"\n"
        written = os.write(fd, data)
        if written:
            self._torn = data[written - 1 : written] != b"\n"
        if written < len(data):
            raise OSError(errno.ENOSPC, "only a part of a line could be written", str(self.path))

    def close(self) -> None:
        """Close the file; a later line opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        self._fd = fd = os.open(
            self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666
        )
        size = os.fstat(fd).st_size
        self._torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
        return fd

    def _check_linked(self, fd: int) -> None:
        # Writes to a deleted file succeed and are lost, so they must be looked for.
        now = time.monotonic()
        if now - self._checked < DELETED_CHECK_SECONDS:
            return
        self._checked = now
        if os.fstat(fd).st_nlink == 0:
            self._checked = 0.0
            raise FileNotFoundError(errno.ENOENT, "the file was deleted", str(self.path))


def last_step(path: Path) -> int | None:
    """The step of the last whole record of a file, or None where there is no such record."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return None
    for line in reversed(lines):
        try:
            record: Any = json.loads(line)
            return int(record["step"])
        except (ValueError, KeyError, TypeError):
            continue
    return None


def replace(path: Path, data: bytes) -> None:
    """Write a small file so that a reader sees the old one or the new one, never a part."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(data)
    beside.replace(path)
