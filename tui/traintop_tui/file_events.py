"""Sleeping until there may be something to read: file events, with a heartbeat beside them.

Events are lost on network file systems, through links, and when a directory is made anew.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from traintop.session import Session
from traintop_tui.inotify import Inotify

HAS_INOTIFY = os.uname().sysname == "Linux"
HEARTBEAT = 1.0
"""Seconds after which silence is looked into, where file events can be trusted."""
POLL = 0.1
"""The same where they cannot: on network file systems."""
SETTLE = 0.01
"""Seconds between two looks at files that change without a pause."""


def file_events(
    sessions: Sequence[Session],
    stop: threading.Event,
    busy: Callable[[], bool] = lambda: False,
) -> Iterator[None]:
    """Sleep until a file changes or the heartbeat is due, for each `next` until stopped.

    Args:
        sessions: Whose files are watched.
        stop: Ends it.
        busy: Whether there is something else to look after; it ends the sleep.
    """
    changes = _inotify_changes if HAS_INOTIFY else _watchfiles_changes
    interruption = _Interruption(stop, busy)
    while not stop.is_set():
        folders = _folders(sessions)
        polling = any(session.needs_polling for session in sessions)
        if polling or not folders:
            stop.wait(POLL if polling else HEARTBEAT)
            yield
            continue
        try:
            for _ in changes(folders, interruption):
                yield
                if stop.is_set() or _folders(sessions) != folders:
                    break
            else:
                yield  # interrupted
        except (OSError, RuntimeError):
            # No more watches to be had, or a folder went away: the heartbeat goes on.
            stop.wait(POLL)
            yield


class _Interruption:
    """What is asked, many times a second, whether to return."""

    def __init__(self, stop: threading.Event, busy: Callable[[], bool]) -> None:
        self._stop = stop
        self._busy = busy

    def is_set(self) -> bool:
        """Whether to return."""
        return self._stop.is_set() or self._busy()


def _inotify_changes(folders: Sequence[Path], interruption: _Interruption) -> Iterator[object]:
    """Yield at each change and each heartbeat, until interrupted."""
    with Inotify(folders) as events:
        while not interruption.is_set():
            if events.wait(HEARTBEAT, interruption.is_set):
                yield None
                time.sleep(SETTLE)
            elif not interruption.is_set():
                yield None


def _watchfiles_changes(folders: Sequence[Path], interruption: _Interruption) -> Iterator[object]:
    """The same, on systems without inotify."""
    from watchfiles import watch

    return watch(
        *folders,
        watch_filter=None,
        debounce=100,
        step=20,
        stop_event=interruption,
        rust_timeout=int(HEARTBEAT * 1000),
        yield_on_timeout=True,
        raise_interrupt=False,
        recursive=False,
    )


def _folders(sessions: Sequence[Session]) -> list[Path]:
    folders = {folder for session in sessions for folder in session.folders()}
    return sorted(folder for folder in folders if folder.is_dir())
