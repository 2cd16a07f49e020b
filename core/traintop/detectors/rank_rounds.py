"""The records of all ranks at the same step, brought together whatever order they come in."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from traintop.records import Floats, Row, RunInfo

HELD = 256
"""Steps that wait for the slowest rank. One that lags by more is left out of a round."""


class Round(msgspec.Struct, frozen=True):
    """What all ranks recorded at one step."""

    step: int
    ranks: tuple[int, ...]
    """Rising; those that recorded the step."""
    expected: int
    """How many ranks there are, as far as is known."""
    rows: tuple[dict[str, float], ...]
    """Role -> value, a row a rank."""

    def values(self, role: str) -> list[float]:
        """One metric, a value a rank; NaN where a rank has none."""
        return [row.get(role, math.nan) for row in self.rows]


def side_by_side(rounds: Sequence[Round], role: str) -> Floats:
    """One metric of several rounds, shape (rounds, largest rank + 1); NaN where there is none."""
    found = np.full((len(rounds), 1 + max(max(each.ranks) for each in rounds)), math.nan)
    for index, each in enumerate(rounds):
        found[index, list(each.ranks)] = each.values(role)
    return found


class RankRounds:
    """Collects the records of each rank into rounds, in the order of the steps.

    A step is handed on once each rank that is known has recorded it, `world_size` of them where
    `run.json` says so; or once the ranks are too far ahead of the one that is missing.

    Attributes:
        seen: The ranks that have recorded anything.
    """

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self._waiting: dict[int, dict[int, dict[str, float]]] = {}
        self._done = -1

    def add(self, rank: int, row: Row, info: RunInfo) -> Sequence[Round]:
        """Take the record of one rank; return the rounds that it completes, mostly none or one."""
        self.seen.add(rank)
        step = row.step
        if step <= self._done:
            return ()  # A resumed run repeats steps, of which a round was made already.
        waiting = self._waiting
        rows = waiting.setdefault(step, {})
        rows[rank] = row.values
        expected = max(info.world_size or 0, len(self.seen), 2)
        if len(rows) >= expected:
            # A rank may log only now and then: what lies before a whole step is waited for no more.
            self._done = step
        elif len(waiting) > HELD:
            self._done = min(waiting)
        else:
            return ()
        rounds: list[Round] = []
        for each in sorted(waiting):
            if each > self._done:
                break
            found = waiting.pop(each)
            if len(found) > 1:
                ranks = tuple(sorted(found))
                rounds.append(Round(each, ranks, expected, tuple(found[one] for one in ranks)))
        return rounds
