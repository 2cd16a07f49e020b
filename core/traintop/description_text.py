"""What `traintop describe` prints for a person: in lines of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from traintop.description import Description, SeriesDescription, SourceDescription

WIDTH = 80
MOST_NAME = 34
"""Cells of a name in the table of series."""
MOST_SKIPS = 5
"""Lines passed over that are named one by one."""
MOST_IGNORED = 10
MOST_RUNS = 8
MOST_ALIKE = 12
REASONS = {
    "traintop/1": "the file names of a recorded run",
    "jsonl": "its lines are JSON objects",
    "text": "its lines are text",
}
"""By format, where its reader gives no reason."""
COUNTED = {"epoch": "steps are epochs", "record": "no step is written: records are numbered"}
"""By what the steps of a series count, where that is not steps."""


def to_text(description: Description) -> str:
    """Write a description."""
    runs = _count(description.runs, "run")
    lines = [f"{_clean(description.path)}: {description.state}, {runs}"]
    for source in description.sources:
        lines += _source(source, description.path)
    for path, what in description.same_curves.items():
        lines += _wrapped(f"{path.removeprefix(description.path).lstrip('/')}: {what}", 2)
    if description.runs > 1:
        lines += _runs(description)
    if description.series:
        lines += ["", *_series(description)]
        lines += ["", *_meanings(description)]
        lines += ["", *_how_to_correct(description)]
    rest = _rest(description)
    return "\n".join([*lines, *([""] if rest and description.series else []), *rest])


def _source(source: SourceDescription, path: str) -> Iterator[str]:
    inside = source.path.removeprefix(path).lstrip("/")
    name = inside or source.path.rpartition("/")[2]
    yield f"  {_clean(name)}: {source.format}, {_count(source.records, 'record')}"
    if source.error:
        yield from _wrapped(f"cannot be read: {source.error}", 4)
    elif reason := source.why or REASONS.get(source.format, ""):
        yield from _wrapped(f"why: {reason}", 4)
    for skip in source.skipped[:MOST_SKIPS]:
        yield from _wrapped(f"line {skip.line} passed over: {skip.why}", 4)
    if source.skipped_total > MOST_SKIPS:
        yield f"    {source.skipped_total} lines passed over in all"
    for note, count in source.notes.items():
        yield from _wrapped(f"{note} ({_count(count, 'record')})" if count else note, 4)
    if source.ignored:
        names = ", ".join(list(source.ignored)[:MOST_IGNORED])
        more = len(source.ignored) - MOST_IGNORED
        yield from _wrapped(f"no numbers, left aside: {names}{_more(more)}", 4)


def _runs(description: Description) -> Iterator[str]:
    shown = description.run_list[-MOST_RUNS:]
    first = len(description.run_list) - len(shown)
    if first:
        yield f"  runs 1 to {first} are not listed here"
    for index, run in enumerate(shown, first + 1):
        newest = "; all below is of this one" if index == description.runs else ""
        yield from _wrapped(
            f"run {index}: steps {run.first_step} to {run.last_step}, "
            f"{_count(run.records, 'record')}{newest}",
            2,
        )


def _series(description: Description) -> Iterator[str]:
    longest = max(len(series.name) for series in description.series)
    width = min(max(longest, len("series")), MOST_NAME)
    yield f"  {'series':{width}}  {'role':14} {'points':>7}  {'steps':13}  last"
    for series in description.series:
        bad = f", {series.nonfinite} not finite" if series.nonfinite else ""
        last = "-" if series.last is None else f"{series.last:.5g}"
        steps = f"{series.first_step}..{series.last_step}"
        name = _cut(_clean(series.name), width)
        unit = f" {series.unit}" if series.unit else ""
        yield (
            f"  {name:{width}}  {series.role or '-':14} {series.points:7}  {steps:13}"
            f"  {last}{unit}{bad}"
        )
    tokens = f" (tokens: {description.tokens})" if "tokens" in description.axes else ""
    counts = [
        COUNTED[axis] for axis in COUNTED if axis in {each.axis for each in description.series}
    ]
    yield from _wrapped("; ".join([f"x axes: {', '.join(description.axes)}{tokens}", *counts]), 2)
    resumed = [step for run in description.run_list[-1:] for step in run.resumed_at]
    if resumed:
        steps = ", ".join(map(str, resumed[:8]))
        yield from _wrapped(
            f"resumed, repeating records from step {steps}{_more(len(resumed) - 8)}: the later"
            " ones count",
            2,
        )


def _meanings(description: Description) -> Iterator[str]:
    with_role = [series for series in description.series if series.role is not None]
    yield "  what they mean" if with_role else "  no series has a role: little can be judged"
    for series in with_role:
        by = "" if series.role_from == "name" else f" (role from: {series.role_from})"
        yield from _wrapped(f"{series.role}: {_clean(series.name)}, {series.why}{by}", 4)
    alike: dict[str, list[str]] = {}
    for series in description.series:
        for mark in _marks(series):
            alike.setdefault(mark, []).append(_clean(series.name))
    for mark, names in alike.items():
        more = _more(len(names) - MOST_ALIKE)
        yield from _wrapped(f"{mark}: {', '.join(names[:MOST_ALIKE])}{more}", 4)


def _marks(series: SeriesDescription) -> Iterator[str]:
    """Yield what is to be said of a series, in words that come before its name."""
    if series.role is None and series.role_from is not None:
        yield f"no role, as {'you' if series.role_from == 'you' else 'the settings'} said"
    source = None if series.derived_from is None else _clean(series.derived_from)
    if source is not None:
        words = {"copy": "the same values as", "mean": "a mean of", "2^": "2 to the power of"}
        yield f"{words.get(series.how or '', series.how)} {source}"
    elif series.averaged is not None:
        yield f"an average ({series.averaged}), smoother than a step"
    if series.unit == "bits":
        yield "in bits, as its perplexity is 2 to that power"
    if series.constant:
        yield "constant"
    elif series.digits is not None:
        yield f"written with {_count(series.digits, 'digit')}"
    elif series.quantum is not None and series.quantum < 1:
        yield f"written to {series.quantum:.0e}".replace("e-0", "e-")
    least = series.quantum if series.digits is None else None
    if series.last == 0 and series.max and least is not None and series.max < 1e4 * least:
        yield "its 0 may be rounding"


def _how_to_correct(description: Description) -> Iterator[str]:
    if description.unused:
        names = ", ".join(repr(_clean(name)) for name in description.unused)
        yield from _wrapped(f"the settings speak of {names}, which no series is called", 2)
    free = (each for each in description.series if not (each.role or each.constant))
    name = next((_clean(series.name) for series in free), "a column")
    name = name.replace("\\", "\\\\").replace('"', '\\"')
    yield "  to correct a role, press R in the app, or write in traintop.toml:"
    yield f'    [roles]\n    "{name}" = "loss/val"      # any role above, or "none"'
    yield '    [axes]\n    step = "its column"         # also epoch, time, tokens'


def _rest(description: Description) -> list[str]:
    lines: list[str] = []
    if description.layers.names:
        records = _count(description.layers.records, "record")
        lines.append(f"  layers: {description.layers.names} in {records}")
    if description.log_lines:
        lines.append(f"  log: {_count(description.log_lines, 'line')}")
    for checkpoint in description.checkpoints:
        step = "unknown step" if checkpoint.step is None else f"step {checkpoint.step}"
        lines.append(f"  checkpoint: {_clean(str(checkpoint.path))} ({step})")
    return lines


def _wrapped(text: str, indent: int) -> Iterable[str]:
    return textwrap.wrap(
        _clean(text),
        WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _clean(text: str) -> str:
    """Names come from files: what a terminal would take for a command is replaced."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _cut(name: str, width: int) -> str:
    return name if len(name) <= width else f"{name[: width // 2 - 1]}..{name[-(width // 2 - 1) :]}"


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
