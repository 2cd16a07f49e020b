"""Tables in console text: two columns with a name a line, and columns below a line of headings."""

from __future__ import annotations

import re
from typing import NamedTuple

from traintop.sources.console.numbers import NUMBER_OR_SPELLED, as_float, is_count
from traintop.sources.console.plan import Count, Plan, cleaned
from traintop.sources.console.prefix import prefix_of
from traintop.sources.console.record import Record
from traintop.sources.console.units import Units
from traintop.sources.console.vocabulary import (
    EPOCHS,
    INNER,
    NOT_METRICS,
    STEPS,
    is_metric,
    normal,
)

MAX_COLUMNS = 256
MAX_PAIR = 400
"""Characters of a line of a table with two columns."""
COUNTERS_AMONG = 3
"""Among so many columns at the start counters are looked for."""
MOST_ODD_LINES = 3
"""So many lines that are no rows end a table."""

_PIPE = re.compile(r"[|│┃]")
_BORDER = re.compile(r"[\s|+=_*╭╮╰╯─━│┃┌┐└┘├┤┬┴┼═╪┏┓┗┛┡┩┠┨╇┳┻╋╞╡-]+$")
_CELLS = re.compile(r"\t[\t ]*|\s{2,}|\s*[|│┃]\s*")
_FIRST = re.compile(
    r"(?:[|│┃#]\s*)?(?:epochs?|iter|iteration|step|class|it|episode|update|round|ep|trial name)\b"
    r"|E\s+#",
    re.IGNORECASE,
)
_SHORT = {"E": "epoch", "#": "step"}
"""spaCy's names of its first columns."""
_NAME = re.compile(r"#$|[^\W\d][\w ./@%#()+:'-]{0,60}$")
_BAR = re.compile(r"\s\d{1,3}%\s?\|")
_SHARE = re.compile(r"\A(\d{1,16})\s?/\s?\d{1,16}$")


def is_border(line: str) -> bool:
    """Whether a line consists of what tables are drawn with."""
    return _BORDER.match(line) is not None


class PairTable:
    """A table that has a name and a value a line, as RL libraries print them."""

    def __init__(self, units: Units) -> None:
        self._units = units
        self._values: dict[str, float] = {}
        self._section = ""
        self._line = 0

    def take(self, line: str, number: int) -> bool:
        """Take a line in; False if it is none of a table."""
        first = _PIPE.search(line) if len(line) < MAX_PAIR else None
        if first is None or (line[: first.start()].strip() and prefix_of(line).end < first.end()):
            return False
        pieces = _PIPE.split(line[first.start() :].strip())
        if len(pieces) != 4 or pieces[0] or pieces[3] or not pieces[1].strip():
            return False
        name, cell = pieces[1].strip(), pieces[2].strip()
        indent = len(pieces[1]) - len(pieces[1].lstrip())
        if not self._values and not self._section:
            self._line = number
        if not cell:
            self._section = name if name.endswith("/") else ""
            return True
        value = NUMBER_OR_SPELLED.match(cell)
        if value is not None:
            section = self._section if indent > 1 else ""
            full = cleaned(section + name.strip(". "))
            if full and full not in self._values and len(self._values) < MAX_COLUMNS:
                unit = cell[value.end() :].strip()
                self._values[full] = as_float(value[0]) * self._units.factor(full, unit)
        return True

    def close(self) -> Record | None:
        """The record that the table is, if it holds one."""
        values, self._values, self._section = self._values, {}, ""
        if not values:
            return None
        plan = Plan()
        parts = ["", "", ""]
        order = {name: STEPS.index(last) for name in values if (last := _last(name)) in STEPS}
        if order:
            name = min(order, key=lambda name: (order[name] >= _EPISODES, order[name]))
            plan.step = Count(1, name, over_run=True)
            parts[1] = repr(values[name])
        epoch = next((name for name in values if _last(name) in EPOCHS), None)
        if epoch is not None:
            plan.epoch = Count(2, epoch)
            parts[2] = repr(values[epoch])
        plan.family = f"pairs {plan.step and plan.step.name} {epoch}"
        plan.metric = any(map(is_metric, values))
        if not order and epoch is None:
            plan.family += ",".join(values)[:120]
        return Record(plan, parts, self._line, values)


_EPISODES = STEPS.index("episode")


