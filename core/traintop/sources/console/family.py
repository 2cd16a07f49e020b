"""Lines of one make: whether they are believed, and what they said last."""

from __future__ import annotations

import math
from collections import deque
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from traintop.sources.console.bulk import Columns
    from traintop.sources.console.record import Record
    from traintop.sources.console.steady import Placed

HELD_OF_FAMILY = 64
"""Records of one family that are held back."""
REPRINTED = 16
"""So many records back it is looked whether one is said again."""
MAX_KINDS = 256
"""Sets of names in one family that are told apart."""

Order = tuple[float, float]
Said = tuple[Order, tuple[str, ...]]
"""What orders a record, and its measurements as they are written."""


class Family:
    """Lines of one make."""

    __slots__ = (
        "believed", "growth", "held", "kinds", "last", "of_rank", "recent", "secondary", "steps",
        "table", "times", "trusted",
    )  # fmt: skip

    def __init__(self) -> None:
        self.believed = False
        self.secondary = False
        """Whether others were believed before it."""
        self.trusted = False
        """Whether a fall of its counter is that of the run."""
        self.growth = 0
        """How often its counter has grown."""
        self.times = 0
        self.last: Order | None = None
        self.steps: set[float] = set()
        """Where the training stood when it came, while it is not believed."""
        self.held: deque[Record] = deque(maxlen=HELD_OF_FAMILY)
        self.table: str | None = None
        """The table of its own that it has where it was believed late."""
        self.kinds: set[tuple[str, ...]] = set()
        self.recent: dict[str, deque[Said]] = {}
        """The newest records, by the names of their measurements."""
        self.of_rank: dict[str, Said] = {}
        """What the rank that is shown said last, by the same."""

    def count(self, record: Record) -> None:
        """Take note of a record."""
        self.times += 1
        record.secondary = self.secondary
        if record.counted:
            order = record.order
            if self.last is not None and order > self.last:
                self.growth += 1
                self.trusted = True
            self.last = order

    def differ(self, record: Record) -> int:
        """How many records with different values there were: settings are printed again as is."""
        if len(self.kinds) < HELD_OF_FAMILY:
            self.kinds.add(record.numbers())
        return len(self.kinds)

    def is_repeated(self, record: Record, rank: int | None, step: float, *, by_steps: bool) -> bool:
        """Whether another rank, or the end of the log, says again what was said already.

        Args:
            record: A record of this family.
            rank: The one that is shown.
            step: Where the training stands.
            by_steps: Whether steps count there, so that an epoch orders nothing.
        """
        key = ",".join((record.split or "", *record.names()))
        numbers, order = record.numbers(), record.order
        if len(self.recent) > MAX_KINDS:
            self.recent.clear()
            self.of_rank.clear()
        if record.rank is not None and rank is not None and record.rank != rank:
            return self.of_rank.get(key) == (order, numbers)
        if record.rank is not None:
            self.of_rank[key] = (order, numbers)
        recent = self.recent.setdefault(key, deque(maxlen=REPRINTED))
        elsewhere = record.split is not None and record.total > 0
        if not record.counted or elsewhere or (by_steps and record.count is None):
            order = step, order[1]  # It is the training that goes on, not its count.
        said = (order, numbers)
        whole = record.count is not None or (not by_steps and order[0].is_integer())
        if recent and record.counted and whole and recent[-1][0] == order:
            return True
        if said in (list(recent)[1:] if record.counted else recent):
            return not math.isnan(step)
        recent.append(said)
        return False

    def goes_on(self, names: str, group: list[Columns], placed: Placed) -> bool:
        """Whether the steps of many records rise, so that none is said again.

        Args:
            names: Of their measurements.
            group: The records.
            placed: Where all records of those lines stand.
        """
        lines = np.sort(np.concatenate([some.lines for some in group]))
        recent = self.recent.get(names)
        if not recent or not (np.diff(placed.step[lines]) > 0).all():
            return False
        first = next(some for some in group if some.lines[0] == lines[0])
        return _said(first, 0)[0] > recent[-1][0]

    def remember(self, names: str, group: list[Columns]) -> Order:
        """Take note of many records; return the order of the last."""
        recent = self.recent.setdefault(names, deque(maxlen=REPRINTED))
        last: list[tuple[int, Said]] = []
        for some in group:
            count = len(some.lines)
            last += (
                (int(some.lines[index]), _said(some, index))
                for index in range(max(count - REPRINTED, 0), count)
            )
            self.times += count
        recent.extend(said for _, said in sorted(last, key=itemgetter(0)))
        self.last = recent[-1][0]
        return self.last


def _said(some: Columns, index: int) -> Said:
    """What one of many records says."""
    plan, make = some.plan, some.make
    assert plan.step is not None  # noqa: S101 - only such are read in columns
    epoch = -1.0 if plan.epoch is None else float(some.parts[plan.epoch.part][index])
    start = index * make.width
    numbers = (some.tokens[start + make.places[value.part]].decode() for value in plan.values)
    return (epoch, float(some.parts[plan.step.part][index])), tuple(numbers)
