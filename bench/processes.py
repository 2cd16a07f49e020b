"""CPU time and memory of a program and of everything that it started, from Linux's /proc."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


def _fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on; the second may hold blanks."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def pids() -> Iterator[int]:
    """Yield all processes."""
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def tree(root: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for pid in pids():
        with contextlib.suppress(OSError):
            children.setdefault(int(_fields(pid)[1]), []).append(pid)
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_seconds(root: int) -> float:
    """User and system time of a tree so far, with that of children which have ended."""
    total = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            total += sum(map(int, _fields(pid)[11:15]))
    return total / TICKS


def peak_mib(*processes: int) -> float:
    """Sum over processes of the most memory (VmHWM) that each has had resident."""
    total = 0
    for pid in processes:
        with contextlib.suppress(OSError):
            for line in (PROC / str(pid) / "status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    total += int(line.split()[1])
    return total / 1024


def unclaimed_exit_code(pid: int) -> int | None:
    """The exit code of a process that has ended and whose parent has not asked for it."""
    try:
        fields = _fields(pid)
    except OSError:
        return None
    return os.waitstatus_to_exitcode(int(fields[-1])) if fields[0] == "Z" else None


def busy_seconds(core: int | None = None) -> float:
    """How long a core, or all of them together, have been busy, whoever kept them so."""
    name = "cpu" if core is None else f"cpu{core}"
    for line in (PROC / "stat").read_text().splitlines():
        if line.split()[0] == name:
            user, nice, system, _idle, _wait, irq, softirq, steal = map(int, line.split()[1:9])
            return (user + nice + system + irq + softirq + steal) / TICKS
    raise ValueError(f"this machine has no core {core}")


def wait_for_quiet(percent: float, patience: float = 900.0) -> None:
    """Wait until the whole machine has been busy for less than a share of two seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        before, start = busy_seconds(), time.monotonic()
        time.sleep(2.0)
        if 100 * (busy_seconds() - before) / (time.monotonic() - start) < percent:
            return


def command_line(pid: int) -> list[str]:
    """The arguments of a process; empty if it has ended."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def matching(text: str) -> dict[int, list[str]]:
    """The processes, other than this one, whose arguments hold a text."""
    found = {pid: command_line(pid) for pid in pids() if pid != os.getpid()}
    return {pid: line for pid, line in found.items() if any(text in part for part in line)}


def wait_until_gone(pid: int, timeout: float = 15.0) -> float | None:
    """Wait until a process has ended; return how long that took, None if it has not."""
    start = time.monotonic()
    while command_line(pid):
        if time.monotonic() - start > timeout:
            return None
        time.sleep(0.01)
    return time.monotonic() - start


def end(*processes: int) -> None:
    """End processes, gently first."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in processes:
            if command_line(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        if all(wait_until_gone(pid, 5.0) is not None for pid in processes):
            return
