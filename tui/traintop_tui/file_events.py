"""Sleeping until there may be something to read: file events, with a heartbeat beside them.

Events are lost on network file systems, through links, and when a directory is made anew.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from traintop.session import Session

HEARTBEAT = 0.5
"""Seconds after which silence is looked into, where file events can be trusted."""
POLL = 0.1
"""The same where they cannot: on network file systems."""


def file_events(sessions: Sequence[Session], stop: threading.Event) -> Iterator[None]:
    """Sleep until a file changes or the heartbeat is due, for each `next` until stopped."""
    from watchfiles import watch

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
                stop_event=stop,
                rust_timeout=int(HEARTBEAT * 1000),
                yield_on_timeout=True,
                raise_interrupt=False,
                recursive=False,
            ):
                yield
                if stop.is_set() or _folders(sessions) != folders:
                    break
        except (OSError, RuntimeError):
            # No more watches to be had, or a folder went away: the heartbeat goes on.
            stop.wait(POLL)
            yield


def _folders(sessions: Sequence[Session]) -> list[Path]:
    folders = {folder for session in sessions for folder in session.folders()}
    return sorted(folder for folder in folders if folder.is_dir())
