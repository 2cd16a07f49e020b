"""From lines to records: what stands on one line, in a block of lines, in a table."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np

from traintop.sources.console.admission import NEAR, Admission
from traintop.sources.console.bulk import (
    MAX_MAKES,
    Make,
    keys_of,
    make_of,
    read_columns,
    runs_of,
)
from traintop.sources.console.coco import MARK as MARK_OF_COCO
from traintop.sources.console.coco import CocoSummary
from traintop.sources.console.joined import JoinedLines
from traintop.sources.console.mllog import MARK, mllog_records
from traintop.sources.console.numbers import NUMBER, NUMBER_OR_SPELLED, as_float, as_int
from traintop.sources.console.plan import Plan, plan_of
from traintop.sources.console.record import Block, Record
from traintop.sources.console.rowbuffer import RowBuffer
from traintop.sources.console.steady import is_plain, place_all
from traintop.sources.console.tables import HeadedTable, PairTable, headings_of, is_border
from traintop.sources.console.units import Units
from traintop.sources.console.vocabulary import split_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from traintop.records import Rows

MAX_LINE = 20_000
"""Characters of a line that are looked at."""
MAX_PLANS = 4096
MAX_NAMED = 256
"""Lines of one make whose names differ by a number."""
PIECE = 4096
FIRST_PIECE = 64
"""Lines looked at together, when makes are known and before."""
PIPES = ("|", "│", "┃")
PROSE = 512
"""So many more plans than lines that use one again are a text without records."""
_COUNTER = re.compile(
    r"(?:step|iter|iteration|epoch|batch|update|episode|tick|\bit)s?\b\W{0,6}\d|\d\s?/\s{0,8}\d",
    re.IGNORECASE,
)
_NOTHING = Plan()
_SECTION = re.compile(
    r"^[\s>*#=\[(-]*(?:start\w*|begin\w*|running|run|doing)?\s*"
    r"(?:train|val|eval|test|dev)\w*[^0-9{}=]{0,30}$",
    re.IGNORECASE,
)
_WORTH = re.compile(
    r"[A-Za-z%)\]\"']\d{0,3} ?[:=|]|step|iter|epoch|batch|loss|acc|\bit \d|\d\s?/\s?\d|^\s*\[",
    re.IGNORECASE,
)


class ConsoleReader:
    """Finds records in lines. What it finds does not depend on how the lines were cut into bursts.

    Args:
        main: The table of records that do not say what part of the data they speak of.
        split_table: Names the tables of those that do.
    """

    def __init__(self, main: str, split_table: Callable[[str], str]) -> None:
        self.rows = RowBuffer()
        self.admission = Admission(self.rows, main, split_table)
        self.units = Units()
        self._plans: dict[str, Plan] = {}
        self._made = self._spared = 0  # plans made, and lines that had one already
        self._block: Block | None = None
        self._section: str | None = None
        self._heading: Record | None = None
        """The newest line that names a step or an epoch and nothing else."""
        self._metered = False
        """Whether a meter was seen that was not full: its lines count batches, not epochs."""
        self._makes: dict[bytes, Make] = {}
        self._plan_used: Plan | None = None
        self._pairs = PairTable(self.units)
        self._in_pairs = False
        self._joined = JoinedLines()
        self._coco = CocoSummary()
        self._in_coco = False
        self._table: HeadedTable | None = None
        self._number = 0
        self.step = -1
        """The step that was named last."""

    def take_all(self, lines: list[str], data: bytes) -> list[int]:
        """Take lines in, many at once where they are of known makes; return the step of each.

        Args:
            lines: Without control sequences.
            data: The same lines as bytes.
        """
        keys, raw = keys_of(data), data.split(b"\n")
        steps: list[int] = []
        at = 0
        while at < len(lines):
            # Makes are learnt on the way, so the lines are looked at in pieces.
            until = min(at + (PIECE if self._makes else FIRST_PIECE), len(lines))
            makes = [self._makes.get(key) for key in keys[at:until]]
            for first, last, known in runs_of(makes):
                begin, end = at + first, at + last
                if known and self._take_run(raw[begin:end], makes[first:last], steps):
                    continue
                for index in range(begin, end):
                    self._plan_used = None
                    steps.append(self.take(lines[index], collapsed(lines[index])))
                    if keys[index] not in self._makes:
                        self._learn(keys[index], lines[index])
            at = until
        return steps

    def _learn(self, key: bytes, line: str) -> None:
        """Remember the make of a line that may be read in columns from now on."""
        plan = self._plan_used
        if plan is None or not is_plain(plan):
            return
        if self.admission.takes_all(plan) and len(self._makes) < MAX_MAKES:
            make = make_of(line, plan)
            if make is not None:
                self._makes[key] = make

    def _take_run(self, raw: list[bytes], makes: list[Make | None], steps: list[int]) -> bool:
        """Take lines of known makes in; False if that has to be done one by one."""
        if self._block is not None or self._in_pairs or self._in_coco or self._table is not None:
            return False
        known = [make for make in makes if make is not None]
        columns = read_columns(raw, known)
        if columns is None:
            for key in [key for key, make in self._makes.items() if make in known]:
                del self._makes[key]
            return False
        placed = place_all(columns, len(raw), self.admission.position)
        if placed is None:
            return False
        if not self.admission.take_all(columns, placed, self._number + len(raw)):
            return False
        self._number += len(raw)
        self._heading = None
        spoken = placed.step.copy()
        for some in columns:
            if some.plan.step is not None and some.plan.step.inner:
                spoken[some.lines] = -1.0
        named = spoken >= 0
        if named.all():
            steps += spoken.astype(np.int64).tolist()
        else:
            for step in spoken.tolist():
                self.step = int(step) if step >= 0 else self.step
                steps.append(self.step)
        self.step = steps[-1]
        return True

    def take_states(self, states: list[str]) -> int:
        """Take in the states that a line went through, and say of which step it speaks."""
        for state in states:
            self.take(state, collapsed(state))
        return self.step

    def take(self, line: str, flat: str) -> int:
        """Take a line in and say of which step it speaks.

        Args:
            line: One state of a line, without control sequences.
            flat: The same with runs of blanks made one.
        """
        if not flat or flat.isspace():
            return self.step
        self._number += 1
        if len(flat) > MAX_LINE:
            return self.step
        if self._joined.open or line[-1:] in ("{", ","):
            self._take_joined(self._joined.take(line))
            return self.step
        return self._take_whole(line, flat)

    def _take_joined(self, lines: list[str]) -> None:
        for line in lines:
            self._take_whole(line, collapsed(line))

    def _take_whole(self, line: str, flat: str) -> int:
        at = flat.find(MARK)
        if at >= 0:
            for record in mllog_records(flat[at + len(MARK) :], self._number):
                self.admission.admit(record)
            return self.step
        if flat[-2:].rstrip()[-1:] in PIPES and self._pairs.take(line, self._number):
            self._in_pairs = True
            return self.step
        if MARK_OF_COCO in line:
            if not self._coco.take(line, self._number):
                self._close_coco()
                self._coco.take(line, self._number)
            self._in_coco = True
            return self.step
        if self._in_coco:
            self._close_coco()
        if self._in_pairs:
            self._close_pairs()
        if self._table is not None and self._take_row(line):
            return self.step
        low = "nan" in flat or "inf" in flat or "NaN" in flat or "Inf" in flat or "NAN" in flat
        parts = (NUMBER_OR_SPELLED if low else NUMBER).split(flat)
        if len(parts) == 1:
            self._take_words(line)
            return self.step
        key = "\0".join(parts[::2])
        plan = self._plans.get(key)
        if plan is None:
            plan = self._new_plan(key, line, len(parts) > 3, low)
        elif plan.values:
            self._spared += 1
        if plan.discriminators:
            plan = self._named(plan, parts, line, low)
        if plan.columns:
            self._take_headings(line)
        elif plan.values or plan.step is not None or plan.epoch is not None:
            self._take_planned(plan, parts)
        elif self._block is not None and not plan.continues:
            self.close_block()
        return self.step

    def _new_plan(self, key: str, line: str, several: bool, low: bool) -> Plan:
        """The plan of lines that are met for the first time."""
        if self._made - self._spared > PROSE:
            # Hardly two lines are alike: this is no log of numbers, and not worth the work.
            if _COUNTER.search(line) is None:
                return _NOTHING
        elif not several and _WORTH.search(line) is None:
            return _NOTHING
        if len(self._plans) >= MAX_PLANS:
            self._plans.clear()
        self._made += 1
        plan = self._plans[key] = self._plan(line, low)
        return plan

    def _plan(self, line: str, low: bool) -> Plan:
        numbers = list((NUMBER_OR_SPELLED if low else NUMBER).finditer(line))
        return plan_of(line, numbers, self.units)

    def _named(self, plan: Plan, parts: list[str], line: str, low: bool) -> Plan:
        """The plan of lines with these numbers in their names."""
        names = tuple(parts[part] for part in plan.discriminators)
        found = plan.others.get(names)
        if found is None:
            if len(plan.others) >= MAX_NAMED:
                return Plan()
            found = plan.others[names] = self._plan(line, low)
        return found

    def _take_planned(self, plan: Plan, parts: list[str]) -> None:
        block = self._block
        if block is not None:
            if plan.continues and plan.values:
                for value in plan.values:
                    if value.name not in block.values:
                        block.values[value.name] = as_float(parts[value.part]) * value.factor
                block.metric = block.metric or plan.metric
                return
            if not block.parts and not plan.values and plan.step is None:
                return  # the epoch that an evaluation was made at
            self.close_block()
        if not plan.values:
            self._take_heading(plan, parts)
            return
        step = plan.step
        if step is not None and not step.inner:
            self.step = as_int(parts[step.part], self.step)
        self.admission.admit(self._record(plan, parts))
        self._plan_used = plan

    def _record(self, plan: Plan, parts: list[str]) -> Record:
        record = Record(plan, parts, self._number)
        if plan.meter and plan.partial is not None and record.count is not None:
            if record.count < record.total:
                self._metered = True
                return Record(plan.partial, parts, self._number)
            if not self._metered and not math.isnan(self.admission.position.epoch):
                record.count, record.epoch = None, self.admission.position.epoch
        section, total = self._section, self.admission.position.main_total
        if section not in (None, "train") and 0 < record.total != total > 0:
            record.split = record.split or section
        heading = self._heading
        if record.counted:
            self._heading = None
        elif heading is not None and self._number - heading.line <= NEAR:
            record.stand_with(heading)
        return record

    def _take_heading(self, plan: Plan, parts: list[str]) -> None:
        step, epoch = plan.step, plan.epoch
        if plan.bar and step is not None and step.total:
            self.admission.see_bar(as_float(parts[step.part]), as_float(parts[step.total]))
            return
        if step is not None and not step.inner:
            self.step = as_int(parts[step.part], self.step)
        if epoch is not None:
            self._section = None
            if step is None:
                self.admission.position.enter_epoch(as_float(parts[epoch.part]))
        self._block = Block(plan, parts, self._number, self._section)
        self._heading = Record(plan, parts, self._number)

    def _take_headings(self, line: str) -> None:
        headings = headings_of(line)
        if headings is not None:
            self._table = HeadedTable(headings, self.units)

    def _take_row(self, line: str) -> bool:
        """Take a row of a table in; False if the line is none."""
        if self._table is None or is_border(line):
            return True
        record = self._table.row(line, self._number)
        if record is not None:
            self.close_block()
            self.admission.admit(record)
            return True
        if self._table.ended:
            self._table = None
        return False

    def _close_pairs(self) -> None:
        self._in_pairs = False
        record = self._pairs.close()
        if record is not None:
            record.end = self._number
            self.admission.admit(record)

    def _close_coco(self) -> None:
        self._in_coco = False
        record = self._coco.close()
        if record is not None:
            record.end = self._number
            self.admission.admit(record)

    def _take_words(self, line: str) -> None:
        """Take a line without numbers in: a heading, a border, a sentence."""
        self._take_headings(line)
        self._coco.see_type(line)
        section = len(line) < 60 and _SECTION.match(line) is not None
        if self._block is not None:
            if line[:1] in " \t|" and line.strip() and not section:
                return
            self.close_block()
        if section:
            self._section = split_in(line)
            self._block = Block(Plan(), [], self._number, self._section)

    def close_block(self) -> None:
        """End the block that is open."""
        block, self._block = self._block, None
        if block is None or not block.values:
            return
        record = Record(block.plan, block.parts, block.line, block.values)
        record.end = self._number
        record.metric = block.metric
        if block.split not in (None, "train") and not record.over_run:
            record.split, record.count, record.epoch = block.split, None, None
        if not record.counted:
            record.family = "=" + ",".join(block.values)[:120]
        self.admission.admit(record)

    def settle(self) -> None:
        """Pass on what waits only for its neighbour: nothing has come for a while."""
        self._close_coco()
        self._close_pairs()
        self.close_block()
        self.admission.settle()

    def finish(self) -> None:
        """Nothing more will come."""
        self._take_joined(self._joined.close())
        self._close_coco()
        self._close_pairs()
        self.close_block()
        self.admission.finish()

    def take_rows(self) -> list[Rows]:
        """The rows that have come together since the last call."""
        return self.rows.take()


def collapsed(text: str) -> str:
    """A text with every run of blanks made one."""
    while "  " in text:
        text = text.replace("  ", " ")
    return text
