"""The result of `nan_source`: the way through a step, and where numbers stop being finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from traintop_tui.charts.cells import Row, Rows, fit_runs

PHASES = ("weights", "input", "forward", "backward")


class _Stats(msgspec.Struct, frozen=True):
    shape: list[int]
    dtype: str
    min: float | None
    max: float | None
    nan: int
    inf: int


class _Result(msgspec.Struct, frozen=True):
    found: bool
    module: str | None = None
    phase: str | None = None
    kind: str | None = None
    what: str | None = None
    input_stats: list[_Stats] = []
    batch: int | None = None
    samples: list[int] | None = None


def draw_nan_source(result: Mapping[str, Any], width: int, height: int, braille: bool) -> Rows:
    """Draw a line a phase, in the order in which they come, then what the bad one was given.

    Raises:
        msgspec.ValidationError: The result is damaged.
    """
    read = msgspec.convert(result, _Result)
    if width < 1 or height < 1:
        return ((),) * max(height, 0)
    rows = [_row("where numbers stop being finite", "title", width, braille)]
    over = False
    for phase in PHASES:
        if phase == read.phase:
            over = True
            where = f"{read.what} in {read.module or 'the model'}" if read.what else "?"
            text, style = f"{(read.kind or '?').upper()} from {where}", "severity.critical"
        else:
            text, style = ("not reached" if over else "finite"), "text"
        rows.append(_row(f"  {phase:<9} {text}", style, width, braille))
    rows += [
        _row(f"  given     {_given(each)}", "text", width, braille) for each in read.input_stats
    ]
    if read.batch is not None:
        samples = ", ".join(str(each) for each in (read.samples or [])[:20])
        text = f"  batch     {read.batch}" + (f", samples {samples}" if samples else "")
        rows.append(_row(text, "text", width, braille))
    rows += [fit_runs((), width)] * (height - len(rows))
    return tuple(rows[:height])


def _row(text: str, style: str, width: int, braille: bool) -> Row:
    return fit_runs([(text, style)], width, ascii_only=not braille)


def _given(stats: _Stats) -> str:
    shape = "x".join(str(length) for length in stats.shape) or "scalar"
    span = "-" if stats.min is None or stats.max is None else f"{stats.min:.4g} to {stats.max:.4g}"
    return f"{shape} {stats.dtype}: {span}, {stats.nan} NaN, {stats.inf} infinite"
