"""Leaving when the terminal is gone: a connection was lost, a window was closed.

Nothing can be drawn then, and whoever tries may wait for ever on a queue that nobody empties. So
the usual way out is not taken: what was started is ended, and the process with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable

_to_end: list[Callable[[], None]] = []


def at_hangup(end: Callable[[], None]) -> None:
    """Call `end` before the process ends for want of a terminal.

    To be called by the main thread, the only one that may say what a signal does.
    """
    if not _to_end:
        signal.signal(signal.SIGHUP, _hang_up)
    _to_end.append(end)


def _hang_up(*_: object) -> None:
    # In a thread: the main one may be waiting for the terminal, or hold a lock that `end` needs.
    threading.Thread(target=_leave, name="hangup", daemon=True).start()


def _leave() -> None:
    for end in _to_end:
        with contextlib.suppress(Exception):
            end()
    os._exit(128 + signal.SIGHUP)
