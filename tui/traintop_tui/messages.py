"""Messages between the follower and the screens."""

from __future__ import annotations

from collections.abc import Sequence

from textual.message import Message

from traintop.records import Update


class News(Message):
    """Something may look different now. A newer one replaces it: it carries no data."""

    def __init__(self, updates: Sequence[Update]) -> None:
        super().__init__()
        self.updates = updates

    def can_replace(self, message: Message) -> bool:
        """Let a newer one of the kind stand for it."""
        return isinstance(message, News)


class ReadingFailed(Message):
    """The follower has ended with an error that nobody expected."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
