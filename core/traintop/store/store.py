"""Everything that was read of one path, run by run."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from traintop.records import Event, Item, LayerNames, LayerStats, LogLines, Reset, Rows, RunInfo
from traintop.store.layers import LayerTable
from traintop.store.log import LogStore
from traintop.store.splitter import Splitter
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
        self.layers: LayerTable | None = None
        self.events: list[Event] = []
        self.rewinds: list[Rewind] = []

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


class Store:
    """Takes in what sources read; a stream whose step falls to its start begins a new run."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.info = RunInfo()
        self.log = LogStore()
        self.records = 0
        self._names = LayerNames(names=())
        self._splitters: dict[str, Splitter] = {}
        self._at: dict[str, int] = {}

    def run(self, index: int) -> Run:
        """Return a run, making it and those before it where they are new."""
        while len(self.runs) <= index:
            self.runs.append(Run(len(self.runs)))
        return self.runs[index]

    def add(self, item: Item) -> None:
        """Take in one item."""
        match item:
            case Rows():
                self._add_rows(item)
            case LayerStats():
                self._add_layers(item)
            case LayerNames():
                self._names = item
            case Event():
                self._add_event(item)
            case LogLines():
                self.log.append(item)
            case RunInfo():
                self.info = item
            case Reset():
                raise ValueError("a store does not forget: make a new one after a Reset")

    def _add_rows(self, rows: Rows) -> None:
        self.records += len(rows.step)
        for first, last, begins in self._splitter(rows.table).split(rows.step):
            run = self._run_of(rows.table, begins == "run")
            table = run.tables.get(rows.table)
            if table is None:
                table = run.tables[rows.table] = Table(rows.table)
            if begins in ("late", "rewind"):
                table.rewind(float(rows.step[first]))
                run.rewinds.append(Rewind(rows.table, float(rows.step[first]), begins == "late"))
            table.append(rows if last - first == len(rows.step) else rows.part(first, last))

    def _add_layers(self, record: LayerStats) -> None:
        self.records += 1
        piece = self._splitter("layers").split(np.array([float(record.step)]))[0]
        run = self._run_of("layers", piece.begins == "run")
        if run.layers is None or run.layers.names != self._names:
            run.layers = LayerTable(self._names)
        if piece.begins in ("late", "rewind"):
            run.layers.rewind(record.step)
            run.rewinds.append(Rewind("layers", float(record.step), piece.begins == "late"))
        run.layers.append(record)

    def _add_event(self, event: Event) -> None:
        new_run = False
        if event.step is not None and event.event != "analysis":
            piece = self._splitter("events").split(np.array([float(event.step)]))[0]
            new_run = piece.begins == "run" and event.event != "resume"
        self._run_of("events", new_run).events.append(event)

    def _splitter(self, stream: str) -> Splitter:
        return self._splitters.setdefault(stream, Splitter())

    def _run_of(self, stream: str, new: bool) -> Run:
        at = self._at.get(stream, 0) + new
        self._at[stream] = at
        return self.run(at)
