"""Cutting a stream of bytes into whole lines: a torn last line is held back until it is whole."""

from __future__ import annotations

import codecs

LINE_LIMIT = 64 << 20
"""A line longer than this many bytes is cut instead of being held in memory for ever."""

KEPT_OF_A_CUT_LINE = 1024

CUT_MARK = b" ... [traintop: line too long, the rest is left out]"
"""What a line that was cut ends with. Readers count such a line as skipped."""


class LineSplitter:
    """Bytes in, whole lines out.

    Only new bytes are searched, so that a long line that arrives in small pieces costs no more than
    a short one.

    Args:
        limit: Lines longer than this many bytes are cut.
    """

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._held = 0
        self._cutting = False
        self._fresh: list[bytes] = []  # of the unfinished line, behind the states given back
        self._searched = 0  # how many of these are known to have no carriage return

    @property
    def held(self) -> int:
        """How many bytes of an unfinished line were fed so far."""
        return self._held

    def feed(self, data: bytes) -> bytes:
        """Take bytes, give back the lines that are whole now, each with its line feed."""
        if len(data) <= self._limit:
            return self._feed(data)
        step = max(1, self._limit)
        return b"".join(self._feed(data[at : at + step]) for at in range(0, len(data), step))

    def states(self) -> bytes:
        """Give back, once, the states of the unfinished line that another has overwritten.

        A progress bar may write for hours, each state behind a carriage return, before its line
        ends.
        """
        new = self._fresh[self._searched :]
        self._searched = len(self._fresh)
        if not any(b"\r" in piece for piece in new):
            return b""
        fresh = b"".join(self._fresh)
        end = fresh.rfind(b"\r") + 1
        self._fresh = [fresh[end:]]
        self._searched = 1
        return fresh[:end]

    def flush(self) -> bytes:
        """Give back the unfinished line, without a line feed: nothing more will come."""
        rest = b"".join(self._pieces) + (CUT_MARK if self._cutting else b"")
        self.clear()
        return rest

    def clear(self) -> None:
        """Forget the unfinished line."""
        self._pieces.clear()
        self._fresh.clear()
        self._held = self._searched = 0
        self._cutting = False

    def _feed(self, data: bytes) -> bytes:
        end = data.rfind(b"\n") + 1
        if not end:
            self._hold(data)
            return b""
        if self._held:
            first = data.find(b"\n")
            self._hold(data[:first])
            whole = self.flush() + data[first:end]
        else:
            whole = data if end == len(data) else data[:end]
        self._hold(data[end:])
        return whole

    def _hold(self, data: bytes) -> None:
        if not data:
            return
        self._held += len(data)
        if self._cutting:
            return
        self._pieces.append(data)
        self._fresh.append(data)
        if self._held > self._limit:
            self._pieces = [b"".join(self._pieces)[: min(KEPT_OF_A_CUT_LINE, self._limit)]]
            self._fresh.clear()
            self._searched = 0
            self._cutting = True


def whole_lines(head: bytes) -> list[bytes]:
    """The lines at the start of a file that are not blank; a torn one only if it is the first."""
    lines = head.removeprefix(codecs.BOM_UTF8).split(b"\n")
    if len(lines) > 1:
        lines.pop()  # torn, or empty
    return [line for line in lines if line.strip()]
