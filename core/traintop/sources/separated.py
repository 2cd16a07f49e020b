"""Tables of separated values (CSV, TSV): a header, then a record a row."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from traintop.records import Column, Floats
from traintop.sources import dialect as dialects
from traintop.sources.cells import is_absent, number
from traintop.sources.column_order import OrderWatch
from traintop.sources.decoder import Tally
from traintop.sources.dialect import EPISODES, UNNAMED
from traintop.sources.keys import Keys, seconds
from traintop.sources.lines import CUT_MARK
from traintop.sources.long_format import columns_of, spread
from traintop.sources.numeric_block import parse_block
from traintop.sources.objects import Burst
from traintop.sources.placing import RowMaker
from traintop.sources.ragged import align
from traintop.sources.roles import role_of
from traintop.sources.schema import ABSENT, ABSENT_BITS, columns
from traintop.sources.text_columns import Texts, take_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from traintop.records import Item
    from traintop.sources.dialect import Dialect

BLOCK = 1 << 18
"""Bytes decoded at once."""

LONGEST_RECORD = 64
"""Lines of a record whose quoted cells have line feeds in them; one that has more is broken."""

PLAYED = "steps played"
"""What the steps of a monitor are called: the lengths of the episodes so far."""

SPELLED = {"\t": "tabs", " ": "blanks"}

FIRST_ROWS = 3
"""Rows that are looked at, where no name says so, to see whether the first column counts steps."""

_WHOLE = re.compile(r"\d+(\.0)?")


class SeparatedValues:
    """Decodes tables of separated values, with a header or without one.

    The separator, quotes, decimal commas and the spelling of missing values are told by the
    content. A header that comes again is passed over, another one changes the columns from there
    on; of a row of another length only what surely belongs to a column is kept. Cells that are no
    numbers are counted in the tally's `ignored`.

    Args:
        table: The table of records that do not say what part of the data they speak of.
        split_table: Names the table of records that do (`train`, `val`, `test`).
    """

    by_lines = True
    rewritten = True

    def __init__(self, table: str, split_table: Callable[[str], str] | None = None) -> None:
        self.format = "csv"
        self.tally = Tally()
        self._keys = Keys()
        self._rows = RowMaker(self._keys, table, split_table)
        self._dialect: Dialect | None = None
        self._names: tuple[str, ...] = ()
        self._header: list[str] = []
        self._comment = ""
        self._learnt = False
        self._first: list[tuple[int, list[str]]] = []
        self._split_at: int | None = None
        self._time_at: int | None = None
        self._text_at: list[int] = []
        self._open: list[str] = []  # lines of a record with a quote that is not closed yet
        self._opened = 0
        self._order = OrderWatch()
        self._played = 0.0  # steps of the episodes so far
        self._blocks: list[Floats] = []
        self._cells: list[list[float]] = []
        self._kept: dict[int, list[str]] = {}  # columns whose text is needed: split, series
        self._long: tuple[int, int] | None = None  # the columns of a series' name and value

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that rows were handed over for so far."""
        return self._rows.tables

    def feed(self, data: bytes) -> list[Item]:
        """Take whole lines."""
        items: list[Item] = []
        at = 0
        while at < len(data):
            end = data.rfind(b"\n", at, at + BLOCK) + 1 or data.find(b"\n", at) + 1 or len(data)
            items += self._take_block(data[at:end])
            at = end
        return items + self._flush()

    def finish(self) -> list[Item]:
        """Hand over a record whose quote was never closed."""
        items = self._give_up_quote() if self._open else []
        self._learn()
        items += self._flush()
        if self._dialect is not None and not self.tally.records:
            self.tally.note("a header without rows", 0)
        return items

    def _take_block(self, data: bytes) -> list[Item]:
        if self._learnt and not self._open and self._take_numbers(data):
            return []
        items: list[Item] = []
        for at, line in self.tally.number(data):
            items += self._take_line(at, line)
        return items

    def _take_numbers(self, data: bytes) -> bool:
        """Take lines that hold nothing but numbers, and text where it stood before."""
        assert self._dialect is not None  # noqa: S101 - told by the first record
        delimiter, width = self._dialect.delimiter.encode(), len(self._names)
        texts: Texts = {}
        if self._text_at:
            taken = take_out(data, delimiter, width, self._text_at)
            if taken is None:
                return False
            data, texts = taken
        block = parse_block(data, delimiter, width)
        if block is None:
            return False
        for place, cells in texts.items():
            if place == self._time_at:
                block[:, place] = [self._time(cell) for cell in cells]
            elif place not in self._kept and any(self._number(cell) is not None for cell in cells):
                return False
        for place in texts.keys() - {self._time_at, *self._kept}:
            count = sum(not is_absent(cell) for cell in texts[place])
            if count:
                self.tally.ignore(self._names[place], count)
        self.tally.lines += len(block)
        self._close_cells()
        empty = (block.view(np.uint64) == ABSENT_BITS).all(axis=1)
        for place, kept in self._kept.items():
            kept += [cell for cell, gone in zip(texts[place], empty, strict=True) if not gone]
        self._blocks.append(block[~empty] if empty.any() else block)
        return True

    def _take_line(self, at: int, data: bytes) -> list[Item]:
        if data.endswith(CUT_MARK):
            self.tally.skip(at, "line too long")
            return []
        line = data.decode("utf-8", "replace").strip("\ufeff\0\r\n")
        if not self._open and line.startswith("#"):
            self._comment = line.lstrip("# ")
            items = self._flush()
            self._played = 0.0
            return items
        if self._open or line.count('"') % 2:
            self._opened = self._opened if self._open else at
            self._open.append(line)
            if line.count('"') % 2 == (len(self._open) == 1):
                return self._give_up_quote() if len(self._open) > LONGEST_RECORD else []
            line, at = " ".join(self._open), self._opened
            self._open = []
        return self._take_record(at, line)

    def _give_up_quote(self) -> list[Item]:
        """Pass over a line whose quote is not closed; those after it are records of their own."""
        self.tally.skip(self._opened, "a quote that is not closed")
        rest, self._open = self._open[1:], []
        items: list[Item] = []
        for at, line in enumerate(rest, self._opened + 1):
            items += self._take_record(at, line)
        return items

    def _take_record(self, at: int, line: str) -> list[Item]:
        if self._dialect is None:
            self._dialect = dialects.read_header(line, self._comment)
            self.format = "tsv" if self._dialect.delimiter == "\t" else "csv"
            self._header = dialects.split(line, self._dialect.delimiter)
            self._names = self._dialect.names
            if self._dialect.has_header:
                return []
        cells = dialects.split(line, self._dialect.delimiter)
        if cells == self._header and self._dialect.has_header:
            return []
        if dialects.is_header_again(cells, self._names):
            self._learn()
            items = self._flush()
            self._header, self._names, self._learnt = cells, dialects.unique(cells), False
            self._order = OrderWatch()
            return items
        if self._learnt:
            self._take_cells(at, cells)
            return []
        self._first.append((at, cells))
        if len(self._first) == FIRST_ROWS or dialects.has_axis(self._names):
            self._learn()
        return []

    def _learn(self) -> None:
        """Look at the columns with the first rows that are under them, and take those rows."""
        if self._learnt or not self._first:
            return
        self._learnt = True
        rows, self._first = self._first, []
        cells = rows[0][1]
        # The header may end with a separator.
        while len(self._names) > len(cells) and self._names[-1].partition(".")[0] == UNNAMED:
            self._names = self._names[:-1]
        if len(cells) == len(self._names) + 1 and cells[0] in ("0", "1"):
            self._names = (UNNAMED, *self._names)  # the column of row numbers has no name
        sample: dict[str, object] = {}
        for name, cell in zip(self._names, cells, strict=False):
            found = self._number(cell)
            sample[name] = None if is_absent(cell) else cell if found is None else found
        for name in self._names:
            sample.setdefault(name, None)
        self._keys.learn(sample)
        keys = self._keys
        if self._names and keys.step is None and keys.epoch is None:
            if self._names[:3] == EPISODES:
                keys.step = PLAYED
            elif _counts_up([cells[0] for _, cells in rows]) and not role_of(self._names[0]):
                keys.step = self._names[0]
        self._say_why()
        self._split_at = _place(self._names, keys.split)
        self._time_at = _place(self._names, keys.time)
        self._text_at = [
            place
            for place, cell in enumerate(cells[: len(self._names)])
            if not is_absent(cell) and self._number(cell) is None
        ]
        self._long = columns_of(self._names)
        if self._long is not None and self._long[0] not in self._text_at:
            self._long = None
        needed = (self._split_at, self._long[0] if self._long else None)
        self._kept = {place: [] for place in needed if place is not None}
        self._text_at += self._kept.keys() - set(self._text_at)
        for at, row in rows:
            self._take_cells(at, row)

    def _say_why(self) -> None:
        assert self._dialect is not None  # noqa: S101 - told by the first record
        says = "a header names" if self._dialect.has_header else "every row has"
        between = SPELLED.get(self._dialect.delimiter, f"`{self._dialect.delimiter}`")
        axis = self._keys.step or self._keys.epoch
        self.tally.why = f"{says} {len(self._names)} columns with {between} between them" + (
            f"; `{axis}` says where a row stands" if axis else "; rows are numbered"
        )

    def _number(self, cell: str) -> float | None:
        assert self._dialect is not None  # noqa: S101 - told by the first record
        return number(cell, decimal_comma=self._dialect.delimiter == ";")

    def _time(self, cell: str) -> float:
        """The time in a cell, in the unit of its column; a date in seconds since 1970."""
        if is_absent(cell):
            return ABSENT
        found = self._number(cell)
        return seconds(cell, 1.0) if found is None else found

    def _take_cells(self, at: int, cells: list[str]) -> None:
        width = len(self._names)
        if len(cells) > width and not any(cells[width:]):
            cells = cells[:width]  # rows end with a separator
        if len(cells) != width:
            aligned = align(self._names, cells)
            if aligned.certain:
                self.tally.note(aligned.how)
            else:
                self.tally.skip(at, aligned.how)
            cells = aligned.cells
            if not any(cells):
                return
        values: list[float] = []
        for place, cell in enumerate(cells):
            try:
                value = float(cell)
            except ValueError:
                pass
            else:
                if "_" not in cell:  # Python takes `1_0` for ten, nobody else does
                    values.append(value)
                    continue
            if is_absent(cell):
                values.append(ABSENT)
                continue
            found = self._time(cell) if place == self._time_at else self._number(cell)
            if found is None and place not in self._kept:
                self.tally.ignore(self._names[place])
            values.append(ABSENT if found is None else found)
        if all(value is ABSENT for value in values):
            return
        self._cells.append(values)
        for place, kept in self._kept.items():
            kept.append(cells[place])

    def _close_cells(self) -> None:
        if self._cells:
            self._blocks.append(np.array(self._cells, np.float64))
            self._cells = []

    def _flush(self) -> list[Item]:
        """Hand over the records under the present header."""
        self._close_cells()
        if not self._blocks:
            return []
        numbers = np.concatenate(self._blocks)
        self._blocks = []
        if not len(numbers):
            return []
        self.tally.records += len(numbers)
        self._watch_order(numbers)
        found = columns(list(self._names), np.ascontiguousarray(numbers.T))
        if self._keys.step == PLAYED and self._names[:3] == EPISODES:
            found[PLAYED] = self._steps_played(numbers[:, self._names.index("l")])
        if self._keys.step != UNNAMED:
            found.pop(UNNAMED, None)
        texts: dict[str, list[Any]] = {}
        if self._keys.split is not None and self._split_at is not None:
            texts[self._keys.split] = self._kept[self._split_at]
        if self._long is not None:
            name, value = self._long
            all_values = found.pop(self._names[value], None)
            if all_values is not None:
                found |= spread(self._kept[name], all_values)
        self._kept = {place: [] for place in self._kept}
        return list(self._rows.rows(Burst(len(numbers), found, texts)))

    def _watch_order(self, numbers: Floats) -> None:
        if self._keys.epoch not in self._names:
            return
        swapped = self._order.take(numbers[:, self._names.index(self._keys.epoch)], numbers)
        if swapped is not None:
            one, other = (self._names[place] for place in swapped)
            self._order = OrderWatch()
            self.tally.note(
                f"`{one}` and `{other}` seem to have changed places: a run was appended whose"
                " columns are in another order",
                0,
            )

    def _steps_played(self, lengths: Floats) -> Column:
        """The steps of all episodes so far: what an episode's record is drawn over."""
        steps = self._played + np.cumsum(np.nan_to_num(lengths))
        self._played = float(steps[-1])
        return Column(values=steps)


def _counts_up(cells: list[str]) -> bool:
    """Whether the first cells of a column may be those of a step counter."""
    if not all(map(_WHOLE.fullmatch, cells)):
        return False
    counts = [float(cell) for cell in cells]
    return len(counts) > 1 and counts == sorted(set(counts))


def _place(names: tuple[str, ...], name: str | None) -> int | None:
    return names.index(name) if name is not None and name in names else None
