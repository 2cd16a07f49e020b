"""Small files that are kept beside a run: what a person has decided of it.

Where the run's folder cannot be written to, the file lies in the user's own state folder.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

MOST_BYTES = 1 << 22
"""A larger file is none that this program has written."""


class KeptFile:
    """One such file, written whole or not at all.

    Args:
        folder: Of the run; None: nothing is kept.
        name: Of the file.
        kind: Of its folder in the user's state folder.
    """

    def __init__(self, folder: Path | None, name: str, kind: str) -> None:
        self._folder = folder
        self._name = name
        self._kind = kind

    @property
    def own(self) -> Path:
        """Where it is kept if the run's folder takes no file."""
        return own_file(self._folder or Path(), self._kind)

    @property
    def beside(self) -> Path:
        """Where it lies beside the run."""
        return (self._folder or Path()) / self._name

    def read(self) -> tuple[Path, bytes] | None:
        """Return the file that there is and what it holds; None without one.

        Raises:
            OSError: It cannot be read.
            ValueError: It is too large to be one of ours.
        """
        if self._folder is None:
            return None
        # The user's own file is there only where the run's folder took none.
        for file in (self.own, self.beside):
            try:
                with file.open("rb") as opened:
                    text = opened.read(MOST_BYTES + 1)
            except FileNotFoundError:
                continue
            if len(text) > MOST_BYTES:
                raise ValueError("it is too large")
            return file, text
        return None

    def write(self, text: bytes) -> str | None:
        """Write it; return why that could not be done, None where it was."""
        if self._folder is None:
            return None
        own = self.own
        try:
            replace_file(self.beside, text)
        except OSError:
            try:
                own.parent.mkdir(parents=True, exist_ok=True)
                replace_file(own, text)
            except OSError as error:
                return f"{own}: cannot be written, so decisions are lost: {error.strerror}"
            return None
        with contextlib.suppress(OSError):
            own.unlink(missing_ok=True)
        return None


def own_file(folder: Path, kind: str) -> Path:
    """Return where a file is kept for a run whose folder cannot be written to."""
    base = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    import hashlib  # With OpenSSL behind it: only where there is something to be named.

    name = hashlib.sha256(str(folder.absolute()).encode(errors="surrogateescape")).hexdigest()[:32]
    return Path(base) / "traintop" / kind / f"{name}.json"


def replace_file(file: Path, text: bytes) -> None:
    """Write a file whole or not at all."""
    import tempfile

    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(text)
        Path(name).replace(file)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
