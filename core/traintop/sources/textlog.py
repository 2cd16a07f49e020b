"""Plain text: the lines of a log, the step that each speaks of, and the series that it prints."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from traintop.records import Item, LogLines
from traintop.sources.console.reader import ConsoleReader
from traintop.sources.decoder import Tally
from traintop.sources.lines import CUT_MARK
from traintop.sources.text import TAB, byte_order_mark, clean, decode, is_clean, pieces

if TYPE_CHECKING:
    from collections.abc import Callable


CUT = CUT_MARK.decode()


class TextLog:
    """Decodes text in UTF-8 or, with a byte order mark, UTF-16.

    Args:
        table: The table of records that do not say what part of the data they speak of.
        split_table: Names the tables of those that do.
        series: Whether the series that the log prints are wanted, or its lines alone.
    """

    format = "text"
    by_lines = True
    rewritten = False

    def __init__(
        self,
        table: str = "train",
        split_table: Callable[[str], str] = lambda split: split,
        *,
        series: bool = True,
    ) -> None:
        self.tally = Tally()
        self._series = series
        self._reader = ConsoleReader(table, split_table)
        self.tally.units = self._reader.units.written
        self._begun = False
        self._utf16: codecs.IncrementalDecoder | None = None
        self._ahead = 0  # bytes of the next line whose states were taken before it was whole
        self._rest = ""  # of UTF-16 text, whose lines the bytes could not be cut into

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that rows were handed over for so far."""
        return tuple(self._reader.rows.tables)

    def feed(self, data: bytes) -> list[Item]:
        """Take whole lines."""
        if not self._begun and byte_order_mark(data):
            self._utf16 = codecs.getincrementaldecoder("utf-16")("replace")
        self._begun = True
        if self._ahead:
            line, _, data = data.partition(b"\n")
            return self._end(line) + (self.feed(data) if data else [])
        if self._utf16 is None:
            text = decode(data)
        else:
            text = self._rest + self._utf16.decode(data)
            end = text.rfind("\n") + 1
            text, self._rest = text[:end], text[end:]
        return self._take(text) if text else []

    def overwrite(self, data: bytes) -> list[Item]:
        """Take the states of a progress bar whose line has not ended."""
        if self._utf16 is not None or (not self._begun and byte_order_mark(data)):
            return []
        self._begun = True
        self._ahead += len(data)
        self._reader.take_states(pieces(decode(data)))
        return self._rows()

    def settle(self) -> list[Item]:
        """Hand over records that wait for the line that follows them."""
        self._reader.settle()
        return self._rows()

    def finish(self) -> list[Item]:
        """Hand over what was held back: an unfinished line, and records not yet believed."""
        rest, self._rest = self._rest, ""
        items = self._take(rest) if rest else []
        self._reader.finish()
        for name, times in self._reader.admission.left_aside().items():
            self.tally.ignore(name, times)
        return items + self._rows()

    def _take(self, text: str) -> list[Item]:
        text = text.replace("\r\n", "\n").removesuffix("\n")
        lines = text.split("\n")
        if CUT in text:
            for number, line in enumerate(lines, start=self.tally.lines + 1):
                if line.endswith(CUT):
                    self.tally.skip(number, "line too long")
        if is_clean(text.replace("\t", " ")):
            steps = self._reader.take_all(lines, text.encode())
            if "\t" in text:
                lines = [x.expandtabs(TAB).rstrip() if "\t" in x else x for x in lines]
        else:
            steps = [self._reader.take_states(pieces(line)) for line in lines]
            lines = [clean(line) for line in lines]
        self.tally.lines += len(lines)
        return [LogLines(lines=lines, steps=steps), *self._rows()]

    def _end(self, line: bytes) -> list[Item]:
        """Take a line of which the first states are known."""
        ahead, self._ahead = self._ahead, 0
        step = self._reader.take_states(pieces(decode(line[ahead:])))
        self.tally.lines += 1
        if line.endswith(CUT_MARK):
            self.tally.skip(self.tally.lines, "line too long")
        return [LogLines(lines=[clean(decode(line))], steps=[step]), *self._rows()]

    def _rows(self) -> list[Item]:
        rows: list[Item] = list(self._reader.take_rows())
        if not self._series:
            return []
        self.tally.records = self._reader.rows.added
        return rows
