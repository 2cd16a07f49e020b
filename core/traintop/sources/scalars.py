"""Scalars become rows: those of one step stand side by side, and tags that count alike together.

In event files and the stores of trackers each tag has a step of its own: a loss may be counted in
iterations and an evaluation beside it in epochs. The steps of a table never fall unless the run was
resumed, so a tag whose own steps rise while they lie behind those of the table goes to another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traintop.records import Column, Floats, Rows
from traintop.sources.keys import EPOCH_KEYS

MAX_GROUPS = 8
"""Tables of one file; tags that fit none of them go to the last."""

Indices = NDArray[np.int64]


class Points(NamedTuple):
    """Scalars in file order; every array has shape (n,)."""

    tags: Indices
    """Number of each one's tag."""
    steps: Floats
    times: Floats
    values: Floats

    def at(self, which: Indices | slice) -> Points:
        """Return some of them."""
        return Points(self.tags[which], self.steps[which], self.times[which], self.values[which])

    @classmethod
    def joined(cls, parts: Sequence[Points]) -> Points:
        """Return those of all parts, one after the other."""
        return cls(
            np.concatenate([part.tags for part in parts]),
            np.concatenate([part.steps for part in parts]),
            np.concatenate([part.times for part in parts]),
            np.concatenate([part.values for part in parts]),
        )


NO_POINTS = Points(np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0))


