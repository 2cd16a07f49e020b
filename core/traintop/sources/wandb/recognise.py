"""Whether a file is a W&B run file, told by its first bytes."""

from __future__ import annotations

from pathlib import Path

MAGIC = b":W&B"


def holds_wandb_file(_path: Path, head: bytes) -> bool:
    """Whether the header of the file is that of a W&B run."""
    return head.startswith(MAGIC)
