"""The result of `predictions`: the confusion matrix, or a bar a class where it has no room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from traintop_tui.charts.bars import draw_bars
from traintop_tui.charts.cells import Row, Rows, Run, fit_runs
from traintop_tui.charts.numbers import format_count

NOTABLE = 0.05
"""Share of a label's samples from which on a confusion stands out."""


class _Class(msgspec.Struct, frozen=True):
    support: int
    f1: float
    name: int = msgspec.field(name="class")


class _Result(msgspec.Struct, frozen=True):
    kind: str
    confusion: list[list[Any]] | None = None
    classes: list[int] = []
    per_class: list[_Class] = []
    r2: float | None = None


class _Matrix(msgspec.Struct, frozen=True):
    confusion: list[list[int]]


def draw_predictions(result: Mapping[str, Any], width: int, height: int, braille: bool) -> Rows:
    """Draw a row a label and a column a prediction.

    Raises:
        msgspec.ValidationError: The result is damaged.
    """
    read = msgspec.convert(result, _Result)
    if width < 1 or height < 1:
        return ((),) * max(height, 0)
    if read.kind == "classes":
        counts = msgspec.convert(result, _Matrix).confusion
        rows = _matrix(counts, read.classes, braille)
        square = all(len(row) == len(read.classes) == len(counts) for row in counts)
        if square and len(rows) <= height and _needed(counts, read.classes) <= width:
            return _filled(rows, width, height, braille)
    if not read.per_class:
        text = "r2 not defined" if read.r2 is None else f"r2 {read.r2:.4f}"
        return _filled([((text, "title"),)], width, height, braille)
    bars = draw_bars(
        [str(each.name) for each in read.per_class],
        [each.f1 for each in read.per_class],
        [f"{each.f1:.3f} of {format_count(each.support)}" for each in read.per_class],
        width,
        height - 1,
        largest=1.0,
        braille=braille,
    )
    title: Row = (("F1 by class, of how many labels", "title"),)
    return _filled([title, *bars], width, height, braille)


def _filled(rows: Sequence[Row], width: int, height: int, braille: bool) -> Rows:
    rows = [*rows[:height], *[()] * (height - len(rows))]
    return tuple(fit_runs(row, width, ascii_only=not braille) for row in rows)


def _cell_width(counts: list[list[int]], classes: list[int]) -> int:
    longest = [format_count(count) for row in counts for count in row]
    return 1 + max(map(len, [*longest, *map(str, classes)]), default=1)


def _needed(counts: list[list[int]], classes: list[int]) -> int:
    return _cell_width(counts, classes) * (len(classes) + 1)


def _matrix(counts: list[list[int]], classes: list[int], braille: bool) -> list[Row]:
    cell = _cell_width(counts, classes)
    down, right = ("↓", "→") if braille else ("v", ">")
    rows: list[Row] = [((f"label {down}  predicted {right}", "title"),)]
    rows.append(((" " * cell + "".join(f"{name:>{cell}}" for name in classes), "label"),))
    for at, (name, line) in enumerate(zip(classes, counts, strict=False)):
        total = sum(line)
        row: list[Run] = [(f"{name:>{cell}}", "label")]
        for other, count in enumerate(line):
            if other == at:
                style = "series0"
            else:
                style = "severity.warning" if count > NOTABLE * total else "label"
            # Zeros would hide the pattern.
            text = format_count(count) if count or other == at else "."
            row.append((f"{text:>{cell}}", style))
        rows.append(tuple(row))
    return rows
