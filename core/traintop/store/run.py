"""One run: its tables, its layers, its events, and what was repeated."""

from __future__ import annotations

from typing import NamedTuple

from traintop.records import Event
from traintop.store.layers import LayerTable
from traintop.store.table import Table


class Rewind(NamedTuple):
    """Records that were repeated; the older ones of these steps are forgotten."""

    stream: str
    """The table, or `layers`."""
    step: float
    """The first step that was repeated."""
    late: bool
    """Whether it was a line or two out of order, rather than a run that was resumed."""


class Run:
    """One run: its tables, its layers and its events.

    The thread that reads adds to it while others look: the dictionaries only grow, and who walks
    over one takes a list of it first.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.tables: dict[str, Table] = {}
        """By name, in the order in which they turned up in the file."""
        self.rearranged = 0
        """How often older records have changed the order of the tables."""
        self.layers: LayerTable | None = None
        self.events: list[Event] = []
        self.rewinds: list[Rewind] = []

    @property
    def series_known(self) -> tuple[int, int]:
        """How many series there are, and how often older records have changed their order."""
        tables = list(self.tables.values())
        rearranged = self.rearranged + sum(table.rearranged for table in tables)
        return sum(len(table.series) for table in tables), rearranged

    @property
    def last_step(self) -> int | None:
        """The largest step of any table."""
        steps = [table.step for table in list(self.tables.values())]
        return max((int(step[-1]) for step in steps if len(step)), default=None)

    @property
    def first_step(self) -> int | None:
        """The smallest step of any table."""
        steps = [table.step for table in list(self.tables.values())]
        return min((int(step[0]) for step in steps if len(step)), default=None)

    @property
    def main(self) -> Table | None:
        """The table with the most records."""
        return max(list(self.tables.values()), key=len, default=None)
