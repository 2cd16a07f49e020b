"""Whether what a user names can be read; if not, an error that says what to do."""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING

from traintop.errors import PathError
from traintop.sources.registry import format_of, head_of

if TYPE_CHECKING:
    from pathlib import Path


def check_readable(path: Path) -> None:
    """Raise a PathError that says what to do, if a path is not there or cannot be read."""
    try:
        path.stat()
        if path.is_dir():
            with os.scandir(path):
                pass
        elif path.is_file():
            head_of(path)
        elif path.is_block_device() or (path.is_char_device() and not _is_terminal(path)):
            raise PathError(f"{path}: this is a device; give a run's folder, or a file of metrics")
    except FileNotFoundError:
        if path.is_symlink():
            raise PathError(f"{path}: a link to {path.readlink()}, which does not exist") from None
        raise PathError(f"{path}: no such file or folder{_similar(path)}") from None
    except PermissionError:
        raise PathError(
            f"{path}: permission denied; ask its owner for read access, or run as a user who has it"
        ) from None
    except OSError as error:
        raise PathError(f"{path}: {error.strerror or error}") from None


def _is_terminal(path: Path) -> bool:
    opened = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        return os.isatty(opened)
    finally:
        os.close(opened)


def check_format(path: Path) -> None:
    """Raise a PathError if a file is of a kind that is not read."""
    kind = format_of(path, head_of(path))
    if " " in kind:
        raise PathError(
            f"{path}: this looks like {kind}; give a run's folder, or a file of metrics"
        )


def _similar(path: Path) -> str:
    """Names beside a path that does not exist, which may be what was meant."""
    try:
        beside = [entry.name for entry in os.scandir(path.parent)]
    except OSError:
        return f", and {path.parent} does not exist either"
    close = difflib.get_close_matches(path.name, beside, n=3, cutoff=0.6)
    return (
        f"; did you mean {' or '.join(str(path.parent / name) for name in close)}?" if close else ""
    )
