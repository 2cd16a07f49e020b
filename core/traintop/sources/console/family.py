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
REPRINTED = 512
"""So many records back it is looked whether one is said again: boosting stops early, and then says
its best iteration once more."""
MAX_KINDS = 256
"""Sets of names in one family that are told apart."""

Order = tuple[float, float]
Said = tuple[Order, tuple[str, ...]]
"""What orders a record, and its measurements as they are written."""


class _Recent:
    """The newest records with the same names."""

    __slots__ = ("_first", "_said", "last")

    def __init__(self) -> None:
        self._said: dict[Said, None] = {}
        self._first: Order | None = None
        self.last: Said | None = None

    def __contains__(self, said: Said) -> bool:
        """Whether it was said before the last record, and is not where the records began."""
        return said in self._said and said != self.last and said[0] != self._first

    def add(self, said: Said, *, counted: bool = True) -> None:
        """Take in a record; a counted one that stands where the first stood begins anew."""
        if counted and (self._first is None or said[0] <= self._first):
            self._first = said[0]
            self._said.clear()
        self._said[said] = None
        self.last = said
        if len(self._said) > REPRINTED:
            del self._said[next(iter(self._said))]


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
        self.recent: dict[str, _Recent] = {}
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
        recent = self.recent.setdefault(key, _Recent())
        elsewhere = record.split is not None and record.total > 0
        if not record.counted or elsewhere or (by_steps and record.count is None):
            order = step, order[1]  # It is the training that goes on, not its count.
        said = (order, numbers)
        whole = record.count is not None or (not by_steps and order[0].is_integer())
        last = recent.last
        if last is not None and record.counted and whole and last[0] == order:
            return True
        if said in recent or (said == last and not record.counted):
            return not math.isnan(step)
        recent.add(said, counted=record.counted)
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
        if recent is None or recent.last is None or not (np.diff(placed.step[lines]) > 0).all():
            return False
        first = next(some for some in group if some.lines[0] == lines[0])
        return _said(first, 0)[0] > recent.last[0]

    def remember(self, names: str, group: list[Columns]) -> Order:
        """Take note of many records; return the order of the last."""
        recent = self.recent.setdefault(names, _Recent())
        last: list[tuple[int, Said]] = []
        for some in group:
            count = len(some.lines)
            last += (
                (int(some.lines[index]), _said(some, index))
                for index in range(max(count - REPRINTED, 0), count)
            )
            self.times += count
        for _, said in sorted(last, key=itemgetter(0)):
            recent.add(said)
            self.last = said[0]
        assert self.last is not None  # noqa: S101 - there is at least one
        return self.last


def _said(some: Columns, index: int) -> Said:
    """What one of many records says."""
    plan, make = some.plan, some.make
    assert plan.step is not None  # noqa: S101 - only such are read in columns
    epoch = -1.0 if plan.epoch is None else float(some.parts[plan.epoch.part][index])
    start = index * make.width
    numbers = (some.tokens[start + make.places[value.part]].decode() for value in plan.values)
    return (epoch, float(some.parts[plan.step.part][index])), tuple(numbers)
