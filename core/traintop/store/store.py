"""Everything that was read of one path, run by run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from traintop.records import (
    Event,
    History,
    Item,
    LayerBlock,
    LayerNames,
    LayerStats,
    LogLines,
    Reset,
    Rows,
    RunInfo,
)
from traintop.store.image import ImageReader
from traintop.store.layers import LayerTable, as_block, cut_block
from traintop.store.log import LogStore
from traintop.store.run import Rewind, Run
from traintop.store.splitter import Splitter
from traintop.store.storage import MEMORY, Storage
from traintop.store.streams import Streams, StreamsImage
from traintop.store.table import Table

BEYOND = 1.5
"""An evaluation may come so many typical increments after the last training record of its run."""


class Store:
    """Takes in what sources read; a stream whose step falls to its start begins a new run.

    Args:
        storage: Where long series lie.
    """

    def __init__(self, storage: Storage = MEMORY) -> None:
        self.storage = storage
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

    def streams(self, tables: Sequence[str]) -> Streams | None:
        """Return the streams of one file as they are now, to be written to an index.

        Args:
            tables: The tables that the file fed; none: it fed the layers.

        Returns:
            None where there is more than one run, or nothing of these streams.
        """
        names = [*tables] or ["layers"]
        run = self.runs[0] if len(self.runs) == 1 else None
        if run is None or not all(name in self._splitters for name in names):
            return None
        return Streams(run, names, {name: self._splitters[name].state() for name in names})

    def restore(self, image: StreamsImage, reader: ImageReader) -> None:
        """Take in the streams of a file that were written to an index.

        Raises:
            ValueError: They are not in the file, or some of them were begun already.
        """
        run = self._only_run()
        known = set(self._splitters) & set(image.splitters)
        if run is None or known:
            raise ValueError("there are other records already")
        tables = [Table.restored(each, reader, self.storage) for each in image.tables]
        if image.layers is not None:
            run.layers = LayerTable.restored(image.layers, reader, self.storage)
            self._names = image.layers.names
            self.records += len(run.layers)
        for table in tables:
            run.tables[table.name] = table
            self.records += len(table)
        run.rewinds += image.rewinds
        for stream, state in image.splitters.items():
            self._splitter(stream).restore(state)

    def add(self, item: Item) -> None:
        """Take in one item."""
        match item:
            case Rows():
                self._add_rows(item)
            case LayerStats() | LayerBlock():
                self._add_layers(as_block(item))
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

    def prepend(self, item: History) -> bool:
        """Take in an item that is older than all that was taken in of its stream.

        The items of a file that is read backwards come in the reverse of their order. Other
        threads may look meanwhile, as with `add`; what they drew stays where it is.

        Returns:
            False where it cannot simply stand before the others: its steps fall, or rise above the
            first one known, or there is another run between. It is not taken in, and the file has
            to be read forwards.
        """
        match item:
            case Rows():
                return self._prepend_rows(item)
            case LayerStats() | LayerBlock():
                return self._prepend_layers(as_block(item))
            case Event():
                return self._prepend_event(item)
            case LogLines():
                self.log.prepend(item)
                return True

    def _prepend_rows(self, rows: Rows) -> bool:
        if not len(rows.step):
            return True
        run, name = self._only_run(), rows.table
        known = None if run is None else run.tables.get(name)
        if run is None or (known and len(known) and known.step[0] < rows.step[-1]):
            return False
        if not self._splitter(name).precede(rows.step):
            return False
        self.records += len(rows.step)
        table = Table(name, self.storage) if known is None else known
        table.prepend(rows)
        if next(iter(run.tables), None) != name:
            run.tables = {name: table} | run.tables
            run.rearranged += 1
        return True

    def _prepend_layers(self, block: LayerBlock) -> bool:
        if not len(block.step):
            return True
        run = self._only_run()
        known = None if run is None else run.layers
        if run is None or (known and len(known) and known.step[0] < block.step[-1]):
            return False
        if known is not None and known.names != self._names:
            return False
        if not self._splitter("layers").precede(block.step):
            return False
        self.records += len(block.step)
        if known is None:
            known = run.layers = LayerTable(self._names, self.storage)
        known.prepend(block)
        return True

    def _prepend_event(self, event: Event) -> bool:
        run = self._only_run()
        if run is None:
            return False
        if (
            event.step is not None
            and event.event != "analysis"
            and not self._splitter("events").precede(np.array([float(event.step)]))
        ):
            return False
        run.events.insert(0, event)
        return True

    def _only_run(self) -> Run | None:
        """Return the run if there is no more than one: older records are of it, or of none."""
        return self.run(0) if len(self.runs) < 2 else None

    def _add_rows(self, rows: Rows) -> None:
        self.records += len(rows.step)
        for first, last, begins in self._splitter(rows.table).split(rows.step):
            step = float(rows.step[first])
            if begins == "run" and self._resumed_before(rows.table, step):
                begins = "rewind"
            run = self._run_of(rows.table, begins == "run")
            if begins in ("late", "rewind") and rows.table in run.tables:
                run.tables[rows.table].rewind(step)
                run.rewinds.append(Rewind(rows.table, step, begins == "late"))
            while first < last:
                # A stream may be silent while others end a run and begin the next.
                end = self._end_in(run, rows, first, last)
                if end > first:
                    table = run.tables.get(rows.table)
                    if table is None:
                        table = run.tables[rows.table] = Table(rows.table, self.storage)
                    whole = end - first == len(rows.step)
                    table.append(rows if whole else rows.part(first, end))
                first = end
                if first < last:
                    run = self._run_of(rows.table, new=True)

    def _resumed_before(self, stream: str, step: float) -> bool:
        """Tell whether another stream has repeated steps from one at or before this one.

        Evaluations are few: the first that a resumed run repeats may be the very first of all.
        """
        rewinds = self.run(self._at.get(stream, 0)).rewinds
        others = (each for each in rewinds if each.stream != stream and not each.late)
        return any(each.step <= step for each in others)

    def _end_in(self, run: Run, rows: Rows, first: int, last: int) -> int:
        """Return the end of those of records [first, last) that are of a run.

        All are, unless others have ended it and begun the next: then those beyond its last step,
        and those that measure again what it has at the same step, are of a later one.
        """
        others = [each for name, each in run.tables.items() if name != rows.table and len(each)]
        if run.index + 1 >= len(self.runs) or not others:
            return last
        longest = max(others, key=len)
        increment = float(longest.step[-1] - longest.step[0]) / max(len(longest) - 1, 1)
        reach = max(float(each.step[-1]) for each in others) + BEYOND * increment
        end = first + int(np.searchsorted(rows.step[first:last], reach, "right"))
        known = run.tables.get(rows.table)
        if known is not None and len(known) and end > first and known.step[-1] == rows.step[first]:
            return first if _measures(rows, first) & set(known.series) else end
        for at in (np.flatnonzero(np.diff(rows.step[first:end]) == 0) + first + 1).tolist():
            if _measures(rows, at) & _measures(rows, at - 1):
                return int(at)
        return end

    def _add_layers(self, block: LayerBlock) -> None:
        self.records += len(block.step)
        for first, last, begins in self._splitter("layers").split(block.step):
            run = self._run_of("layers", begins == "run")
            if run.layers is None or run.layers.names != self._names:
                run.layers = LayerTable(self._names, self.storage)
            if begins in ("late", "rewind"):
                step = float(block.step[first])
                run.layers.rewind(step)
                run.rewinds.append(Rewind("layers", step, begins == "late"))
            run.layers.append(cut_block(block, first, last))

    def _add_event(self, event: Event) -> None:
        if event.step is None:
            # It tells of the run that is read: trackers say how one ended, not at which step.
            self.run(max(len(self.runs) - 1, 0)).events.append(event)
            return
        new_run = False
        if event.event != "analysis":
            piece = self._splitter("events").split(np.array([float(event.step)]))[0]
            new_run = piece.begins == "run" and event.event != "resume"
        self._run_of("events", new_run).events.append(event)

    def _splitter(self, stream: str) -> Splitter:
        return self._splitters.setdefault(stream, Splitter())

    def _run_of(self, stream: str, new: bool) -> Run:
        at = self._at.get(stream, 0) + new
        self._at[stream] = at
        return self.run(at)


def _measures(rows: Rows, at: int) -> set[str]:
    """Return the names of the columns that have a value in a record."""
    return {name for name, each in rows.columns.items() if each.rows is None or at in each.rows}
