"""The result of `shapes`: the modules with their outputs and parameters, and what fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from traintop.analyses.shapes import shape_text
from traintop_tui.charts.bars import draw_bars
from traintop_tui.charts.cells import Rows, fit_runs
from traintop_tui.charts.numbers import format_count


class _Module(msgspec.Struct, frozen=True):
    name: str
    type: str
    parameters: int
    output: Any = None
    calls: int = 0


class _Error(msgspec.Struct, frozen=True):
    text: str
    fix: str = ""
    module: str | None = None


class _Result(msgspec.Struct, frozen=True):
    modules: list[_Module]
    parameters: int
    error: _Error | None = None


def draw_shapes(result: Mapping[str, Any], width: int, height: int, braille: bool) -> Rows:
    """Draw a bar a module, by its parameters; above them what does not fit.

    Raises:
        msgspec.ValidationError: The result is damaged.
    """
    read = msgspec.convert(result, _Result)
    if width < 1 or height < 1:
        return ((),) * max(height, 0)
    title = f"{format_count(read.parameters)} parameters by module; shape of the output"
    head = [((title, "title"),)]
    if read.error is not None:
        where = read.error.module or "the loss"
        head.append(((f"{where}: {read.error.text}", "severity.critical"),))
        if read.error.fix:
            head.append(((f"try: {read.error.fix}", "text"),))
    modules = [each for each in read.modules if each.name]
    shapes = [shape_text(each.output) if each.calls else "not called" for each in modules]
    counts = [format_count(each.parameters) if each.parameters else "" for each in modules]
    bars = draw_bars(
        [f"{each.name} {each.type}" for each in modules],
        [float(each.parameters) for each in modules],
        [f"{count}  {shape}" for shape, count in zip(shapes, counts, strict=True)],
        width,
        max(height - len(head), 0),
        largest=float(max((each.parameters for each in modules), default=0)),
        braille=braille,
    )
    rows = (*head, *bars)[:height]
    return tuple(fit_runs(row, width, ascii_only=not braille) for row in rows)
