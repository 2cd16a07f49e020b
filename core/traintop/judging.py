"""Feeds what the store has taken in to the detectors, in the order of the steps.

Reading and judging are apart: a long history is shown as soon as it is read, and judged behind
that. Training, evaluation, layers and events lie in different files, so they are merged by step
before a detector sees them.

A run that is written while it is read may come out of order: an evaluation reaches its file after
later training records were judged. That is judged when it comes, and noted (`in_order`), so that
the last word on the run can be the one that its whole files give.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from typing import TypeVar

import numpy as np

from traintop.catalogue import Catalogue, SeriesRef
from traintop.detectors.engine import Engine
from traintop.profile import Profile, with_profile
from traintop.records import DetectorFailure, Event, Finding, LayerStats, NotJudged, Row, RunInfo
from traintop.sources.roles import choose
from traintop.sources.table_names import RANK_TABLE
from traintop.store import Run, Table
from traintop.units import factor_of

BURST = 512
"""Training records merged with the others at a time."""

FIRST_EVENTS = 100
"""Events that tell what kind of training it is."""

EVAL_ROLES = frozenset({"loss/val", "accuracy/val", "balanced_accuracy", "majority_pred_fraction"})

# Ranks are numbered from 0, and what is kept of them is as wide as the largest number.

# What happened at a step is fed before the step's record, what was measured of it after that.
_EVENT, _TRAIN, _LAYERS, _EVAL = range(4)

Feed = Callable[[], Sequence[Finding]]
Place = tuple[float, int]
"""Where a record comes: its step, and which of the above it is."""
T = TypeVar("T", Event, LayerStats)


class Judge:
    """Follows one run of the store with one engine.

    Args:
        run: What to judge.
        catalogue: The roles of its series.
        info: `run.json`.
        thresholds: Detector id -> threshold -> value, from the settings.
        profile: What kind of training it is, as the settings say.
        until: Judge as if the run had ended at this step.
    """

    def __init__(
        self,
        run: Run,
        catalogue: Catalogue,
        info: RunInfo,
        thresholds: Mapping[str, Mapping[str, float]],
        until: int | None = None,
        profile: Profile = "auto",
    ) -> None:
        self._run = run
        self._info = self._told = info
        self._profile: Profile = profile
        self._series = 0
        """How many series there were when it was last told what kind of training it is."""
        self._catalogue = catalogue
        self._engine = Engine(info, thresholds)
        self._until = np.inf if until is None else float(until)
        self.in_order = True
        """Whether all was fed as it would be from the whole files."""
        self._reached: Place = (-np.inf, _EVENT)
        """The place of the last record that was fed."""
        self._understood: dict[str, object] = {}
        """What series stand for which roles, which may change with those that come later."""
        self._factors: dict[SeriesRef, float] = {}
        """What the values of series were multiplied by when they were last fed."""
        self._fed: dict[str, int] = {}
        self._layers_fed = 0
        self._events_seen = 0
        self._events: list[tuple[float, int, Event]] = []
        """A heap of events that wait: those of a file need not be in the order of their steps."""
        self._rewinds_fed = 0
        self._resumes: list[float] = []
        """Steps at which the run was resumed, not fed yet."""
        self._names: object = None
        self._sizes: list[object] = []
        """What there was of everything when nothing was left to be fed."""

    @property
    def findings(self) -> Sequence[Finding]:
        """All findings so far, in the order in which they opened."""
        return self._engine.findings

    @property
    def not_judged(self) -> tuple[NotJudged, ...]:
        """What could not be judged, and the signal that is missing."""
        return self._engine.not_judged()

    @property
    def failures(self) -> Sequence[DetectorFailure]:
        """Detectors that raised and were switched off."""
        return self._engine.failures

    def retarget(self, info: RunInfo) -> None:
        """Take a `run.json` that came or changed after the first records."""
        self._info = info
        # The next pump tells the engine, even where there is no further record.
        self._series, self._sizes = 0, []

    @property
    def backlog(self) -> int:
        """How many records wait to be judged."""
        waiting = sum(self._end(table) - self._fed.get(table.name, 0) for table in self._tables())
        return max(waiting, 0)

    def pump(self, records: int) -> list[Finding]:
        """Judge about so many waiting training records; return what opened, changed or ended."""
        sizes = self._sizes_now()
        if sizes == self._sizes:
            return []
        news = {finding.key: finding for finding in self._retarget()}
        self._step_back()
        while True:
            trunk = self._trunk()
            horizon = np.inf
            first = last = 0
            if trunk is not None:
                first, end = self._fed.get(trunk.name, 0), self._end(trunk)
                last = min(first + BURST, end)
                if last < end:
                    horizon = float(trunk.step[last - 1])
                    # Records of one step stay together, wherever a burst is cut.
                    last = int(np.searchsorted(trunk.step[:end], horizon, side="right"))
            others = sorted(self._others(trunk, horizon), key=lambda other: other[:2])
            self._keep_place(trunk, first, last, others)
            for feed in self._merged(trunk, first, last, others):
                for finding in feed:
                    news[finding.key] = finding
            records -= last - first
            if horizon == np.inf:
                self._sizes = sizes
            if records <= 0 or horizon == np.inf:
                return list(news.values())

    def _keep_place(
        self, trunk: Table | None, first: int, last: int, others: list[tuple[float, int, Feed]]
    ) -> None:
        """Note how far the steps have come, and whether what is fed now should have come before."""
        places = [others[0][:2], others[-1][:2]] if others else []
        if trunk is not None and last > first:
            kind = self._kind(trunk)
            places += [(float(trunk.step[row]), kind) for row in (first, last - 1)]
        if places:
            self.in_order = self.in_order and min(places) >= self._reached
            self._reached = max(self._reached, *places)

    def _retarget(self) -> list[Finding]:
        """Tell the engine what kind of training it is, once there are more series to tell by."""
        tables = self._run.tables.values()
        known, self._series = self._series, sum(len(table.series) for table in tables)
        if known == self._series:
            return []
        names = [name for table in tables for name in table.series]
        events = {event.event for event in self._run.events[:FIRST_EVENTS]}
        averaged = self._catalogue.is_averaged(self._run, "loss/train")
        told = self._told
        self._told = with_profile(self._info, self._profile, names, events, averaged=averaged)
        understood: dict[str, object] = {"run.json": self._told}
        before, self._understood = self._understood, understood
        for ref in self._catalogue.refs(self._run):
            if ref.role is not None:
                understood[ref.role] = ref.table, ref.name
        if any(self._fed.values()):
            same = all(understood[each] == meant for each, meant in before.items())
            self.in_order = self.in_order and same
        return [] if self._told == told else self._engine.retarget(self._told)

    def _sizes_now(self) -> list[object]:
        run = self._run
        layers = 0 if run.layers is None else len(run.layers)
        tables = map(len, run.tables.values())
        return [len(run.rewinds), len(run.events), run.layers, layers, *tables]

    def _merged(
        self,
        trunk: Table | None,
        first: int,
        last: int,
        others: list[tuple[float, int, Feed]],
    ) -> list[Sequence[Finding]]:
        """Feed rows [first, last) of the trunk with the other records between them."""
        said: list[Sequence[Finding]] = []
        others.reverse()
        if trunk is not None and last > first:
            ranks = self._ranks()
            kind = self._kind(trunk)
            several = bool(ranks) and 0 not in ranks
            for row, evaluation in self._rows(trunk, first, last):
                while others and others[-1][:2] < (row.step, kind):
                    said.append(others.pop()[2]())
                if row.values and (found := self._engine.feed_train(row)):
                    said.append(found)
                if evaluation is not None and (found := self._engine.feed_eval(evaluation)):
                    said.append(found)
                if several and row.values and (found := self._engine.feed_rank(0, row)):
                    said.append(found)
            self._fed[trunk.name] = last
        while others:
            said.append(others.pop()[2]())
        return said

    def _tables(self) -> list[Table]:
        """Return the tables that are judged: those of rank 0, which stand at the top."""
        tables = self._run.tables.values()
        return [table for table in tables if not RANK_TABLE.search(table.name)]

    def _ranks(self) -> dict[int, Table]:
        """Return the training records of ranks that have a folder of their own."""
        tables = [table for table in self._run.tables.values() if table.name.endswith("/train")]
        found = ((RANK_TABLE.search(table.name), table) for table in tables)
        return {int(match[1]): table for match, table in found if match is not None}

    def _trunk(self) -> Table | None:
        """Return the table that the others are merged with: that of the training loss, if any."""
        loss = self._catalogue.by_role(self._run, "loss/train")
        longest = max(self._tables(), key=len, default=None)
        return longest if loss is None else self._run.tables.get(loss.table, longest)

    def _kind(self, table: Table) -> int:
        roles = self._catalogue.roles_of(self._run, table.name).values()
        return _EVAL if roles and EVAL_ROLES.issuperset(roles) else _TRAIN

    def _factors_of(self, table: Table) -> dict[str, float]:
        """Return what the values of series are multiplied by, where that is not 1."""
        factors: dict[str, float] = {}
        for ref in self._catalogue.refs(self._run):
            if ref.table != table.name or ref.role is None:
                continue
            factor = factor_of(ref, table.series[ref.name])
            # An accuracy turns out to be in percent: what was fed was a hundred times too high.
            self.in_order = self.in_order and self._factors.get(ref, factor) == factor
            self._factors[ref] = factor
            if factor != 1.0:
                factors[ref.name] = factor
        return factors

    def _end(self, table: Table) -> int:
        if self._until == np.inf:
            return len(table)
        return int(np.searchsorted(table.step, self._until, side="right"))

    def _step_back(self) -> None:
        """Let a resumed run be fed again from where it repeats its steps.

        A line that is merely out of order is not fed again: it would be taken for a resumption.
        """
        run, trunk = self._run, self._trunk()
        for rewind in run.rewinds[self._rewinds_fed :]:
            # Steps that were judged are forgotten, and others stand in their place.
            self.in_order = self.in_order and rewind.step > self._reached[0]
            if rewind.late:
                continue
            if rewind.stream == "layers" and run.layers is not None:
                row = int(np.searchsorted(run.layers.step, rewind.step))
                self._layers_fed = min(self._layers_fed, row)
            elif table := run.tables.get(rewind.stream):
                row = int(np.searchsorted(table.step, rewind.step))
                self._fed[table.name] = min(self._fed.get(table.name, 0), row)
                if table is trunk:
                    self._resumes.append(rewind.step)
        self._rewinds_fed = len(run.rewinds)
        for table in (*self._tables(), *self._ranks().values()):
            self._fed[table.name] = min(self._fed.get(table.name, 0), len(table))
        if run.layers is not None:
            self._layers_fed = min(self._layers_fed, len(run.layers))

    def _others(self, trunk: Table | None, horizon: float) -> list[tuple[float, int, Feed]]:
        """Return what waits beside the trunk, up to a step: (step, order within it, feed)."""
        horizon = min(horizon, self._until)
        engine = self._engine
        others: list[tuple[float, int, Feed]] = []
        for table in self._tables():
            if table is trunk:
                continue
            first = self._fed.get(table.name, 0)
            last = int(np.searchsorted(table.step, horizon, side="right"))
            kind = self._kind(table)
            for row, evaluation in self._rows(table, first, last):
                others.append((row.step, kind, _feed_both(engine, row, evaluation)))
            self._fed[table.name] = max(first, last)
        for step in [step for step in self._resumes if step <= horizon]:
            self._resumes.remove(step)
            resumed = Event(event="resume", step=int(step))
            others.append((step, _EVENT, _feed_one(engine.feed_event, resumed)))
        for at, event in enumerate(self._run.events[self._events_seen :], self._events_seen):
            step = float(event.step) if event.step is not None else -np.inf
            heappush(self._events, (step, at, event))
            self._events_seen += 1
        while self._events and self._events[0][0] <= horizon:
            step, _, event = heappop(self._events)
            others.append((step, _EVENT, _feed_one(engine.feed_event, event)))
        return others + self._rank_records(horizon) + self._layer_records(horizon)

    def _rank_records(self, horizon: float) -> list[tuple[float, int, Feed]]:
        """Return what waits of ranks, each of which has series of its own with the same names."""
        others: list[tuple[float, int, Feed]] = []
        for rank, table in self._ranks().items():
            first = self._fed.get(table.name, 0)
            last = int(np.searchsorted(table.step, horizon, side="right"))
            chosen = choose(("train", name) for name in table.series)
            roles = {name: role for role, (_, name) in chosen.items()}
            for row, _ in self._rows(table, first, last, roles):
                others.append((row.step, _TRAIN, _feed_rank(self._engine, rank, row)))
            self._fed[table.name] = max(first, last)
        return others

    def _layer_records(self, horizon: float) -> list[tuple[float, int, Feed]]:
        layers = self._run.layers
        if layers is None:
            return []
        if layers.names is not self._names:
            self._names = layers.names
            self._layers_fed = 0
            self._engine.feed_layer_names(layers.names)
        first = self._layers_fed
        last = int(np.searchsorted(layers.step, horizon, side="right"))
        self._layers_fed = max(first, last)
        return [
            (
                float(layers.step[row]),
                _LAYERS,
                _feed_one(self._engine.feed_layers, layers.record(row)),
            )
            for row in range(first, last)
        ]

    def _rows(
        self, table: Table, first: int, last: int, roles: Mapping[str, str] | None = None
    ) -> list[tuple[Row, Row | None]]:
        """Return records [first, last) as (training row, evaluation if it holds one) each."""
        factors: dict[str, float] = {}
        if roles is None:
            roles = self._catalogue.roles_of(self._run, table.name)
            factors = self._factors_of(table)
        origin = table.first_row
        train: list[dict[str, float]] = [{} for _ in range(first, last)]
        evaluations: dict[int, dict[str, float]] = {}
        for name, role in roles.items():
            series = table.series[name]
            begin, end = series.positions(np.array([first, last]) + origin).tolist()
            factor = factors.get(name, 1.0)
            part = series.values()[begin:end]
            values = (part if factor == 1.0 else part * factor).tolist()
            if role not in EVAL_ROLES and len(values) == len(train):
                for record, value in zip(train, values, strict=True):
                    record[role] = value
                continue
            offsets = (series.rows_between(begin, end) - origin - first).tolist()
            if role in EVAL_ROLES:
                for offset, value in zip(offsets, values, strict=True):
                    evaluations.setdefault(offset, {})[role] = value
            else:
                for offset, value in zip(offsets, values, strict=True):
                    train[offset][role] = value
        steps = table.step[first:last].tolist()
        epochs = table.epoch[first:last].tolist()
        times = table.time[first:last].tolist()
        rows: list[tuple[Row, Row | None]] = []
        for offset, (step, epoch, time, values) in enumerate(
            zip(steps, epochs, times, train, strict=True)
        ):
            axes = (int(step), None if epoch != epoch else epoch, None if time != time else time)
            evaluation = evaluations.get(offset)
            rows.append((Row(*axes, values), Row(*axes, evaluation) if evaluation else None))
        return rows


def _feed_one(feed: Callable[[T], Sequence[Finding]], record: T) -> Feed:
    return lambda: feed(record)


def _feed_rank(engine: Engine, rank: int, row: Row) -> Feed:
    return lambda: engine.feed_rank(rank, row)


def _feed_both(engine: Engine, row: Row, evaluation: Row | None) -> Feed:
    def feed() -> Sequence[Finding]:
        found = list(engine.feed_train(row)) if row.values else []
        return found + list(engine.feed_eval(evaluation)) if evaluation else found

    return feed
