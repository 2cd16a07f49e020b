"""What each number of a line is: a counter, a total, a measurement with its name, or nothing.

The numbers of a line cut it into parts; lines with the same parts have the same plan. Making a plan
takes many times as long as using it, and a log has few.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from traintop.sources.console.field import Field
from traintop.sources.console.keyed import fields_of
from traintop.sources.console.prefix import prefix_of
from traintop.sources.console.vocabulary import (
    EPOCHS,
    INNER,
    NEVER_PER_EPOCH,
    NOT_METRICS,
    SETTINGS,
    STEPS,
    is_metric,
    is_result,
    normal,
    split_in,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traintop.sources.console.units import Units

MAX_NAME = 80
MAX_NUMBERS = 512
"""A line with more is a dump of data."""
_SETTINGS = re.compile(
    r"\b(?:Namespace|argparse|Arguments|Config|config|hparams|kwargs|args)\b\s*[:=({]"
)
_CODE = re.compile(
    r"^\s*(?:def|class|import|from|return(?! ?[:=])|if|elif|else|for|while|with|assert|print"
    r"|self\.|#|@|//|raise|try)\b|[{(]f['\"]|=\s*self\.|\+=|(?:^|\s)--[a-z][\w-]*[= ]"
)
_INDENT = re.compile(r"(?:\s{2}|\s\|)[|>\s-]*$")
_BAR = re.compile(r"\d{1,3}%\|")
_OUTPUT = re.compile(r"((?:Train|Test) net output #\d+): *$")
_LED = re.compile(
    r"(train(?:ing)?|val(?:id)?(?:ation)?|eval(?:uation)?|test(?:ing)?|dev) ", re.IGNORECASE
)
_IS_BEST = re.compile(r"\bbest\b", re.IGNORECASE)
_IMPROVED = re.compile(r"\b(?:improved|(?:did not|didn't) improve)\b")
_CLASSES = re.compile(r"Class\s{2,}Images\s")
"""The columns of ultralytics' validation, behind which a progress bar may stand."""
_BEST = re.compile(
    r"\b(?:best|lowest|highest|resum\w*|restor\w*|load\w*|sav\w*(?! dict)|checkpoint\w*|writ\w*)\b",
    re.IGNORECASE,
)


class Value(NamedTuple):
    """A number of a line that measures something."""

    part: int
    """Its place among the parts of the line."""
    name: str
    factor: float
    """What to multiply it by for the unit of its series."""
    glued: bool
    """Whether a unit is written right behind it, so that NaN says that there is none yet."""
    over: int = 0
    """The part of the number that it is a share of (`9843/10000`); 0 if there is none."""


class Count(NamedTuple):
    """A counter of a line."""

    part: int
    name: str
    total: int = 0
    """The part of its total; 0 if none is written."""
    inner: bool = False
    """Whether it begins anew in each epoch, for sure."""
    over_run: bool = False
    """Whether it rises over the whole run, for sure."""


class Plan:
    """What the numbers of lines with the same parts are."""

    __slots__ = (
        "bar", "columns", "continues", "dictionary", "discriminators", "epoch", "family", "meter",
        "metric", "others", "partial", "rank", "split", "step", "sure",
        "tagged", "values",
    )  # fmt: skip

    def __init__(self) -> None:
        self.values: tuple[Value, ...] = ()
        self.step: Count | None = None
        self.epoch: Count | None = None
        self.rank = 0
        """The part of the rank's number, negative for a rank that is part of the text; 0: none."""
        self.split: str | None = None
        self.family = ""
        self.continues = False
        """Whether it is a further line of a block."""
        self.dictionary = False
        self.bar = False
        self.meter = False
        """Whether its values are means over the epoch so far, until it is full (Keras)."""
        self.metric = False
        """Whether one of its names is that of a measurement beyond doubt."""
        self.partial: Plan | None = None
        """What they are until then."""
        self.discriminators: tuple[int, ...] = ()
        """Parts that belong to names: lines that differ in them have plans of their own."""
        self.others: dict[tuple[str, ...], Plan] = {}
        self.sure = False
        """Whether `:` or `=` stands behind each name, and none is a sentence."""
        self.tagged = False
        """Whether its step is a number alone before the message, which may be a rank as well."""
        self.columns = False
        """Whether it may be a line that names the columns of a table."""


