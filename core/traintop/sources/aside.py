"""Reading the history of a file newest first, in a process of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from traintop.records import Item
from traintop.sources.decoder import Decoder, Resumable
from traintop.sources.reader_process import Opening, ReaderProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from traintop.sources.decoder import Forkable
    from traintop.sources.tail import Jump


class Piece(NamedTuple):
    """What the other process tells at a time."""

    items: list[Item]
    """In file order."""
    left: int
    """Bytes before it."""
    records: int
    """Records so far."""
    skipped: int
    """Lines that could not be read so far."""
    failed: str | None = None
    state: dict[str, Any] | None = None
    """With the last piece: that of the decoder that would have been fed all of them."""


class Aside:
    """Has the first bytes of a file read in another process, the newest lines first.

    Args:
        jump: The file and where its history ends: the start of a line.
        opening: How it is read.
        choose: Makes its decoder.
    """

    def __init__(self, jump: Jump, opening: Opening, choose: Callable[[], Decoder | str]) -> None:
        self.left = jump.offset
        """Bytes from the start of the file that are not read yet."""
        self.failed: str | None = None
        """Why the file has to be read from its start instead."""
        self.records = self.skipped_total = 0
        self._choose = choose
        self._jump = jump
        self._decoder: Forkable | None = None
        request = {"fd": jump.fd, "end": jump.offset, **opening._asdict()}
        self._process: ReaderProcess[Piece] = ReaderProcess(request, [jump.fd])

    def start(self) -> None:
        """Start the process; by itself it is started when something is asked for.

        Raises:
            OSError: It cannot be started.
        """
        self._process.start()

    @property
    def pid(self) -> int | None:
        """The process, once it is started."""
        return self._process.pid

    @property
    def decoder(self) -> Forkable:
        """The one that would have been fed all, once nothing is left."""
        assert self._decoder is not None  # noqa: S101 - asked for at the end only
        return self._decoder

    def fileno(self) -> int:
        """What can be read from when there is news."""
        return self._process.fileno()

    def gather(self) -> bool:
        """Take what has come so far; True when `read` has something to hand over, or to say."""
        return self.failed is not None or self._process.gather()

    def read(self) -> list[Item]:
        """Take what stands before all that was read so far; nothing where it is still awaited."""
        piece = self._process.take()
        if piece is None:
            self.failed = self.failed or self._process.failed
            return []
        self.records, self.skipped_total = piece.records, piece.skipped
        self.failed = piece.failed
        if piece.state is not None:
            decoder = self._choose()
            if not isinstance(decoder, Resumable):
                self.failed = "its first lines are no longer what they were"
                return []
            decoder.restore(piece.state)
            self._decoder = decoder
        self.left = piece.left
        return piece.items

    def close(self) -> None:
        """End the process."""
        os.close(self._jump.fd)
        self._process.close()
