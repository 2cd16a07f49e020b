"""JSON documents that hold the history of a run, and are written whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from traintop.sources import histories, json_text
from traintop.sources.curves import Curves, arrange
from traintop.sources.decoder import Tally
from traintop.sources.keys import Keys
from traintop.sources.objects import Burst, ObjectDecoder
from traintop.sources.placing import RowMaker
from traintop.sources.run_settings import run_info_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from traintop.records import Item, RunInfo

LARGEST = 1 << 30
"""Bytes of a document; a larger one is not read."""
PLANS = ("max_steps", "num_train_epochs")
"""What stands beside the history of a Hugging Face Trainer and says how far it is to go."""


class JsonDocument:
    """Decodes a JSON document as soon as it is whole.

    Args:
        table: The table of its records; of several histories, that of the first.
        split_table: Names the table of records that say what part of the data they speak of.
    """

    by_lines = False
    rewritten = True

    def __init__(self, table: str, split_table: Callable[[str], str] | None = None) -> None:
        self.format = "json"
        self.tally = Tally()
        self._table = table
        self._split_table = split_table
        self._pieces: list[bytes] = []
        self._size = 0
        self._retry_at = 0
        self._brackets = json_text.Brackets()
        self._objects: dict[str, ObjectDecoder] = {}
        self._makers: dict[str, RowMaker] = {}
        self._names: dict[histories.Path, str] = {}  # of tables, by the place of their records

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that rows were handed over for so far."""
        return tuple(dict.fromkeys(name for made in self._makers.values() for name in made.tables))

    def feed(self, data: bytes) -> list[Item]:
        """Take bytes; what they say comes when all brackets are closed."""
        if self._size > LARGEST:
            return []
        self._pieces.append(data)
        self._size += len(data)
        self._brackets.feed(data)
        if self._size > LARGEST:
            self._pieces.clear()
            self.tally.skip(1, f"a document of more than {LARGEST >> 30} GiB is not read")
        elif self._brackets.closed and self._size >= self._retry_at:
            return self._read()
        return []

    def finish(self) -> list[Item]:
        """Hand over what an unfinished document says so far."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        if not data.strip():
            return []
        line = data.count(b"\n") + (not data.endswith(b"\n"))
        try:
            value = json_text.parse_beginning(data, whole_records=True)
        except (ValueError, RecursionError) as error:
            self.tally.skip(_line_of(error), f"not JSON: {_reason(error)}")
            return []
        self.tally.skip(line, "the document ends before its end: its last part is missing")
        return self._take(value, finite=False)

    def _read(self) -> list[Item]:
        data = b"".join(self._pieces)
        try:
            values, finite = json_text.parse(data)
        except (ValueError, RecursionError):
            # It may be half of an old and half of a new one. Not tried again at once, so that the
            # time stays linear in the bytes.
            self._pieces = [data]
            self._retry_at = 2 * self._size
            return []
        self._pieces.clear()
        self._brackets = json_text.Brackets()
        return [item for value in values for item in self._take(value, finite=finite)]

    def _take(self, value: object, *, finite: bool) -> list[Item]:
        found = histories.find(value)
        items: list[Item] = []
        for records in found.records:
            other = ".".join((self._table, *records.path))
            table = self._names.setdefault(records.path, other if self._names else self._table)
            items += self._take_records(table, records.rows, finite=finite)
        curves = arrange(found.arrays)
        for number, each in enumerate(curves):
            named = bool(found.records) or number > 0
            items += self._take_curves(f"{self._table}.{number}" if named else self._table, each)
        if not items and isinstance(value, dict):
            row = cast("dict[str, Any]", value)
            self.tally.note("no history, but single values")
            if not histories.holds_numbers(row):
                return []
            return self._take_records(self._table, [row], finite=finite)
        if isinstance(value, dict) and (info := _plan(cast("dict[str, Any]", value))) is not None:
            items.insert(0, info)
        names = [".".join(each.path) or "the document" for each in found.records]
        names += ["arrays of numbers"] * bool(curves)
        self.tally.why = f"a history is in {', '.join(names[:3])}" if names else ""
        return items

    def _take_records(self, table: str, rows: list[dict[str, Any]], *, finite: bool) -> list[Item]:
        objects = self._objects.setdefault(table, ObjectDecoder(self.tally))
        maker = self._makers.get(table)
        if maker is None:
            maker = self._makers[table] = RowMaker(objects.keys, table, self._split_table)
        items: list[Item] = []
        for burst in objects.take(rows, finite=finite):
            self.tally.records += burst.size
            items += maker.rows(burst)
        return items

    def _take_curves(self, table: str, curves: Curves) -> list[Item]:
        keys = Keys()
        keys.learn({name: float(curves.columns[name].values[0]) for name in curves.axes})
        maker = self._makers[table] = RowMaker(keys, table, None)
        self.tally.records += curves.size
        return list(maker.rows(Burst(curves.size, curves.columns, {})))


def _plan(beside: dict[str, Any]) -> RunInfo | None:
    """How far a training is to go, where that stands beside its history."""
    return run_info_of({name: beside[name] for name in PLANS if name in beside})


def _line_of(error: Exception) -> int:
    return int(getattr(error, "lineno", 1))


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
