"""W&B run files: the history becomes series, system metrics a table of their own, output a log.

Field numbers: wandb/proto/wandb_internal.proto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traintop.records import Column, Rows
from traintop.sources.decoder import Tally
from traintop.sources.lines import LineSplitter
from traintop.sources.objects import ObjectDecoder
from traintop.sources.placing import RowMaker
from traintop.sources.protobuf import BYTES, Malformed, fields
from traintop.sources.run_settings import run_info_of
from traintop.sources.textlog import TextLog
from traintop.sources.wandb.framing import Framing, Records, are_right
from traintop.sources.wandb.history import JOINT, json_lines
from traintop.sources.wandb.kinds import HISTORY, OTHER, split_records
from traintop.sources.wandb.messages import (
    PERCENT,
    read_exit,
    read_line,
    read_run,
    read_settings,
    read_stats,
)

if TYPE_CHECKING:
    from traintop.records import Floats, Item

SYSTEM = "system"
"""The table of the metrics of the machine."""

PRINTED = 20
"""Rows of the output after which a run without a history is taken to have none."""

_AXES = frozenset({"_runtime", "_wandb.runtime"})
"""Items that say when a row was written, beside those that `Keys` knows."""

Indices = NDArray[np.int64]
Stats = tuple[float, dict[str, float]]


class WandbFile:
    """Decodes `.wandb` files as any client writes them, old and new, finished or still growing.

    The checksums of all records are checked that something is taken from; the summaries between
    them, which repeat what the history says, are passed over unread. A record that is not whole yet
    is waited for.

    Args:
        table: The table of the history.
        system: The table of the machine's metrics.
    """

    format = "wandb"
    by_lines = False
    rewritten = False

    def __init__(self, table: str, system: str = SYSTEM) -> None:
        self.tally = Tally()
        self.tally.why = "it begins as the run files of W&B do"
        self._framing = Framing(self._skip)
        self._objects = ObjectDecoder(self.tally)
        self._maker = RowMaker(self._objects.keys, table)
        self._media: tuple[str, ...] = ()  # what the names of parts of media begin with
        self._system = system
        self._system_used = False
        self._step = 0.0  # the last one of the history
        self._records = 0
        self._lines = LineSplitter()
        self._log = TextLog("console", _console_table)
        self._printed: list[Rows] | None = []  # rows of the output; None: there is a history
        self._printing = False  # whether those of the output are the run's rows

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that rows were handed over for so far."""
        system = (self._system,) if self._system_used else ()
        return (*self._maker.tables, *system, *(self._log.tables if self._printing else ()))

    def feed(self, data: bytes) -> list[Item]:
        """Take bytes, cut anywhere."""
        records = self._framing.feed(data)
        if not len(records.starts):
            return []
        whole = records.data
        contents = split_records(np.frombuffer(whole, np.uint8), records.starts, records.ends)
        taken = self._taken(records, contents.kinds)
        rows = np.flatnonzero(taken & (contents.kinds == HISTORY))
        history = self._history(whole, contents.starts[rows], contents.ends[rows])
        if history:
            self._printed = None
        items: list[Item] = [*history]
        self._records += len(records.starts)
        self.tally.records += len(rows)
        system: list[Stats] = []
        stands: list[int] = []  # how many rows came before each of them
        output: list[bytes] = []
        for one in np.flatnonzero(taken & (contents.kinds == OTHER)).tolist():
            start, end = int(records.starts[one]), int(records.ends[one])
            try:
                items += self._other(whole, start, end, system, output)
            except Malformed as error:
                self.tally.skip(self._records, f"no record: {error}")
            if len(system) > len(stands):
                stands.append(int(np.searchsorted(rows, one)))
        items += self._console(output)
        steps = np.concatenate(([self._step], *(made.step for made in history)))
        if system:
            # A row that could not be read has no step.
            items.append(self._system_rows(system, steps[np.minimum(stands, len(steps) - 1)]))
        self._step = float(steps[-1])
        return items

    def finish(self) -> list[Item]:
        """Hand over the last line of the output, and its rows where there is no history."""
        rest = self._lines.flush()
        items = self._logged((self._log.feed(rest) if rest else []) + self._log.finish())
        printed, self._printed = self._printed, None if self._printed is None else []
        self._printing = self._printing or bool(printed)
        return items + list(printed or ())

    def leap(self, offset: int) -> None:
        """Go on at the block that begins at this place of the file."""
        self._framing.leap(offset)
        self._lines.clear()

    def _skip(self, offset: int, why: str) -> None:
        self.tally.skip(self._records + 1, f"byte {offset}: {why}")

    def _taken(self, records: Records, kinds: Indices) -> NDArray[np.bool_]:
        """Which records have the checksum that they should; those that are not read pass."""
        taken = np.ones(len(kinds), np.bool_)
        looked = np.flatnonzero(~records.checked & ((kinds == HISTORY) | (kinds == OTHER)))
        if len(looked):
            taken[looked] = are_right(records, looked)
            for one in np.flatnonzero(~taken).tolist():
                self.tally.skip(self._records + one + 1, "wrong checksum")
        return taken

    # --- history -----------------------------------------------------------------------------

    def _history(self, whole: bytes, starts: Indices, ends: Indices) -> list[Rows]:
        if not len(starts):
            return []
        places = zip(starts.tolist(), ends.tolist(), strict=True)
        lines, problems = json_lines([whole[start:end] for start, end in places])
        for problem in problems:
            self.tally.skip(self._records + 1, f"no row: {problem}")
        made: list[Rows] = []
        for burst in self._objects.decode(lines):
            columns = {name.replace(JOINT, "."): column for name, column in burst.columns.items()}
            made += self._maker.rows(burst._replace(columns=self._measured(columns)))
        return made

    def _measured(self, columns: dict[str, Column]) -> dict[str, Column]:
        """The columns that are no parts of a picture, a table, a histogram or the like."""
        ignored = self.tally.ignored
        for name in [name for name in ignored if JOINT in name]:
            plain = name.replace(JOINT, ".")
            ignored[plain] = ignored.get(plain, 0) + ignored.pop(name)
        for name in [name for name in ignored if name.endswith(("._type", "/_type"))]:
            medium = name[: -len("/_type")]
            self._media = tuple({*self._media, f"{medium}.", f"{medium}/"})
            ignored[medium] = ignored.get(medium, 0) + ignored.pop(name)
        for name in [name for name in ignored if name.startswith(self._media)]:
            del ignored[name]
        return {
            name: column
            for name, column in columns.items()
            if name not in _AXES and not name.startswith(self._media)
        }

    # --- other records -----------------------------------------------------------------------

    def _other(
        self,
        data: bytes,
        start: int,
        end: int,
        system: list[Stats],
        output: list[bytes],
    ) -> list[Item]:
        """Read a record that is no row; what it holds is added to what is collected."""
        for field in fields(data, start, end):
            if field.wire != BYTES:
                continue
            match field.number:
                case 4 | 13:
                    output.append(read_line(data, field))
                case 7:
                    system.append(read_stats(data, field))
                case 5:
                    return self._settings(read_settings(data, field))
                case 17:
                    return self._settings(read_run(data, field))
                case 18:
                    return [read_exit(data, field)]
                case _:
                    pass
        return []

    def _settings(self, settings: dict[str, Any]) -> list[Item]:
        info = run_info_of(settings)
        return [] if info is None else [info]

    def _console(self, output: list[bytes]) -> list[Item]:
        lines = self._lines.feed(b"".join(output)) if output else b""
        return self._logged(self._log.feed(lines)) if lines else []

    def _logged(self, items: list[Item]) -> list[Item]:
        """Of what the output holds, the lines; the rows as well where the history has none."""
        kept: list[Item] = []
        for item in items:
            if not isinstance(item, Rows) or self._printing:
                kept.append(item)
            elif self._printed is not None:
                self._printed.append(item)
        if self._printed is not None and sum(len(one.step) for one in self._printed) >= PRINTED:
            kept += self._printed
            self._printed, self._printing = None, True
        return kept

    def _system_rows(self, system: list[Stats], steps: Floats) -> Rows:
        self._system_used = True
        names = dict.fromkeys(name for _, values in system for name in values)
        columns: dict[str, Column] = {}
        for name in names:
            if name.rpartition(".")[2] in PERCENT:
                self.tally.units[name] = "%"
            rows = [row for row, (_, values) in enumerate(system) if name in values]
            columns[name] = Column(
                values=np.array([system[row][1][name] for row in rows]),
                rows=None if len(rows) == len(system) else np.array(rows, np.int64),
            )
        count = len(system)
        return Rows(
            table=self._system,
            step=steps,
            epoch=np.full(count, np.nan),
            time=np.array([when for when, _ in system]),
            columns=columns,
        )


def _console_table(split: str) -> str:
    return f"console/{split}"
