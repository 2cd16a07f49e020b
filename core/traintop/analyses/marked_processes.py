"""Processes that an analysis has started, however far they went, found by a mark.

The mark is a variable of the environment, which children inherit. A child that leaves the process
group (setsid) or its parent (a daemon) still has it. Linux only: it is read from `/proc`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARK = "TRAINTOP_JOB"
ROUNDS = 10
"""Looks at most, in case that new ones are started meanwhile."""


def end_marked(mark: str) -> None:
    """Kill all processes of the mark but this one."""
    for _ in range(ROUNDS):
        found = [pid for pid in _marked(mark) if pid != os.getpid()]
        if not found:
            return
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _marked(mark: str) -> Iterator[int]:
    wanted = f"{MARK}={mark}".encode()
    with suppress(FileNotFoundError):
        for each in Path("/proc").iterdir():
            with suppress(OSError):  # another user's, or gone meanwhile; empty where it is a zombie
                if each.name.isdigit() and wanted in (each / "environ").read_bytes().split(b"\0"):
                    yield int(each.name)
