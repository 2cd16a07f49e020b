"""Dictionaries that are printed over several lines, joined into one line."""

from __future__ import annotations

import re

MAX_LINES = 200
_OPENS = re.compile(r"[^{}]*\{\s*(?:$|['\"][^{}]*,\s*$)")
_GOES_ON = re.compile(r"\s*['\"}]")


class JoinedLines:
    """Holds a dictionary back until it is closed."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    @property
    def open(self) -> bool:
        """Whether a dictionary is open."""
        return bool(self._parts)

    def take(self, line: str) -> list[str]:
        """Take the next line in; return those that are whole now."""
        if not self._parts:
            if _OPENS.match(line) is None:
                return [line]
            self._parts = [line.rstrip()]
            return []
        if _GOES_ON.match(line) is None or len(self._parts) >= MAX_LINES:
            return [*self.close(), line]
        self._parts.append(line.strip())
        return self.close() if line.rstrip().endswith("}") else []

    def close(self) -> list[str]:
        """What has come together so far, in one line."""
        parts, self._parts = self._parts, []
        return [" ".join(parts)] if parts else []
