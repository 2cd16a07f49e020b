"""Memory of this process and of the machine, as far as Linux tells; elsewhere nothing is known."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

_UNLIMITED = 1 << 60


def available() -> int | None:
    """Bytes that can still be taken: of the machine, the control group and the process' limits."""
    found = [_of_machine(), _of_group(), _of_process()]
    return min((max(each, 0) for each in found if each is not None), default=None)


def peak() -> int:
    """The most bytes that this process has held since `reset_peak`, or ever."""
    with suppress(OSError, ValueError, StopIteration):
        return _field("/proc/self/status", "VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def current() -> int:
    """Bytes that this process holds; its peak where that is not known."""
    with suppress(OSError, ValueError, StopIteration):
        return _field("/proc/self/status", "VmRSS")
    return peak()


def reset_peak() -> None:
    """Begin `peak` anew, where the system can (Linux); it only grows elsewhere."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _of_machine() -> int | None:
    with suppress(OSError, ValueError, StopIteration):
        return _field("/proc/meminfo", "MemAvailable")
    return None


def _of_group() -> int | None:
    base = Path("/sys/fs/cgroup")
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):
            most = int((base / limit).read_text(encoding="ascii"))
            if most < _UNLIMITED:
                return most - int((base / used).read_text(encoding="ascii"))
    return None


def _of_process() -> int | None:
    with suppress(OSError, ValueError, StopIteration):
        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            return soft - _field("/proc/self/status", "VmSize")
    return None


def _field(path: str, name: str) -> int:
    """A line such as `MemAvailable:  123 kB`, in bytes."""
    lines = Path(path).read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024