class Placer:
    """Makes rows of scalars. Tags are numbered in the order in which they turn up.

    Args:
        table: The table of the tags that count as the first one does; further ones are called
            `<table>.2` and so on.
    """

    def __init__(self, table: str) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._table = table
        self._group = np.empty(0, np.int64)  # of each tag
        self._last = np.empty(0)  # step of each tag, -inf before the first
        self._reached = [-np.inf]  # step of each group
        self._epoch = [np.nan]  # of each group
        self._used: set[int] = set()

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that rows were made for."""
        return tuple(self._name(group) for group in sorted(self._used))

    def number(self, tag: str) -> int:
        """The number of a tag."""
        number = self._numbers.get(tag)
        if number is None:
            number = self._numbers[tag] = len(self.names)
            self.names.append(tag)
        return number

    def rows(self, points: Points) -> list[Rows]:
        """Rows of the next scalars."""
        if not len(points.tags):
            return []
        new = len(self.names) - len(self._group)
        self._group = np.append(self._group, np.zeros(new, np.int64))
        self._last = np.append(self._last, np.full(new, -np.inf))
        groups = self._assign(points)
        self._last[points.tags] = points.steps  # of several of one tag the last one stays
        made: list[Rows] = []
        for group in range(len(self._reached)):
            here = np.flatnonzero(groups == group) if len(self._reached) > 1 else None
            part = points if here is None else points.at(here)
            if len(part.tags):
                self._reached[group] = float(part.steps[-1])
                self._used.add(group)
                made.append(self._rows(part, group))
        return made

    def _name(self, group: int) -> str:
        return f"{self._table}.{group + 1}" if group else self._table

    def _assign(self, points: Points) -> Indices:
        """The group of each point; tags that lag behind their group leave it."""
        tags, steps = points.tags, points.steps
        groups = self._group[tags]
        start = 0
        before: Floats | None = None
        while True:
            fall = self._next_fall(groups, steps, start)
            if fall is None:
                return groups
            if before is None:
                before = self._steps_before(tags, steps)
            start = fall + 1
            if before[fall] > steps[fall]:
                continue  # the tag itself goes back: the run was resumed or begun anew
            target = self._room_for(groups, steps, fall)
            if target != groups[fall]:
                same = np.flatnonzero(tags[fall:] == tags[fall]) + fall
                groups[same] = target
                self._group[tags[fall]] = target

    def _next_fall(self, groups: Indices, steps: Floats, start: int) -> int | None:
        """The first point from `start` on whose step is below the one before in its group."""
        first: int | None = None
        for group, reached in enumerate(self._reached):
            here = np.flatnonzero(groups == group)
            own = steps[here]
            falls = here[np.flatnonzero(own < np.concatenate(([reached], own[:-1])))]
            later = falls[falls >= start]
            if len(later) and (first is None or later[0] < first):
                first = int(later[0])
        return first

    def _steps_before(self, tags: Indices, steps: Floats) -> Floats:
        """The step that the tag of each point had before it."""
        order = np.argsort(tags, kind="stable")
        by_tag = tags[order]
        first = np.concatenate(([True], by_tag[1:] != by_tag[:-1]))
        before = np.empty(len(tags))
        before[order] = np.where(
            first, self._last[by_tag], np.concatenate(([0.0], steps[order][:-1]))
        )
        return before

    def _room_for(self, groups: Indices, steps: Floats, at: int) -> int:
        """The group whose step is not beyond that of a point, a new one where there is none."""
        for group, reached in enumerate(self._reached):
            own = np.flatnonzero(groups[:at] == group)
            if (steps[own[-1]] if len(own) else reached) <= steps[at]:
                return group
        if len(self._reached) < MAX_GROUPS:
            self._reached.append(-np.inf)
            self._epoch.append(np.nan)
        return len(self._reached) - 1

    def _rows(self, points: Points, group: int) -> Rows:
        steps = points.steps
        row = np.concatenate(([0], np.cumsum(steps[1:] != steps[:-1])))
        order = np.argsort(_narrow(points.tags, len(self.names)), kind="stable")
        by_tag, rows = points.tags[order], row[order]
        edges = np.concatenate(([0], np.flatnonzero(by_tag[1:] != by_tag[:-1]) + 1, [len(by_tag)]))
        repeated = np.flatnonzero((rows[1:] == rows[:-1]) & (by_tag[1:] == by_tag[:-1]))
        if len(repeated):
            row = _apart(row, order, repeated)
            rows = row[order]
            firsts = np.unique(row, return_index=True)[1]
        else:
            firsts = np.flatnonzero(np.concatenate(([True], row[1:] != row[:-1])))
        values = points.values[order]
        columns: dict[str, Column] = {}
        for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            name = self.names[by_tag[begin]]
            whole = end - begin == len(firsts)
            columns[name] = Column(
                values=values[begin:end], rows=None if whole else rows[begin:end]
            )
        return Rows(
            table=self._name(group),
            step=steps[firsts],
            epoch=self._epochs(columns, len(firsts), group),
            time=points.times[firsts],
            columns=columns,
        )

    def _epochs(self, columns: dict[str, Column], count: int, group: int) -> Floats:
        """The epoch of each row, where a scalar names it: it holds until another is named."""
        column = next((columns[name] for name in EPOCH_KEYS if name in columns), None)
        if column is None:
            return np.full(count, self._epoch[group])
        at = np.zeros(count, np.int64)
        at[slice(None) if column.rows is None else column.rows] = 1
        named = np.concatenate(([self._epoch[group]], column.values))
        epochs = named[np.cumsum(at)]
        self._epoch[group] = float(epochs[-1])
        return epochs


def _narrow(tags: Indices, count: int) -> NDArray[np.generic]:
    """Tags as numbers of two bytes where they fit: numpy sorts those by radix, in linear time."""
    return tags.astype(np.uint16) if count < 1 << 16 else tags


def _apart(row: Indices, order: Indices, repeated: Indices) -> Indices:
    """Rows such that no tag is twice in one: what is repeated at a step follows in further rows.

    Args:
        row: Of each point, by step.
        order: The points by tag, and those of a tag in file order.
        repeated: Places in `order` whose successor is of the same tag and row.
    """
    again = np.zeros(len(row), np.int64)
    again[repeated + 1] = 1
    total = np.cumsum(again)
    # How often the tag came at this step before: counted from the last one that did not repeat.
    start = np.maximum.accumulate(np.where(again == 0, total, 0))
    times = np.empty(len(row), np.int64)
    times[order] = total - start
    place = row * (int(times.max()) + 1) + times
    return np.searchsorted(np.unique(place), place)
