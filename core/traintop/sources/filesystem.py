"""Whether the kernel tells us about changes of a file, or whether we have to look ourselves."""

from __future__ import annotations

import os
import sys
from pathlib import Path

POLLED = frozenset(
    {
        "9p", "afs", "autofs", "beegfs", "ceph", "cifs", "drvfs", "gpfs", "lustre", "ncpfs", "nfs",
        "nfs4", "ocfs2", "orangefs", "overlay", "panfs", "prl_fs", "pvfs2", "smb3", "smbfs",
        "vboxsf", "virtiofs", "vmhgfs", "wekafs",
    }
)  # fmt: skip
"""File systems where another machine, or a layer below, may write without inotify being told."""

MOUNTS = Path("/proc/self/mounts")


def needs_polling(path: Path) -> bool:
    """Whether changes of `path` may go unannounced, as on network, FUSE and overlay mounts.

    A path that does not exist yet is judged by the nearest folder that does. Where mounts are not
    listed, as on macOS, the answer is False.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return False
    # Of a link that points to itself `Path.resolve` raises.
    kind = _file_system(Path(os.path.realpath(path)), mounts)
    return kind in POLLED or kind.startswith("fuse")


def _file_system(path: Path, mounts: str) -> str:
    """The kind of file system that `path` lies on, after a table like /proc/self/mounts."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(_unescape(fields[1]))
        # A later mount on the same point hides the earlier one.
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), fields[2]
    return kind


def _unescape(field: str) -> str:
    """Undo the octal escapes of blanks in /proc/self/mounts."""
    for escape, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(escape, char)
    return field
