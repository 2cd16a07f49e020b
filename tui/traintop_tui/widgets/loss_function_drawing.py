"""The result of `loss_function`: where the loss starts beside guessing, and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from traintop_tui.charts.bars import draw_bars
from traintop_tui.charts.cells import Row, Rows, fit_runs
from traintop_tui.charts.numbers import format_value
from traintop_tui.wrapping import wrap


class _Result(msgspec.Struct, frozen=True):
    initial_loss: float | None = None
    expected_initial_loss: float | None = None
    loss: float | None = None
    output_range: tuple[float, float] | None = None
    looks_like: str | None = None
    warnings: list[str] = []


def draw_loss_function(result: Mapping[str, Any], width: int, height: int, braille: bool) -> Rows:
    """Draw a bar for each loss, then the outputs and the warnings in words.

    Raises:
        msgspec.ValidationError: The result is damaged.
    """
    read = msgspec.convert(result, _Result)
    if width < 1 or height < 1:
        return ((),) * max(height, 0)
    named = [
        (name, value)
        for name, value in (
            ("of guessing", read.expected_initial_loss),
            ("initial", read.initial_loss),
            ("now", read.loss),
        )
        if value is not None
    ]
    rows: list[Row] = [(("loss", "title"),)]
    rows += draw_bars(
        [name for name, _ in named],
        [value for _, value in named],
        [format_value(value) for _, value in named],
        width,
        len(named),
        largest=max((value for _, value in named), default=0.0),
        braille=braille,
    )
    if read.output_range is not None:
        low, high = map(format_value, read.output_range)
        like = (read.looks_like or "values").replace("_", " ")
        rows.append(((f"outputs {low} to {high}: {like}", "text"),))
    if not read.warnings:
        rows.append((("nothing wrong with the loss function", "text"),))
    for warning in read.warnings:
        rows += [((part, "severity.warning"),) for part in wrap(warning, width)]
    rows += [()] * (height - len(rows))
    return tuple(fit_runs(row, width, ascii_only=not braille) for row in rows[:height])
