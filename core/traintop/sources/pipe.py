"""Standard input and named pipes, read by a thread so that the program that writes never waits."""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING

from traintop.sources.tail import HEAD, Chunk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BLOCK = 1 << 16
BUFFER_LIMIT = 256 << 20
"""Unread bytes that are kept before the writer is made to wait after all."""


class PipeTail:
    """The interface of `FileTail` for bytes that can be read only once.

    Args:
        path: What is shown as the name, and opened unless `fd` is given.
        fd: A descriptor that is open for reading.
        on_data: Called by the reading thread when bytes have arrived or the end was reached.
    """

    def __init__(
        self, path: Path, fd: int | None = None, on_data: Callable[[], None] | None = None
    ) -> None:
        self.path = path
        self.error: str | None = None
        self.polled = True
        self.on_data = on_data
        self.ended = False
        """Whether the writer has closed its end."""
        self._fd = fd
        self._blocks: deque[bytes] = deque()
        self._room = threading.Condition()
        self._buffered = 0
        self._read = 0
        self._head = b""
        self._closed = False
        self._thread = threading.Thread(target=self._fill, name=f"read {path}", daemon=True)
        self._thread.start()

    @property
    def head(self) -> bytes:
        """The first bytes of the content, at most `HEAD`."""
        return self._head

    @property
    def bytes_read(self) -> int:
        """Bytes taken from the content so far."""
        return self._read

    @property
    def bytes_total(self) -> int:
        """Bytes that have arrived."""
        return self._read + self._buffered

    @property
    def pending(self) -> bool:
        """Whether bytes have arrived that were not read yet."""
        return self._buffered > 0

    @property
    def held_open(self) -> bool:
        """Whether the writer has its end open."""
        return not self.ended

    def read(self, max_bytes: int) -> Chunk:
        """Take at most `max_bytes` of the bytes that have arrived."""
        taken: list[bytes] = []
        with self._room:
            room = max_bytes
            while self._blocks and room:
                block = self._blocks.popleft()
                if len(block) > room:
                    self._blocks.appendleft(block[room:])
                taken.append(block[:room])
                room -= len(taken[-1])
            self._buffered -= max_bytes - room
            self._room.notify()
        data = b"".join(taken)
        self._read += len(data)
        if len(self._head) < HEAD:
            self._head += data[: HEAD - len(self._head)]
        return Chunk(data)

    def close(self) -> None:
        """Stop reading. A thread that waits for bytes ends with the program."""
        with self._room:
            self._closed = True
            self._room.notify()

    def _fill(self) -> None:
        try:
            fd = os.open(self.path, os.O_RDONLY) if self._fd is None else self._fd
            while block := os.read(fd, BLOCK):
                with self._room:
                    self._room.wait_for(lambda: self._buffered < BUFFER_LIMIT or self._closed)
                    if self._closed:
                        return
                    self._blocks.append(block)
                    self._buffered += len(block)
                self._tell()
        except OSError as error:
            self.error = error.strerror or str(error)
        self.ended = True
        self._tell()

    def _tell(self) -> None:
        if self.on_data is not None:
            self.on_data()
