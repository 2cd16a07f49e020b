"""How far a file was read: what is kept to go on from there when it is opened again."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import msgspec


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a line in a file, and how to tell that the file is still the same up to there."""

    inode: int
    offset: int
    size: int
    """Of the file at that time."""
    modified: int
    """Nanoseconds since 1970."""
    head: bytes
    """The first bytes of the file."""
    anchor: bytes
    """The last bytes before the offset."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a file, and what its decoder knew there."""

    place: Place
    format: str
    tables: tuple[str, ...]
    """Where its rows went."""
    decoder: dict[str, Any]


@runtime_checkable
class Marking(Protocol):
    """A source that can go on from where another one was."""

    @property
    def tables(self) -> tuple[str, ...]:
        """Where its rows went so far."""
        ...

    def mark(self) -> Mark | None:
        """How far it has come; None where nothing can go on from there."""
        ...

    def resume(self, mark: Mark) -> bool:
        """Go on from a mark, before anything is read.

        Returns:
            False, with nothing changed, where the file is not the same any more.
        """
        ...
