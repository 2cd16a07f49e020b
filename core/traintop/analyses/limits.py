"""How an analysis stands back behind the live run: last in line, and bounded in memory."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from traintop.analyses.marked_processes import MARK, end_marked

CHECK_SECONDS = 0.25
NICE = 10
OOM_SCORE = 500
"""Added to what the kernel reckons (0 to 1000) when it has to end a process for want of memory: the
analysis goes before the training."""
IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
"""Number of the system call, which neither Python nor libc wraps: ioprio_set(2)."""
IOPRIO_WHO_PROCESS, IOPRIO_IDLE = 1, 3 << 13
"""Class idle: the disk is ours when nobody else has asked for it."""


def stand_back(memory_limit: int | None, tell: Callable[[str], None]) -> None:
    """Lower the process's priorities, and watch over it in a thread until it ends.

    It is ended, with its children, when the process that started it is gone, or when together they
    take more than `memory_limit` bytes (Linux only). Where it crashes, the stack is printed.

    Args:
        memory_limit: Bytes; None: no limit.
        tell: Takes the reason before the process is ended for its memory.
    """
    faulthandler.enable(all_threads=False)
    os.nice(NICE)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE), encoding="ascii")
    _lower_disk_priority()
    threading.Thread(target=_watch, args=(memory_limit, tell), daemon=True).start()


def memory_taken() -> int:
    """Bytes of memory that this process and its descendants occupy; 0 where `/proc` is missing.

    What forked processes share counts once.
    """
    processes = list(_descendants(os.getpid()))
    return sum(map(_proportional, processes))


def _watch(memory_limit: int | None, tell: Callable[[str], None]) -> None:
    parent, host = os.getppid(), int(os.environ.get("TRAINTOP_HOST_PID", "0"))
    while os.getppid() == parent and _lives(host):
        # Resident sizes count shared pages many times, but are cheap: they decide when to count.
        if memory_limit is not None and _resident() > memory_limit:
            taken = memory_taken()
            if taken > memory_limit:
                tell(
                    f"it took {taken / 2**30:.1f} GiB of memory, more than its limit of "
                    f"{memory_limit / 2**30:.1f} GiB: take smaller batches or fewer loader "
                    "processes, or raise --memory-limit"
                )
                break
        time.sleep(CHECK_SECONDS)
    mark = os.environ.get(MARK)
    if mark:
        end_marked(mark)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _lives(pid: int) -> bool:
    """Whether a process is there; torchrun, between the host and us, does not look."""
    with suppress(PermissionError):  # there, and another's
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True


def _lower_disk_priority() -> None:
    number = IOPRIO_SET.get(platform.machine())
    if number is not None and platform.system() == "Linux":
        # A kernel that refuses leaves the priority as it is, which does no harm.
        ctypes.CDLL(None).syscall(number, IOPRIO_WHO_PROCESS, 0, IOPRIO_IDLE)


def _resident() -> int:
    page = os.sysconf("SC_PAGE_SIZE")
    total = 0
    for pid in _descendants(os.getpid()):
        with suppress(OSError, ValueError, IndexError):
            total += int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * page
    return total


def _proportional(pid: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        return (
            next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
            << 10
        )
    return 0


def _descendants(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):  # gone meanwhile
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text(encoding="ascii").split():
                yield from _descendants(int(child))
