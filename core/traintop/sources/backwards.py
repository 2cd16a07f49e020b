"""Reading the history of a file from its end to its start, a piece of whole lines at a time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from traintop.sources.decoder import Decoder, Forkable
from traintop.sources.lines import LINE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from traintop.records import Item
    from traintop.sources.tail import Jump

PROBED = 1 << 14
"""Bytes in which a line is likely to end."""
HEAD_SIZE = 1 << 16
"""Bytes from the start of a file that tell what its records look like."""


class Backwards:
    """Reads the first bytes of a file, the newest lines first.

    Args:
        jump: The file and where its history ends: the start of a line.
        choose: Makes the decoder of the file as it is read from its start.
        learnt: Has been fed the first lines of the file, and can be forked.
        size: Bytes read at a time.
    """

    def __init__(
        self, jump: Jump, choose: Callable[[], Decoder | str], learnt: Forkable, size: int
    ) -> None:
        self.left = jump.offset
        """Bytes from the start of the file that are not read yet."""
        self.failed: str | None = None
        """Why the file has to be read from its start instead."""
        self._fd = jump.fd
        self._choose = choose
        self._learnt = learnt
        self._size = size
        self.decoder = self._fork()
        """The one that would have been fed all that was read, in one go."""

    @property
    def records(self) -> int:
        """Records so far."""
        return self.decoder.tally.records

    @property
    def skipped_total(self) -> int:
        """Lines that could not be read so far."""
        return self.decoder.tally.skipped_total

    def fileno(self) -> None:
        """Nothing is waited for: there is more to be read at once."""

    def gather(self) -> bool:
        """There is more to be read at once."""
        return True

    def read(self) -> list[Item]:
        """Read what stands before all that was read so far; nothing where that failed."""
        data = b""
        try:
            data = self._last_lines()
        except OSError as error:
            self.failed = error.strerror or str(error)
            return []
        if not data:
            self.failed = "it is shorter than it was, or has too long a line"
            return []
        start = self.left - len(data)
        decoder = self._fork() if start else self._choose()
        if not isinstance(decoder, Forkable):
            self.failed = "its first lines are no longer what they were"
            return []
        items = decoder.feed(data)
        if not self.decoder.join(decoder):
            self.failed = "its records depend on those before them"
            return []
        self.left = start
        return items

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def _last_lines(self) -> bytes:
        """The last whole lines that are not read yet; nothing where there is no telling."""
        size = self._size
        while self.left > size:
            start = self.left - size
            # Looked for first, so that the piece itself is read without a copy.
            first = os.pread(self._fd, min(size, PROBED), start).find(b"\n") + 1
            if not first and size > PROBED:
                first = os.pread(self._fd, size, start).find(b"\n") + 1
            if 0 < first < size:
                return self._read(start + first)
            if size > LINE_LIMIT:
                return b""
            size *= 2
        return self._read(0)

    def _read(self, start: int) -> bytes:
        data = os.pread(self._fd, self.left - start, start)
        return data if len(data) == self.left - start else b""

    def _fork(self) -> Forkable:
        forked = self._learnt.fork()
        assert forked is not None  # noqa: S101 - that it can be forked was asked before
        return forked
