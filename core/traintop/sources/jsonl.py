"""JSON Lines as any training script writes them: a record a line, its numbers become series."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from traintop.sources.decoder import Tally
from traintop.sources.lines import whole_lines
from traintop.sources.objects import Burst, ObjectDecoder
from traintop.sources.placing import RowMaker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from traintop.records import Item


_OBJECT = re.compile(rb"\s*\{\s*[\"}]")


def holds_json_lines(_path: Path, head: bytes) -> bool:
    """Whether most lines of a file that begins with these bytes begin an object."""
    lines = whole_lines(head)
    return sum(bool(_OBJECT.match(line)) for line in lines) * 2 > len(lines)


class JsonLines:
    """Decodes JSON Lines with numeric values.

    Nested objects become `outer/inner`, booleans 0 and 1, strings that spell a number that number;
    `null` is an absent value, lists and other text are counted in the tally's `ignored`. A first
    record without a step, where the next one has one, describes the run and is no measurement.

    Args:
        table: The table of records that do not say what part of the data they speak of.
        split_table: Names the table of records that do (`train`, `val`, `test`); None: they all
            belong to `table`.
        format: What the report calls the format.
    """

    by_lines = True
    rewritten = False

    def __init__(
        self,
        table: str,
        split_table: Callable[[str], str] | None = None,
        format: str = "jsonl",  # noqa: A002 - the name that the report has for it
    ) -> None:
        self.format = format
        self.tally = Tally()
        self._objects = ObjectDecoder(self.tally)
        self._rows = RowMaker(self._objects.keys, table, split_table)
        self._first: Burst | None = None  # the first record, while it may describe the run
        self._begun = False

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that rows were handed over for so far."""
        return self._rows.tables

    def feed(self, data: bytes) -> list[Item]:
        """Take whole lines."""
        items: list[Item] = []
        for burst in self._objects.decode(data):
            items += self._take(burst)
        return items

    def fork(self) -> JsonLines | None:
        """A decoder for lines further on; None where records are numbered, or count by epochs."""
        rows = self._rows
        tally = Tally()
        objects = self._objects.fork(tally)
        forked = rows.fork(objects.keys)
        if forked is None or not self._begun:
            return None
        fork = JsonLines("", format=self.format)
        fork.tally, fork._objects, fork._rows, fork._begun = tally, objects, forked, True
        return fork

    def join(self, older: JsonLines) -> bool:
        """Become the decoder that would have been fed the lines of `older` first."""
        if not (self._objects.join(older._objects) and self._rows.join(older._rows)):
            return False
        self.tally.join(older.tally)
        return True

    def state(self) -> dict[str, Any] | None:
        """What is needed to go on, in plain values."""
        rows = self._rows.state()
        if rows is None or self._first is not None:
            return None
        return {"tally": self.tally.state(), "objects": self._objects.state(), "rows": rows}

    def restore(self, state: dict[str, Any]) -> None:
        """Become the decoder that `state` was asked of."""
        self.tally.restore(state["tally"])
        self._objects.restore(state["objects"])
        self._rows.restore(state["rows"])
        self._begun = True

    def finish(self) -> list[Item]:
        """Hand over a first record that nothing followed."""
        first, self._first = self._first, None
        return [] if first is None else self._make(first)

    def _take(self, burst: Burst) -> list[Item]:
        if self._begun:
            return self._make(burst)
        named = self._rows.names_step(burst)[:2].tolist()
        if self._first is not None:
            first, self._first = self._first, None
            if 0 not in named:
                return self._make(first) + self._make(burst)
            self._describe(first)
        elif 0 not in named:
            if burst.size == 1:
                self._first = burst
                self._begun = False
                return []
            if 1 in named:
                self._describe(burst)
                return self._make(burst, start=1)
        return self._make(burst)

    def _make(self, burst: Burst, start: int = 0) -> list[Item]:
        self._begun = True
        self.tally.records += burst.size - start
        return list(self._rows.rows(burst, start))

    def _describe(self, burst: Burst) -> None:
        """Count the numbers of a first record that is no measurement among what was left aside."""
        for name, column in burst.columns.items():
            if column.rows is None or column.rows[0] == 0:
                self.tally.ignore(name)
