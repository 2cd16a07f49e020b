"""Files that are rewritten whole, again and again, with what they held before and a little more.

Histories in JSON are written anew at each checkpoint, tables get a longer header when a metric is
new. What such a file says again need not be forgotten and judged anew: only what is new is handed
on. If it says something else, it is another run, and everything before is void.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traintop.records import News, Reset, Rows, RunInfo, SourceReport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from traintop.sources.mark import Mark
    from traintop.sources.source import FileSource

MOST_ROWS = 200_000
"""Files with more records than this are read anew when they are rewritten."""

PATIENCE = 50
"""So many reads may bring nothing while a file holds less than it did; at the pace of the screen
these are some seconds. Then it was begun anew."""

Hashes = NDArray[np.uint64]


class SteadySource:
    """A source whose rewritten rows come once, if its format is one that is written so.

    Args:
        inner: The source.
    """

    def __init__(self, inner: FileSource) -> None:
        self._inner = inner
        self._known: list[Hashes] | None = []
        """Of all rows handed on, by burst; None where they are too many."""
        self._count = 0
        self._again: list[News] | None = None
        """What a rewritten file has said so far, while that is less than it said before."""
        self._reset: Reset | None = None
        self._quiet = 0

    @property
    def path(self) -> Path:
        """The file."""
        return self._inner.path

    @property
    def pending(self) -> bool:
        """Whether more bytes are known to be there."""
        return self._inner.pending

    @property
    def awaited(self) -> int | None:
        """The descriptor that more will come from, where nothing else is to be read at once."""
        return self._inner.awaited

    @property
    def held_open(self) -> bool:
        """Whether a writer is known to be there: more may come for sure."""
        return self._inner.held_open

    @property
    def polled(self) -> bool:
        """Whether the operating system does not tell when there is more to read."""
        return self._inner.polled

    def read(self, max_bytes: int) -> list[News]:
        """Read at most `max_bytes` that are new; of what was rewritten only what is new."""
        items = self._inner.read(max_bytes)
        if self._again is not None and not items and not self._inner.pending:
            self._quiet += 1
            return self._give_up() if self._quiet > PATIENCE else []
        return self._sort_out(items)

    def finish(self) -> list[News]:
        """Hand over what was held back, also what a file says that holds less than it did."""
        items = self._sort_out(self._inner.finish())
        return items if self._again is None else items + self._give_up()

    def report(self) -> SourceReport:
        """What the file turned out to be, as far as it was read."""
        return self._inner.report()

    @property
    def tables(self) -> tuple[str, ...]:
        """Where its rows went so far."""
        return self._inner.tables

    def mark(self) -> Mark | None:
        """How far the file was read; None where nothing can go on from there."""
        return None if self._again is not None else self._inner.mark()

    def resume(self, mark: Mark) -> bool:
        """Go on from a mark, before anything is read; False where the file is another now."""
        return self._inner.resume(mark)

    def close(self) -> None:
        """Let go of the file."""
        self._inner.close()

    def _sort_out(self, items: Sequence[News]) -> list[News]:
        handed: list[News] = []
        for item in items:
            if isinstance(item, Reset) and self._known:
                self._again, self._reset, self._quiet = [], item, 0
            elif self._again is not None:
                self._again.append(item)
            else:
                self._note(item)
                handed.append(item)
        return handed if self._again is None else handed + self._compare()

    def _note(self, item: News) -> None:
        if self._known is None or not self._inner.rewritten:
            return
        if isinstance(item, RunInfo):
            return
        if isinstance(item, Rows) and self._count + len(item.step) <= MOST_ROWS:
            self._known.append(_hashes(item))
            self._count += len(item.step)
        else:
            self._known = None

    def _compare(self) -> list[News]:
        """Hand on what is new, as soon as the file says all that it said before."""
        assert self._again is not None  # noqa: S101 - the caller has looked
        assert self._known is not None  # noqa: S101 - else nothing is compared
        rows = [item for item in self._again if isinstance(item, Rows)]
        infos = [item for item in self._again if isinstance(item, RunInfo)]
        if len(rows) + len(infos) < len(self._again):
            return self._give_up()
        known = _joined(self._known)
        said = _joined([_hashes(each) for each in rows])
        common = min(len(known), len(said))
        if not np.array_equal(known[:common], said[:common]):
            return self._give_up()
        if len(said) < len(known):
            return []
        self._again = self._reset = None
        return self._sort_out([*infos, *_behind(rows, len(known))])

    def _give_up(self) -> list[News]:
        """Hand on that what was read before is void, and what the file says now."""
        assert self._again is not None  # noqa: S101 - the callers have looked
        assert self._reset is not None  # noqa: S101 - it began this
        reset, again = self._reset, self._again
        self._again = self._reset = None
        self._known, self._count = [], 0
        return [reset, *self._sort_out(again)]


def _behind(rows: list[Rows], count: int) -> list[Rows]:
    """The rows behind the first `count`."""
    rest: list[Rows] = []
    for each in rows:
        if count >= len(each.step):
            count -= len(each.step)
        elif count == 0:
            rest.append(each)
        else:
            rest.append(each.part(count, len(each.step)))
            count = 0
    return rest


def _joined(parts: list[Hashes]) -> Hashes:
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)


def _hashes(rows: Rows) -> Hashes:
    """A number for each row by which it is known again, whatever the order of its columns."""
    sums = _mixed(rows.step, rows.table) + _mixed(rows.epoch, "epoch") + _mixed(rows.time, "time")
    for name, column in rows.columns.items():
        mixed = _mixed(column.values, f"{name}=")
        if column.rows is None:
            sums += mixed
        else:
            sums[column.rows] += mixed
    return sums


def _mixed(values: NDArray[np.float64], name: str) -> Hashes:
    """Hashes of values under a name: the finalizer of splitmix64 over their bits.

    Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
    """
    bits = np.where(np.isnan(values), np.nan, values).view(np.uint64)
    seed = zlib.crc32(name.encode("utf-8", "replace")) * 0x9E3779B97F4A7C15 % 2**64
    mixed = bits ^ np.uint64(seed)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
