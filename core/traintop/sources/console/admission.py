"""Which of the lines that look like records are records of the training.

Settings, source code and sentences hold names and numbers too. Records repeat, and their counter
grows: what has been seen only once is held back, and handed over in its place when it is believed.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import TYPE_CHECKING

from traintop.sources.console.family import HELD_OF_FAMILY, Family
from traintop.sources.console.position import Position
from traintop.sources.console.vocabulary import is_result

if TYPE_CHECKING:
    from collections.abc import Callable

    from traintop.sources.console.bulk import Columns
    from traintop.sources.console.plan import Plan
    from traintop.sources.console.record import Record
    from traintop.sources.console.rowbuffer import RowBuffer
    from traintop.sources.console.steady import Placed

HELD = 4096
"""Records held back while nothing is believed yet."""
FAMILIES = 2048
"""Families of lines that are remembered; a text with more is no log of a training."""
NEAR = 8
"""A measurement without a counter belongs to a record at most so many lines before it."""
TAGS = 4
"""A number alone before a message that rises more often than this, each time, is no rank."""
REPEATS = 5
"""So many lines of one make and no counter anywhere are a series by their number."""
SIDE_TABLES = 32


class Admission:
    """Believes records or holds them back, gives them their place, and passes them on.

    Args:
        rows: Where they go.
        main: The table of records that do not say what part of the data they speak of.
        split_table: Names the tables of those that do.
    """

    def __init__(self, rows: RowBuffer, main: str, split_table: Callable[[str], str]) -> None:
        self.position = Position()
        self._rows = rows
        self._main = main
        self._split_table = split_table
        self._families: dict[str, Family] = {}
        self._held: deque[Record] = deque(maxlen=HELD)
        self._begun = False
        self._by_result = False
        """Whether the family that was believed first measures a loss or a score."""
        self._line = -NEAR
        """The line of the newest record that was believed."""
        self._after: str | None = None
        """The part of the data that record was of."""
        self._rank: int | None = None
        self._loop: Record | None = None
        """The newest state of a progress bar or a pass over validation data: the next one may
        replace it."""
        self._before_bar: list[Record] = []
        """Records held back that came since the last state of a progress bar."""
        self._unplaced: list[Record] = []
        """Records that wait for the progress bar that tells their step."""
        self._cadence = 0.0
        self._names: set[str] = set()
        """Of the measurements of the family that was believed first."""
        self._epoch = 0.0
        """The epoch of the newest record that a progress bar has placed."""
        self._bar_total = 0.0
        self._side_tables = 0

    # --- taking in ---------------------------------------------------------------------------

    def admit(self, record: Record) -> None:
        """Take a record in."""
        if record.broken:
            return
        if record.count is not None and record.epoch is None and not record.over_run:
            known = self.position.epoch
            record.epoch = None if math.isnan(known) else known
        elif record.epoch is not None and record.values is None and not record.plan.dictionary:
            self.position.enter_epoch(record.epoch)
        family = self._families.get(record.family)
        if family is None:
            if len(self._families) >= FAMILIES:
                return
            family = self._families[record.family] = Family()
        if self._begun and not family.believed:
            record.untag()
        family.count(record)
        if family.believed:
            self._believe(family, record)
        elif not self._begun:
            self._hold(family, record)
        elif record.counted:
            self._admit_counted(family, record)
        else:
            self._admit_uncounted(family, record)

    def takes_all(self, plan: Plan) -> bool:
        """Whether records of this plan may be taken in many at once."""
        family = self._families.get(plan.family)
        return family is not None and family.trusted and family.believed and family.table is None

    def take_all(self, columns: list[Columns], placed: Placed, line: int) -> bool:
        """Take in the records of many lines; False if they have to be looked at one by one.

        Args:
            columns: Of the lines, by make.
            placed: Where they stand.
            line: The number of the last of them.
        """
        if self._loop is not None or self._unplaced:
            return False
        groups: dict[tuple[str, str], list[Columns]] = {}
        for some in columns:
            names = ",".join(("", *(value.name for value in some.plan.values)))
            groups.setdefault((some.plan.family, names), []).append(some)
        for (name, names), group in groups.items():
            if not self._families[name].goes_on(names, group, placed):
                return False
        last_counts: dict[str, float] = {}
        for (name, names), group in groups.items():
            epoch, count = self._families[name].remember(names, group)
            if epoch < 0:
                last_counts[name] = count
        self.position.move_over(placed.step, float(placed.epoch[-1]), last_counts)
        self._rows.add_all(self._main, placed, columns)
        self._line, self._after = line, None
        return True

    def _hold(self, family: Family, record: Record) -> None:
        self._held.append(record)
        if record.plan.dictionary and record.count is None and not record.evaluates:
            self._before_bar.append(record)
        if record.plan.tagged:
            if family.growth > TAGS and family.growth == family.times - 1:
                self._begin(family)
        elif family.growth >= (1 if record.metric else 2):
            self._begin(family)
        elif not record.counted and record.result and family.differ(record) >= REPEATS:
            counted = [held for held in self._held if held.counted and held.metric]
            if any(self._families[held.family].growth for held in counted):
                return
            if not counted or family.differ(record) >= HELD_OF_FAMILY:
                self._begin(family)

    def _begin(self, family: Family) -> None:
        """The first family is believed: look again at what was held back, in its order."""
        family.believed = self._begun = True
        held, self._held = self._held, deque(maxlen=HELD)
        ranks = [record.rank for record in held if record.rank is not None]
        self._rank = min(ranks, default=None)
        own = [record for record in held if self._families[record.family] is family]
        self._by_result = any(record.result for record in own)
        self._names = {name for record in own if record.split is None for name in record.names()}
        counts = any(record.count is not None for record in own)
        early: list[Record] = []  # stand at the first step, which they come before
        for record in held:
            of = self._families[record.family]
            if not of.believed:
                record.untag()
            if counts and not self.position.known and record.count is None and record.counted:
                early.append(record)
                continue
            if of.believed:
                self._believe(of, record)
            else:
                self._release_loop()
                if record.counted:
                    self._admit_counted(of, record)
                elif self.position.known:
                    self._admit_uncounted(of, record)
            if self.position.known:
                for one in early:
                    self._admit_counted(self._families[one.family], one)
                early.clear()

    def _admit_counted(self, family: Family, record: Record) -> None:
        record.secondary = family.secondary = True
        if self._sums_up(record):
            family.held.append(record)
            self._set_aside(family, record, "epoch")
            return
        if record.metric and not self._strays(record):
            family.believed = True
            self._believe(family, record)
            return
        family.held.append(record)
        if family.growth and record.result and not self._by_result:
            self._take_lead(family)
        elif family.growth >= 2 and len(family.held) >= 3:
            self._set_aside(family, record)

    def _take_lead(self, family: Family) -> None:
        """Believe a family that measures a loss or a score, where those before it did not.

        What began the log counted events, say; how far apart they were tells nothing of this one.
        """
        held = list(family.held)
        family.held.clear()
        family.believed, family.secondary, self._by_result = True, False, True
        for record in held:
            record.secondary = False
            if not self._falls(record):
                self._believe(family, record)

    def _falls(self, record: Record) -> bool:
        """Whether a record stands before the newest of its table."""
        return record.count is not None and record.count < self._rows.last_step(self._table(record))

    def _sums_up(self, record: Record) -> bool:
        """Whether a record says of an epoch what others say within it: means of the same name."""
        if record.epoch is None or record.split is not None or record.values is not None:
            return False
        return any(is_result(name) and name in self._names for name in record.names())

    def _strays(self, record: Record) -> bool:
        """Whether a record of a family not known stands before the newest of its table, or far
        beyond all that was seen.
        """  # noqa: D205 - the sentence is long
        if record.count is None or record.inner or self.position.axis != "step":
            return False
        last = self._rows.last_step(self._table(record))
        return record.count < last or record.count > self.position.horizon

    def _admit_uncounted(self, family: Family, record: Record) -> None:
        near = record.line - self._line <= NEAR
        if record.certain or (record.metric and near):
            self._believe(family, record)
            return
        if not record.plan.sure and record.values is None:
            return
        family.held.append(record)
        family.steps.add(self.position.step)
        if len(family.steps) >= 3:
            self._set_aside(family, record)

    def _set_aside(self, family: Family, record: Record, name: str = "") -> None:
        """Believe a family late: its records go to a table of their own, in their order."""
        if self._side_tables >= SIDE_TABLES:
            return
        self._side_tables += 1
        name = name or "_".join(
            "".join(c if c.isalnum() else " " for c in record.names()[0]).split()
        )
        family.table = f"{self._main}/{name[:32] or 'other'}"
        family.believed = True
        held = list(family.held)
        family.held.clear()
        for one in held:
            self._believe(family, one)

    # --- passing on --------------------------------------------------------------------------

    def _believe(self, family: Family, record: Record) -> None:
        if record.plan.dictionary and record.count is None and record.epoch is not None:
            if self.position.axis != "step" or self._bar_total or self._unplaced:
                self._line = record.end
                self._wait_for_bar(record)
                return
        elif self._unplaced:
            self._place_unplaced()
        waiting = self._loop
        if waiting is not None and (
            waiting.family != record.family
            or (waiting.split is None and waiting.order != record.order)
            or waiting.order > record.order
        ):
            self._release_loop()
        if record.replaces or (
            record.split is not None and record.count is not None and record.count < record.total
        ):
            self._loop = record
            self._line, self._after = record.end, record.split
            return
        self._loop = None
        self._put(record, family.table)

    def _release_loop(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            self._put(loop, self._families[loop.family].table)

    def _put(self, record: Record, table: str | None) -> None:
        if self._is_repeated(record):
            return
        if record.split is None and not record.counted and record.line - self._line <= 3:
            record.split = self._after
        place = self.position.place(record)
        if math.isnan(place.step):
            return
        if record.secondary and place.step > self.position.horizon:
            return
        name = table or self._table(record)
        family = self._families[record.family]
        if place.step < self._rows.last_step(name) and not family.trusted and table is None:
            place = place._replace(step=self._rows.last_step(name))
        if table is None:
            self.position.move(record, place)
        self._rows.add(name, place, record.plan, record.parts, record.values)
        self._line, self._after = record.end, record.split

    def _table(self, record: Record) -> str:
        name = self._main if record.split is None else self._split_table(record.split)
        if record.rank is None or record.rank == self._rank:
            return name
        if self._rank is None:
            self._rank = record.rank
            return name
        head, _, tail = name.rpartition("/")
        return f"{head}/rank{record.rank:05d}/{tail}" if head else f"rank{record.rank:05d}/{tail}"

    def _is_repeated(self, record: Record) -> bool:
        """Whether another rank, or the end of the log, says again what was said already."""
        family = self._families[record.family]
        place = self.position
        return family.is_repeated(record, self._rank, place.step, by_steps=place.axis == "step")

    # --- records whose step a progress bar tells ----------------------------------------------

    def see_bar(self, count: float, total: float) -> None:
        """Take in the state of a progress bar without measurements."""
        waiting, self._before_bar = self._before_bar, []
        if not self._begun and len(waiting) == 1:
            waiting[0].count, waiting[0].over_run = count, True
            self._bar_total = self._bar_total or total
        if not self._unplaced:
            return
        if self._bar_total and total != self._bar_total:
            return
        self._bar_total = total
        self._place_unplaced(count)

    def _wait_for_bar(self, record: Record) -> None:
        self._unplaced.append(record)
        if len(self._unplaced) >= HELD_OF_FAMILY:
            self._place_unplaced()

    def _place_unplaced(self, count: float | None = None) -> None:
        waiting, self._unplaced = self._unplaced, []
        training = [r for r in waiting if not r.evaluates]
        last = self.position.step if self.position.axis == "step" else 0.0
        steps: dict[int, float] = {}
        epoch = training[0].epoch if training else None
        resumed = epoch is not None and epoch < self._epoch
        if epoch is not None:
            self._epoch = epoch
        if count is not None and len(training) == 1 and (count > last or resumed):
            if count > last > 0:
                self._cadence = count - last
            steps[id(training[0])] = count
        elif training and (self._cadence or (count is not None and count > last)):
            top = training[-1].epoch or 1.0
            for number, record in enumerate(training, start=1):
                if self._cadence:
                    steps[id(record)] = last + number * self._cadence
                elif count is not None:
                    steps[id(record)] = float(round(count * (record.epoch or 0.0) / top))
        for record in waiting:
            step = steps.get(id(record))
            if step is not None:
                record.count, record.over_run = step, True
            self._release_loop()
            self._put(record, self._families[record.family].table)

    # --- the end -----------------------------------------------------------------------------

    def settle(self) -> None:
        """Pass on what waits only for its neighbour."""
        if self._unplaced:
            self._place_unplaced()
        self._release_loop()

    def finish(self) -> None:
        """Nothing more will come: believe what a short log has room to say."""
        if not self._begun:
            counted = [r for r in self._held if r.counted and r.result]
            uncounted = [r for r in self._held if not r.counted and r.result]
            if counted:
                self._begin(self._families[counted[0].family])
            elif len(uncounted) >= 3 and len({r.family for r in uncounted}) < len(uncounted):
                most = max(uncounted, key=lambda r: self._families[r.family].times)
                self._begin(self._families[most.family])
        self.settle()

    def left_aside(self) -> dict[str, int]:
        """The names of what was never believed, and how often each was met."""
        families = (family for family in self._families.values() if not family.believed)
        held = [*self._held, *(record for family in families for record in family.held)]
        return dict(Counter(name for record in held for name in record.names()))
