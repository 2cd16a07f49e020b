"""How much of this machine's memory is there to be taken, by the kernel's own account."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

CGROUPS = (
    ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""Limit and use of a container, by version 2 and 1; a limit is `max` where there is none."""


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes that can be taken without swapping: of the machine, or of its container if less.

    None where the kernel does not say (it is not Linux).
    """
    found: list[int] = []
    with suppress(OSError, ValueError, StopIteration):
        text = (root / "proc/meminfo").read_text(encoding="ascii")
        line = next(line for line in text.splitlines() if line.startswith("MemAvailable:"))
        found.append(int(line.split()[1]) << 10)
    for limit, used in CGROUPS:
        with suppress(OSError, ValueError):
            left = int((root / limit).read_text("ascii")) - int((root / used).read_text("ascii"))
            found.append(max(left, 0))
    return min(found, default=None)
