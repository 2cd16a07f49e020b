"""What a person has typed to start analyses of a run, kept in the user's state folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import msgspec

_MOST_BYTES = 1 << 20


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """The answers of one run's forms."""

    target: str | None = None
    """`FILE.py:FUNCTION`."""
    options: dict[str, dict[str, float]] = {}
    """By analysis: its options that are not at their defaults."""


def recall(folder: Path | None) -> Remembered:
    """Read what was typed for a run; nothing, where that is damaged or was never done."""
    if folder is None:
        return Remembered()
    try:
        with state_file(folder).open("rb") as opened:
            return msgspec.json.decode(opened.read(_MOST_BYTES), type=Remembered)
    except (OSError, ValueError, RecursionError):
        return Remembered()


def remember(folder: Path | None, typed: Remembered) -> str | None:
    """Keep what was typed for a run; return why that could not be done, None where it was."""
    if folder is None:
        return None
    file = state_file(folder)
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(typed)) + b"\n")
        temporary.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        return f"{file}: cannot be written, so this is forgotten at the end: {error.strerror}"
    return None


def state_file(folder: Path) -> Path:
    """Return the file of a run."""
    base = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    name = hashlib.sha256(str(folder.absolute()).encode(errors="surrogateescape")).hexdigest()[:32]
    return Path(base) / "traintop" / "analyses" / f"{name}.json"
