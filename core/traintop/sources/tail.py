"""Reading a file that somebody else is writing, a burst of bytes at a time.

Nothing here waits: `read` takes what is there and returns. A file is known by its device and
inode, because names move: a rotated file is read to its end before the new one of that name is
begun; a replaced, truncated or rewritten one is read anew from its start, and says so.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple, Protocol

from traintop.sources.filesystem import needs_polling
from traintop.sources.mark import Place

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HEAD = 4096
"""The first bytes of a file, which tell what it is and whether it was rewritten in place."""

ANCHOR = 64
"""The last bytes before the place that was read to, which must still be there at the next read."""


class Chunk(NamedTuple):
    """What one read brought."""

    data: bytes
    reset: bool = False
    """What was read before is gone from the file and to be forgotten; `data` is its new start."""
    seam: bool = False
    """The file was rotated: what came before is whole, and `data` begins the next file."""


class Jump(NamedTuple):
    """Where reading goes on from, and what is needed to read what was jumped over."""

    fd: int
    """The same file, to be closed by whoever has it."""
    head: bytes
    """The first bytes of the file."""
    offset: int
    """How much was jumped over."""


class Tail(Protocol):
    """Bytes that arrive over time."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def error(self) -> str | None:
        """Why nothing can be read at the moment."""
        ...

    @property
    def polled(self) -> bool:
        """Whether the operating system does not tell when there is more to read."""
        ...

    @property
    def head(self) -> bytes:
        """The first bytes of the content, at most `HEAD`."""
        ...

    @property
    def bytes_read(self) -> int:
        """Bytes taken from the content so far."""
        ...

    @property
    def bytes_total(self) -> int:
        """Bytes known to be there, read or not."""
        ...

    @property
    def pending(self) -> bool:
        """Whether more bytes are known to be there."""
        ...

    @property
    def held_open(self) -> bool:
        """Whether a writer is known to be there: more may come for sure."""
        ...

    def read(self, max_bytes: int) -> Chunk:
        """Take at most `max_bytes` new bytes, without waiting for any."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class FileTail:
    """A regular file that may not exist yet, and may grow, shrink, move, vanish and come back.

    Args:
        path: The file, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error: str | None = None
        self.polled = needs_polling(path)
        self._fd: int | None = None
        self._identity = (0, 0)
        self._checked = (0, 0)  # size and modification time when the content was last compared
        self._offset = 0
        self._before = 0  # bytes of rotated files that came before this one
        self._head = b""
        self._anchor = b""
        self._size = 0  # of the file that is open, or of the one that will be
        self._next_size = (
            0  # of a file that has taken the name while the old one is still being read
        )
        status = self._look()
        if status is not None:
            self._size = status.st_size

    @property
    def head(self) -> bytes:
        """The first bytes of the content, at most `HEAD`."""
        return self._head

    @property
    def bytes_read(self) -> int:
        """Bytes taken from the content so far."""
        return self._before + self._offset

    @property
    def bytes_total(self) -> int:
        """Bytes known to be there, read or not."""
        return self._before + max(self._size, self._offset) + self._next_size

    @property
    def pending(self) -> bool:
        """Whether more bytes are known to be there."""
        reachable = self._fd is not None or self.error is None
        return reachable and self.bytes_total > self.bytes_read

    @property
    def held_open(self) -> bool:
        """Nobody knows who holds a file open."""
        return False

    def read(self, max_bytes: int) -> Chunk:
        """Take at most `max_bytes` new bytes, without waiting for any.

        An error of the operating system is kept in `error`, and the next call tries again.
        """
        try:
            return self._read(max_bytes)
        except OSError as error:
            self.error = error.strerror or str(error)
            self._let_go()
            return Chunk(b"")

    def jump(self, head: int, newest: int) -> Jump | None:
        """Go on from a line near the end, leaving what is before it to whoever asks.

        Only before anything was read.

        Args:
            head: Bytes to hand over from the start of the file.
            newest: Bytes that are left to be read, or the next fewer that begin a line.

        Returns:
            None, with nothing changed, where there is no such line or the file cannot be opened.
        """
        if self.bytes_read or self._before:
            return None
        try:
            if self._fd is None:
                self._open()
            assert self._fd is not None  # noqa: S101 - `_open` leaves it open, or raises
            size = os.fstat(self._fd).st_size
            start = max(size - newest, 0)
            first = os.pread(self._fd, newest, start).find(b"\n") + 1
            if not start or not first:
                return None
            data = os.pread(self._fd, max(head, HEAD), 0)
            anchor = os.pread(self._fd, ANCHOR, start + first - ANCHOR)
            jump = Jump(os.dup(self._fd), data[:head], start + first)
        except OSError:
            return None  # The next read says why.
        self._size, self._offset = size, jump.offset
        self._head, self._anchor = data[:HEAD], anchor
        return jump

    def ends(self, head: int, newest: int, grain: int) -> tuple[bytes, bytes, int]:
        """Return the first bytes and the newest ones, and where these begin; nothing is read.

        Args:
            head: Bytes from the start of the file.
            newest: Least bytes from its end, if there are as many.
            grain: These begin at a multiple of so many.

        Raises:
            OSError: The file cannot be read.
        """
        fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            start = max(size - newest, 0) // grain * grain
            return os.pread(fd, head, 0), os.pread(fd, size - start, start), start
        finally:
            os.close(fd)

    def __getstate__(self) -> Mapping[str, object]:
        """Leave out what only this process has open: see `close`."""
        return vars(self) | {"_fd": None}

    def place(self, held: int) -> Place | None:
        """Where reading has come to; None where that cannot be found again.

        Args:
            held: Bytes that were read and not taken in yet.
        """
        offset = self._offset - held
        if self._fd is None or self._before or offset < ANCHOR:
            return None
        try:
            status = os.fstat(self._fd)
            anchor = os.pread(self._fd, ANCHOR, offset - ANCHOR)
        except OSError:
            return None
        return Place(
            inode=status.st_ino,
            offset=offset,
            size=status.st_size,
            modified=status.st_mtime_ns,
            head=self._head,
            anchor=anchor,
        )

    def resume(self, place: Place, head: int) -> Jump | None:
        """Go on from a place; only before anything was read.

        Args:
            place: What `place` said when the file was read before.
            head: Bytes to hand over from the start of the file.

        Returns:
            None, with nothing changed, where it is not the same file or cannot be opened.
        """
        if self.bytes_read:
            return None
        try:
            if self._fd is None:
                self._open()
            assert self._fd is not None  # noqa: S101 - `_open` leaves it open, or raises
            status = os.fstat(self._fd)
            data = os.pread(self._fd, max(head, HEAD), 0)
            anchor = os.pread(self._fd, ANCHOR, place.offset - ANCHOR)
            rewritten = status.st_size == place.size and status.st_mtime_ns != place.modified
            if (
                status.st_ino != place.inode
                or status.st_size < place.size
                or rewritten
                or data[: len(place.head)] != place.head
                or anchor != place.anchor
            ):
                return None
            jump = Jump(os.dup(self._fd), data[:head], place.offset)
        except OSError:
            return None
        self._size, self._offset = status.st_size, place.offset
        self._head, self._anchor = data[:HEAD], anchor
        return jump

    def rewind(self) -> None:
        """Read from the start after all."""
        self._start_over()

    def close(self) -> None:
        """Let go of the file. A later `read` opens it again where it left off."""
        self._let_go()

    def _read(self, max_bytes: int) -> Chunk:
        status = self._look()
        if status is None and self._fd is None:
            return Chunk(b"")
        reset = seam = False
        if self._fd is None:
            reset = self._open()
        elif status is not None and _identity(status) != self._identity:
            old = os.fstat(self._fd)
            if old.st_nlink == 0:
                reset = self._open()
            else:
                self._size, self._next_size = old.st_size, status.st_size
                data = self._take(max_bytes)
                if data:
                    return Chunk(data)
                self._leave_rotated()
                seam = True
                self._open()
        assert self._fd is not None  # noqa: S101 - both branches above leave it open
        reset = self._changed_under_us() or reset
        return Chunk(self._take(max_bytes), reset, seam)

    def _look(self) -> os.stat_result | None:
        """The state of whatever has the name now; None if nothing has, or it cannot be known."""
        try:
            if not self.polled:
                status = self.path.stat()
            else:
                # Network file systems answer `stat` from a cache for up to a minute; opening asks
                # the server again (close-to-open consistency, nfs(5)).
                fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
                try:
                    status = os.fstat(fd)
                finally:
                    os.close(fd)
        except OSError as error:
            self.error = error.strerror or str(error)
            return None
        self.error = None
        return status

    def _open(self) -> bool:
        """Open what has the name now; return whether it is other content than was read before."""
        self._let_go()
        self._fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        status = os.fstat(self._fd)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(0, "is a directory")
        same = _identity(status) == self._identity
        self._identity = _identity(status)
        self._size, self._next_size = status.st_size, 0
        if same or self.bytes_read == 0:
            return False
        if self._offset:
            self._start_over()
            return True
        return False

    def _let_go(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _leave_rotated(self) -> None:
        """Go on to the next file of this name."""
        self._before += self._offset
        self._offset = 0
        self._head = self._anchor = b""
        self._checked = (0, 0)

    def _start_over(self) -> None:
        self._before = self._offset = 0
        self._head = self._anchor = b""
        self._checked = (0, 0)

    def _changed_under_us(self) -> bool:
        """Whether the bytes that were read are no longer those of the file; if so, start over."""
        assert self._fd is not None  # noqa: S101 - only called with the file open
        status = os.fstat(self._fd)
        self._size = status.st_size
        signature = (status.st_size, status.st_mtime_ns)
        if signature == self._checked or not self._offset:
            self._checked = signature
            return False
        self._checked = signature
        if (
            status.st_size >= self._offset
            and os.pread(self._fd, len(self._head), 0) == self._head
            and os.pread(self._fd, len(self._anchor), self._offset - len(self._anchor))
            == self._anchor
        ):
            return False
        self._start_over()
        return True

    def _take(self, max_bytes: int) -> bytes:
        assert self._fd is not None  # noqa: S101 - only called with the file open
        data = os.pread(self._fd, max_bytes, self._offset)
        self._offset += len(data)
        self._size = max(self._size, self._offset)
        if len(self._head) < HEAD:
            self._head += data[: HEAD - len(self._head)]
        self._anchor = (self._anchor + data[-ANCHOR:])[-ANCHOR:]
        return data


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
