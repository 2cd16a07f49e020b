"""A number of a line and what is said of it."""

from __future__ import annotations

from typing import Literal

Kind = Literal["value", "average", "share", "count", "name", "skip"]


class Field:
    """A number of a line."""

    __slots__ = (
        "before",
        "counter",
        "epoch_of",
        "explicit",
        "glued",
        "index",
        "key_start",
        "kind",
        "leads",
        "name",
        "text",
        "total",
        "unit",
    )

    def __init__(self, index: int, text: str) -> None:
        self.index = index
        """Which number of the line it is."""
        self.text = text
        self.kind: Kind = "value"
        self.name = ""
        self.counter = ""
        """The name of the counter that it may be; `#` for one without a name."""
        self.total = -1
        """The index of the number that it is written as a share of."""
        self.epoch_of = False
        """Whether it is the epoch of the count that stands where a total does."""
        self.unit = ""
        self.glued = False
        self.explicit = False
        """Whether `:` or `=` stands between the name and the number."""
        self.leads = False
        """Whether nothing stands before it."""
        self.before = ""
        """What stands before the name, back to the last number."""
        self.key_start = 0
