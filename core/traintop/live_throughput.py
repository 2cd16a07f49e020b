"""Whether the live run has become slower since an analysis was started beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from traintop.catalogue import Catalogue
from traintop.errors import TraintopError
from traintop.records import Floats
from traintop.session import Session
from traintop.settings import Settings
from traintop.store import Run

KEPT = 0.9
"""The share of its throughput that a run beside an analysis should keep."""
BEFORE, MEANWHILE = 50, 8
"""Records that a comparison takes from before, at most and at least a quarter of it, and since."""
LOOKED_AT = 10 * BEFORE
"""Newest records that are looked at: not every one need say its throughput."""


class Rates(NamedTuple):
    """The throughput of the newest records."""

    records: int
    """How many there are in all."""
    newest: Floats
    """Shape (at most `LOOKED_AT`,); NaN where unknown."""


class LiveThroughput:
    """Compares throughput since its making with that before; says so once when it has dropped.

    Args:
        throughput: The run's, as far as it is known now; None: it is still being read.
    """

    def __init__(self, throughput: Callable[[], Rates | None]) -> None:
        self._throughput = throughput
        self._begun: Rates | None = None
        self._told = False

    def check(self) -> str | None:
        """A sentence where the run has become slower."""
        rates = None if self._told else self._throughput()
        if rates is None:
            return None
        if self._begun is None:
            self._begun = rates._replace(newest=rates.newest.copy())
        since = max(rates.records - self._begun.records, 0)
        text = slowdown(self._begun.newest, rates.newest[max(len(rates.newest) - since, 0) :])
        self._told = text is not None
        return text


def of_session(session: Session) -> Rates | None:
    """The throughput of a session that somebody else reads."""
    run = session.run()
    return None if run is None else rate(run, session.catalogue)


def followed(path: Path) -> Callable[[], Rates | None]:
    """The throughput of a run that nobody else reads: each call reads what is new."""
    try:
        session = Session(path, Settings(), judge=False)
    except TraintopError:
        return lambda: None  # no run that could be slowed down

    def read() -> Rates | None:
        return None if session.pump(time.time()).more else of_session(session)

    return read


def slowdown(before: Floats, since: Floats) -> str | None:
    """Say that throughput has dropped: the median below `KEPT` of the median before.

    The median since must also lie below nine tenths of all values before, so that a run whose
    throughput swings is not said to be slowed down.

    Args:
        before: Shape (n,), in samples or steps a second; NaN is passed over.
        since: Shape (m,), the same after the analysis was started.
    """
    before, since = before[np.isfinite(before)][-BEFORE:], since[np.isfinite(since)]
    if len(before) < BEFORE // 4 or len(since) < MEANWHILE:
        return None
    usual, now = float(np.median(before)), float(np.median(since[-BEFORE:]))
    if usual <= 0 or now >= KEPT * usual or now >= float(np.quantile(before, 0.1)):
        return None
    return (
        f"the live run has become slower since this analysis began: {now / usual:.0%} of its "
        f"throughput ({now:.4g} against {usual:.4g} a second); cancel it if that matters"
    )


def rate(run: Run, catalogue: Catalogue) -> Rates:
    """The run's throughput by record: its own series, else steps a second from its clock."""
    ref = catalogue.by_role(run, "throughput")
    if ref is not None:
        values = run.tables[ref.table].series[ref.name].values()
        return Rates(len(values), values[-LOOKED_AT:])
    table = run.main
    if table is None or len(table) < 2:
        return Rates(0, np.empty(0))
    step, clock = table.along("time")
    steps, seconds = (np.diff(each[-LOOKED_AT - 1 :]) for each in (step, clock))
    rates = np.full(len(steps), np.nan)
    np.divide(steps, seconds, out=rates, where=seconds > 0)
    return Rates(len(step) - 1, rates)