def plan_of(line: str, numbers: Sequence[re.Match[str]], units: Units) -> Plan:
    """Find out what the numbers of a line are.

    Args:
        line: As it was written.
        numbers: Its numbers, as `NUMBER` finds them.
        units: Of the series found so far.
    """
    plan = Plan()
    prefix = prefix_of(line)
    if prefix.rank is not None:
        at = next((2 * i + 1 for i, n in enumerate(numbers) if n.start() == prefix.rank), 0)
        plan.rank = at or -1 - int(re.match(r"\d+", line[prefix.rank :])[0])  # type: ignore[index]
    first = next((i for i, n in enumerate(numbers) if n.start() >= prefix.end), len(numbers))
    body = line[prefix.end :]
    plan.columns = first == len(numbers) or _CLASSES.match(body) is not None
    if (
        first == len(numbers)
        or len(numbers) > MAX_NUMBERS
        or _CODE.search(body[:200])
        or _SETTINGS.search(body[:400])
    ):
        return plan
    fields = fields_of(line, numbers, first, prefix.end)
    plan.bar = _BAR.search(line) is not None
    plan.dictionary = body.startswith("{") or "{'" in body or '{"' in body
    _find_counters(plan, fields)
    indented = _is_indented(line, prefix.end)
    if prefix.bare and plan.step is None and plan.epoch is None and not indented:
        plan.step, plan.rank, plan.tagged = Count(max(plan.rank, 1), "step"), 0, True
    plan.meter = (
        plan.step is not None
        and plan.step.total > 0
        and re.match(r"\s*\d+\s*/\s*\d+\s*(?:\[[=>.]|━|- |\x1b|$|\s\S*━)", body) is not None
    )
    plan.discriminators = tuple(2 * f.index + 1 for f in fields if f.kind == "name")
    heads = _sections(fields)
    led = ""
    best = _IS_BEST.search(line[prefix.end : numbers[first].start()]) is not None
    plan.split = prefix.split if prefix.split != "train" else None
    distinct = {head for head in heads.values() if head is not None}
    valued = [f for f in fields if f.kind == "value" and f.name and not f.counter]
    late = bool(distinct) and bool(valued) and heads[valued[0].index] is None
    """Whether the part of the data is named behind the first value, which is of another."""
    values: list[Value] = []
    taken: set[str] = set()
    used = {plan.step.part if plan.step else 0, plan.epoch.part if plan.epoch else 0}
    for field in fields:
        part = 2 * field.index + 1
        if field.kind not in ("value", "average", "share") or not field.name or part in used:
            continue
        if (plan.bar or plan.meter) and not field.explicit:
            continue
        name = cleaned(field.name)
        last = normal(name.rpartition("/")[2] if plan.dictionary else name)
        if not name or last in NOT_METRICS or _IMPROVED.search(name):
            continue
        again = field.total >= 0 or normal(name) in EPOCHS | INNER or name.count(" ") > 2
        if field.counter and again:
            continue
        head = heads.get(field.index)
        if head is not None and (len(distinct) > 1 or late) and split_in(name) is None:
            name = f"{head}/{name}"
        if not values:
            best = best or _IS_BEST.search(line[prefix.end : field.key_start]) is not None
        if best and "best" not in name.lower():
            name = f"best {name}"
        word = _LED.match(name)
        if word is not None:
            led = word[1]
        elif led and head is None and is_result(name) and split_in(name) is None:
            name = f"{led} {name}"
        output = _OUTPUT.search(line[prefix.end : field.key_start])
        if output is not None:
            name = f"{output[1]}: {name}"
        if field.kind == "average":
            name += " (%)" if field.unit == "%" else "_avg"
        while name in taken:
            stem, _, count = name.rpartition("_")
            name = f"{stem}_{int(count) + 1}" if count.isdigit() and stem else f"{name}_2"
        taken.add(name)
        over = 2 * field.total + 1 if field.total >= 0 else 0
        factor = units.factor(name, field.unit) if not over else 1.0
        values.append(Value(part, name, factor, field.glued, over))
    named = {normal(field.name) for field in fields if field.name and not field.counter}
    named |= {normal(field.counter) for field in fields if field.counter and field.explicit}
    if len(named & SETTINGS) > 1:
        values = []
        plan.step = plan.epoch = None
    plan.values = tuple(values)
    plan.sure = bool(values) and all(
        field.explicit and field.name.count(" ") < 4 and len(cleaned(field.name)) > 1
        for field in fields
        if 2 * field.index + 1 in {value.part for value in values}
    )
    if len(distinct) == 1 and not late:
        (only,) = distinct
        plan.split = None if only == "train" else only
    plan.metric = any(is_metric(value.name) for value in values)
    plan.continues = plan.step is None and plan.epoch is None and indented and not plan.dictionary
    counted = plan.step or plan.epoch
    if plan.meter:
        plan.partial = _partial(plan)
    if counted is not None:
        bar = _BAR.search(line, prefix.end)
        start = bar.start() if bar else numbers[counted.part // 2].start()
        head_text = re.sub(r"[\s\d.]+", "", line[prefix.end : start])[-60:]
        plan.family = f"{head_text}|{plan.step and plan.step.name}|{plan.epoch and plan.epoch.name}"
    else:
        plan.family = "=" + ",".join(value.name for value in values)[:120]
    if plan.partial is not None:
        plan.partial.family = plan.family
    if (
        _BEST.search(line[prefix.end : fields[0].key_start + 12] if fields else "")
        and plan.step is not None
        and not plan.bar
    ):
        plan.values, plan.metric = (), False
    return plan


def _is_indented(line: str, start: int) -> bool:
    """Whether a message stands below another: it begins with blanks, or with a bar."""
    return line[:1] in " \t|" or _INDENT.search(line[max(start - 40, 0) : start]) is not None


def _partial(plan: Plan) -> Plan:
    """The plan of a line whose values are means over a part of the epoch, named as such."""
    partial = Plan()
    partial.step, partial.epoch, partial.rank = plan.step, plan.epoch, plan.rank
    partial.metric, partial.bar = plan.metric, True
    partial.values = tuple(value._replace(name=value.name + "_avg") for value in plan.values)
    return partial


def _find_counters(plan: Plan, fields: Sequence[Field]) -> None:
    """Choose the step and the epoch among the counters of a line."""
    best: tuple[int, Field] | None = None
    for field in fields:
        if not field.counter:
            continue
        name = normal(field.counter)
        if name in EPOCHS:
            if name == "epochs" and len(fields) == 1 and field.explicit and field.total < 0:
                continue  # how many there are to be
            if plan.epoch is None:
                total = 2 * field.total + 1 if field.total >= 0 else 0
                plan.epoch = Count(2 * field.index + 1, name, total)
            continue
        order = STEPS.index(name) if name in STEPS else 1000 if name in INNER else 2000
        if best is None or order < best[0]:
            best = order, field
    if best is None:
        return
    field = best[1]
    name = normal(field.counter)
    if field.epoch_of and plan.epoch is None:  # WeNet: `Batch 3/100` is batch 100 of epoch 3
        plan.epoch = Count(2 * field.index + 1, "epoch")
        plan.step = Count(2 * field.total + 1, name, inner=True)
        return
    episode = next((f for f in fields if f.counter == "ep" and f is not field), None)
    if episode is not None and plan.epoch is None and name != "#":
        total = 2 * episode.total + 1 if episode.total >= 0 else 0
        plan.epoch = Count(2 * episode.index + 1, "epoch", total)
    if name == "#" and plan.epoch is None and field.total < 0 and not field.leads:
        return
    plan.step = Count(
        2 * field.index + 1,
        name,
        2 * field.total + 1 if field.total >= 0 else 0,
        inner=name in INNER or (name == "#" and (plan.epoch is not None or field.total >= 0)),
        over_run=name in NEVER_PER_EPOCH,
    )


def _sections(fields: Sequence[Field]) -> dict[int, str | None]:
    """The part of the data that each value belongs to, by what stands before its name."""
    current: str | None = None
    heads: dict[int, str | None] = {}
    for field in fields:
        found = split_in(field.before) if field.before else None
        if found is not None:
            current = found
        heads[field.index] = current
    return heads


def cleaned(name: str) -> str:
    """A name without what surrounds it; empty if it can be none."""
    if name.count("(") > name.count(")"):
        name = name.rpartition("(")[2]
    elif name.count(")") > name.count("("):
        name = name.replace(")", "")
    name = " ".join(name.split()).strip("\"'`*_-+.,;:<>=|&$!?~^\\ ")
    if not name or len(name) > MAX_NAME or name.count(" ") > 6:
        return ""
    return name if any(char.isalpha() for char in name) else ""
