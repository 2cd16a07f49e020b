"""Sleeping until there may be something to read: file events, with a heartbeat beside them.

Events are lost on network file systems, through links, and when a directory is made anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from traintop.session import Session

HEARTBEAT = 0.5
"""Seconds after which silence is looked into, where file events can be trusted."""
POLL = 0.1
"""The same where they cannot: on network file systems."""


class _Interruption:
    """What the watcher asks, many times a second, whether to return."""

    def __init__(self, stop: threading.Event, busy: Callable[[], bool]) -> None:
        self._stop = stop
        self._busy = busy

    def is_set(self) -> bool:
        """Whether to return."""
        return self._stop.is_set() or self._busy()


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
    from watchfiles import watch

    interruption = _Interruption(stop, busy)
    while not stop.is_set():
        folders = _folders(sessions)
        polling = any(session.needs_polling for session in sessions)
        if polling or not folders:
            stop.wait(POLL if polling else HEARTBEAT)
            yield
            continue
        try:
            for _ in watch(
                *folders,
                watch_filter=None,
                debounce=100,
                step=20,
                stop_event=interruption,
                rust_timeout=int(HEARTBEAT * 1000),
                yield_on_timeout=True,
                raise_interrupt=False,
                recursive=False,
            ):
                yield
                if stop.is_set() or _folders(sessions) != folders:
                    break
            else:
                yield  # interrupted
        except (OSError, RuntimeError):
            # No more watches to be had, or a folder went away: the heartbeat goes on.
            stop.wait(POLL)
            yield


def _folders(sessions: Sequence[Session]) -> list[Path]:
    folders = {folder for session in sessions for folder in session.folders()}
    return sorted(folder for folder in folders if folder.is_dir())
