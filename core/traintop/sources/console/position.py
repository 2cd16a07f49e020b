"""Where in the training a record stands, from the counters of its line and of the lines before."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from traintop.records import Floats
    from traintop.sources.console.record import Record
    from traintop.sources.placing import Axis


FAR = 20.0
FAR_AT_LEAST = 1000.0
ALMOST = 0.9
"""A counter within the epoch has come so near its total where the epoch ends."""
STRIDES = 20.0
"""Before two records have told how far they lie apart, and then."""


class Place(NamedTuple):
    """The place of a record."""

    step: float
    epoch: float
    axis: Axis


class _Loop:
    """A counter that may begin anew in each epoch."""

    def __init__(self) -> None:
        self.epoch = math.nan
        self.last = math.nan
        self.first = math.nan
        self.stride = 0.0
        self.longest = 0.0
        self.offset = 0.0
        self.over_run = False

    def goes_over(self, count: float, epoch: float, total: float) -> bool:
        """Whether a counter with a total goes on where an epoch begins: it runs over them all."""
        if epoch > self.epoch and self.last < count and self.last < ALMOST * total:
            self.over_run = True
        self.epoch, self.last = epoch, count
        return self.over_run


class Position:
    """Follows the counters of one log.

    Steps are those written. A counter within the epoch becomes a step by the number of iterations
    in an epoch: the total that is written beside it (`[50/6207]`), or the largest count met. What
    is measured without a step of its own stands at the last step; where no line has one, epochs
    count, and where there are none either, records.
    """

    def __init__(self) -> None:
        self.step = math.nan
        self.epoch = math.nan
        self.axis: Axis | None = None
        self._top = 0.0
        self.stride = math.nan
        """The last increment of the step."""
        self.base = math.nan
        """The first epoch: 0 or 1."""
        self._loops: dict[str, _Loop] = {}
        self.main_total = 0.0
        """The iterations that the first counter of the training runs to; 0: not known."""

    @property
    def known(self) -> bool:
        """Whether some record has a place already."""
        return self.axis is not None

    @property
    def horizon(self) -> float:
        """A counter of a line that is not the training's own, beyond this, counts something else.

        So does what several ranks write at once and what runs into one number.
        """
        if math.isnan(self.stride):
            return FAR * max(self._top, FAR_AT_LEAST)
        return self.step + STRIDES * self.stride

    def enter_epoch(self, epoch: float) -> None:
        """Take in a heading that names an epoch."""
        self.epoch = epoch
        self._count_from(epoch)

    def _count_from(self, epoch: float) -> None:
        """Epochs are counted from 0 or from 1."""
        if not self.base < 1:
            self.base = 0.0 if epoch < 1 else 1.0

    def is_main_total(self, totals: Floats) -> bool:
        """Whether these are the numbers of iterations in an epoch of the training."""
        return self.main_total > 0 and bool((totals == self.main_total).all())

    def move_over(self, steps: Floats, epoch: float, families: dict[str, float]) -> None:
        """Stand where the last of many records stands, whose steps do not fall.

        Args:
            steps: Of the records.
            epoch: Of the last of them; NaN if unknown.
            families: The last counter of each family that has no epoch.
        """
        if not math.isnan(epoch):
            self.epoch = epoch
        forward = np.flatnonzero(np.diff(steps, prepend=self.step) > 0)
        if len(forward):
            at = int(forward[-1])
            self.stride = float(steps[at] - (steps[at - 1] if at else self.step))
        self.step = float(steps[-1])
        self._top = max(self._top, self.step)
        for family, last in families.items():
            self._loops.setdefault(family, _Loop()).last = last

    def place(self, record: Record) -> Place:
        """Find the place of a record; what it means for those that follow is for `move`."""
        count, epoch = record.count, record.epoch
        if count is not None and not self._is_elsewhere(record):
            return Place(self._step(record, count), self._epoch_of(epoch), "step")
        if self.axis == "step":
            return Place(self.step, self._epoch_of(epoch), "step")
        if epoch is not None and self.axis != "record" and epoch.is_integer():
            if self.axis is None or epoch >= self.step or record.split is not None or epoch == 0:
                return Place(epoch, epoch, "epoch")
            if epoch <= 1:
                return Place(epoch, epoch, "epoch")
        if self.axis == "epoch" and epoch is None:
            return Place(self.step, self.epoch, "epoch")
        number = 0.0 if math.isnan(self.step) else self.step + record.advances
        return Place(number, self._epoch_of(epoch), "record")

    def move(self, record: Record, place: Place) -> None:
        """Stand where a record stands."""
        if record.split is None and record.total and not self.main_total:
            self.main_total = record.total
        if place.step > self.step:
            self.stride = place.step - self.step
        self.step, self.axis = place.step, place.axis
        self._top = max(self._top, place.step)

    def _epoch_of(self, epoch: float | None) -> float:
        return self.epoch if epoch is None else epoch

    def _is_elsewhere(self, record: Record) -> bool:
        """Whether a record counts through other data than those of the training."""
        if math.isnan(self.step) or self.axis != "step":
            return record.split is not None and (record.inner or record.total > 0)
        if record.split is not None:
            return record.inner or record.total > 0 or record.epoch is not None
        return record.inner and 0 < record.total != self.main_total > 0 and record.secondary

    def _step(self, record: Record, count: float) -> float:
        epoch = self.epoch if record.epoch is None else record.epoch
        if record.over_run:
            return count
        loop = self._loops.get(record.family)
        if loop is None:
            loop = self._loops[record.family] = _Loop()
        if math.isnan(epoch):
            return self._without_epoch(record, loop, count)
        self._count_from(epoch)
        if record.inner and record.total:
            if record.plan.epoch is None and loop.goes_over(count, epoch, record.total):
                return count
            return max(epoch - self.base, 0.0) * record.total + count
        return self._within(record, loop, count, epoch)

    def _within(self, record: Record, loop: _Loop, count: float, epoch: float) -> float:
        """The step of a counter beside an epoch, which may rise over the run or begin anew."""
        if epoch != loop.epoch:
            begins_anew = record.inner or count <= loop.last
            if math.isnan(loop.epoch):
                loop.first = count
            elif epoch > loop.epoch and begins_anew:
                length = record.total or loop.longest + (0.0 if loop.first else loop.stride)
                loop.offset += length * (epoch - loop.epoch)
            elif epoch < loop.epoch:
                loop.offset = 0.0
            loop.epoch, loop.longest = epoch, 0.0
        elif count > loop.last:
            loop.stride = count - loop.last
        loop.last, loop.longest = count, max(loop.longest, count)
        return loop.offset + count

    def _without_epoch(self, record: Record, loop: _Loop, count: float) -> float:
        """The step of a counter with no epoch: one that was full begins the next pass."""
        if record.total and count < loop.last and loop.last >= record.total > 1 and record.inner:
            loop.offset += record.total
        elif count < loop.last and loop.offset and record.inner:
            loop.offset = 0.0
        loop.last = count
        return loop.offset + count
