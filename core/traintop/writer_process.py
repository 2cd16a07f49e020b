"""The process that writes a run's files, found among those that have them open (Linux, /proc).

No framework writes its process down, but a run whose process is seen to end has ended, and one
whose process is there is not dead, however long it says nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")
WRITING = (os.O_WRONLY, os.O_RDWR)


def writer_of(files: Iterable[Path]) -> int | None:
    """Find a process that has one of these files open for writing.

    Only processes of this user can be looked into.

    Returns:
        Its number; None where there is none, or none can be seen.
    """
    wanted = {identity for file in files if (identity := _identity(file)) is not None}
    if not wanted:
        return None
    ours = os.getpid()
    for pid in _processes():
        if pid != ours and any(_writes(pid, fd, wanted) for fd in _open_files(pid)):
            return pid
    return None


def _processes() -> list[int]:
    return [int(name) for name in _names(PROC) if name.isdigit()]


def _open_files(pid: int) -> list[str]:
    return _names(PROC / str(pid) / "fd")


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except OSError:  # No /proc; or a process that has ended, or is somebody else's.
        return []


def _writes(pid: int, fd: str, wanted: set[tuple[int, int]]) -> bool:
    process = PROC / str(pid)
    if _identity(process / "fd" / fd) not in wanted:
        return False
    try:
        info = (process / "fdinfo" / fd).read_text()
    except OSError:
        return False
    flags = next((line.split()[1] for line in info.splitlines() if line.startswith("flags")), "0")
    return int(flags, 8) & os.O_ACCMODE in WRITING


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
