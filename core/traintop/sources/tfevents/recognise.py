"""Whether a file is a TensorBoard event file, told by its first bytes."""

from __future__ import annotations

from pathlib import Path

from traintop.sources.tfevents.crc32c import checksum, mask

_HEADER = 12
_AFTER_TIME = (0x10, 0x1A, 0x2A)
"""Keys of what follows the time of the first event: its step, the file's version, a summary."""


def holds_event_file(_path: Path, head: bytes) -> bool:
    """Whether the first record has a length with the right checksum, and is an event."""
    if len(head) <= _HEADER or head[_HEADER] != 9 or head[4:8] != bytes(4):
        return False
    if len(head) > _HEADER + 9 and head[_HEADER + 9] not in _AFTER_TIME:
        return False
    return mask(checksum(head[:8])) == int.from_bytes(head[8:_HEADER], "little")
