"""Linux's own file events, waited for without looking: what idles costs nothing.

`watchfiles`, which serves the other systems, asks fifty times a second whether something came.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
# From <sys/inotify.h>: what a writer does to a file, and what happens to names and to the folder.
_MODIFY, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x2, 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _ONLY_FOLDERS = 0x400, 0x800, 0x01000000
_MASK = (
    _MODIFY | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
    | _DELETE_SELF | _MOVE_SELF | _ONLY_FOLDERS
)  # fmt: skip
_READ = 1 << 16
LOOK = 0.1
"""Seconds after which it is asked whether to go on waiting."""


class Inotify:
    """The events of some folders, without those below them.

    Raises:
        OSError: There are no more watches to be had, or a folder went away.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = libc.inotify_init1(_FLAGS)
        if self._fd < 0:
            raise _error()
        try:
            for folder in folders:
                if libc.inotify_add_watch(self._fd, os.fsencode(folder), _MASK) < 0:
                    raise _error()
        except OSError:
            self.close()
            raise
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Watch nothing more."""
        os.close(self._fd)

    def wait(self, seconds: float, interrupted: Callable[[], bool]) -> bool:
        """Sleep until there are events, at most so long; return whether there were any.

        Args:
            seconds: How long at most.
            interrupted: Whether to return at once; it is asked every `LOOK` seconds.
        """
        left = seconds
        while left > 0 and not interrupted():
            if self._poll.poll(1000 * min(left, LOOK)):
                # Which they are does not matter: whoever waits looks at its files itself.
                with contextlib.suppress(BlockingIOError):
                    while len(os.read(self._fd, _READ)) > _READ // 2:
                        pass
                return True
            left -= LOOK
        return False


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