def _last(name: str) -> str:
    return normal(name.rpartition("/")[2])


def _spread(names: tuple[str, ...], cells: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """Part cells that hold several values below as many words, single blanks between them."""
    if not any(" " in cell for cell in cells):
        return names, cells
    each = [
        (words, values)
        if len(words := name.split(" ")) == len(values := cell.split(" ")) > 1
        and all(map(NUMBER_OR_SPELLED.fullmatch, values))
        else ([name], [cell])
        for name, cell in zip(names, cells, strict=True)
    ]
    return tuple(w for words, _ in each for w in words), [v for _, values in each for v in values]


class Headings(NamedTuple):
    """The names of the columns of a table."""

    names: tuple[str, ...]
    plan: Plan
    single: bool
    """Whether a single blank parts its cells."""


def headings_of(line: str) -> Headings | None:
    """The columns that a line names; None if it is no line of headings."""
    body = _BAR.split(line[prefix_of(line).end :], maxsplit=1)[0].strip().rstrip(":")
    if _FIRST.match(body) is None or len(body) > 2000 or "=" in body:
        return None
    if re.match(r"[^\s]+\s*:", body) and not body.startswith("Class"):
        return None
    cells = [cell for cell in _CELLS.split(body) if cell]
    single = len(cells) == 1
    if single:
        cells = body.split(" ")
    if not 2 <= len(cells) <= MAX_COLUMNS or not all(map(_NAME.match, cells)):
        return None
    plan = Plan()
    names = tuple(cleaned(cell) for cell in cells)
    plan.family = "table " + ",".join(names)[:200]
    plan.metric = any(is_metric(name) for name in names[1:])
    if normal(cells[0]) == "class":
        plan.split = "val"
        return Headings(names, plan, single)
    trials = normal(cells[0]) == "trial_name"
    for place, cell in enumerate(cells if trials else cells[:COUNTERS_AMONG]):
        name = _SHORT.get(cell, normal(cell))
        if name in EPOCHS and plan.epoch is None:
            plan.epoch = Count(place, name)
        elif (name in STEPS or name in INNER) and plan.step is None:
            plan.step = Count(place, name)
    counters = [count.part for count in (plan.epoch, plan.step) if count is not None]
    return Headings(names, plan, single) if 0 in counters or (trials and counters) else None


class HeadedTable:
    """Rows below a line of headings."""

    def __init__(self, headings: Headings, units: Units) -> None:
        self._headings = headings
        self._units = units
        self._odd = 0

    @property
    def ended(self) -> bool:
        """Whether too many lines were none of its rows."""
        return self._odd > MOST_ODD_LINES

    def row(self, line: str, number: int) -> Record | None:
        """The record of a row; None if the line is none."""
        names, plan, single = self._headings
        body = line[prefix_of(line).end :].strip().removeprefix("|").strip()
        cells = [cell for cell in (body.split(" ") if single else _CELLS.split(body)) if cell]
        if len(cells) == len(names):
            names, cells = _spread(names, cells)
        elif len(cells) > len(names):
            words = tuple(word for name in names for word in name.split(" "))
            names = words if len(words) == len(cells) else names
        if len(cells) < len(names) - (0 if single else 1) or (single and len(cells) != len(names)):
            self._odd += 1
            return None
        counts = [_SHARE.sub(r"\1", cell) for cell in cells]
        counters = [count.part for count in (plan.epoch, plan.step) if count is not None]
        if not all(is_count(counts[part]) for part in counters) if counters else cells[0] != "all":
            self._odd += 1
            return None
        values: dict[str, float] = {}
        for place, (name, cell) in enumerate(zip(names, cells, strict=False)):
            found = NUMBER_OR_SPELLED.match(cell)
            if found is None or place in counters or normal(name) in NOT_METRICS or not name:
                continue
            rest = cell[found.end() :]
            if rest[:1] not in ("", ":", "%", " ", ")") and not rest.isalpha():
                continue
            if rest[:1] == ":" and len(rest) > 1 and rest[1].isdigit():
                continue  # a time
            values.setdefault(name, as_float(found[0]) * self._units.factor(name, rest.strip()))
        if not values:
            return None
        self._odd = 0
        record = Record(plan, counts, number, values)
        record.replaces = bool(counters)
        record.certain = not counters
        return record
