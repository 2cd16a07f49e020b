"""The result of `gradient_check`: the error of each parameter's gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from traintop_tui.charts.cells import Rows
from traintop_tui.charts.log_bars import draw_log_bars

LIMITS = (1e-12, 1.0)
"""From what double precision can tell, to nothing in common."""


class _Parameter(msgspec.Struct, frozen=True):
    name: str
    max_relative_error: float | None
    passed: bool


class _Result(msgspec.Struct, frozen=True):
    parameters: list[_Parameter]
    tolerance: float


def draw_gradient_check(result: Mapping[str, Any], width: int, height: int, braille: bool) -> Rows:
    """Draw a bar a parameter, in the order in which they are called.

    Raises:
        msgspec.ValidationError: The result is damaged.
    """
    read = msgspec.convert(result, _Result)
    return draw_log_bars(
        f"relative error of the gradient, 1e-12 to 1; passes up to {read.tolerance:g}",
        [each.name for each in read.parameters],
        [each.max_relative_error for each in read.parameters],
        [_note(each) for each in read.parameters],
        width,
        height,
        limits=LIMITS,
        braille=braille,
    )


def _note(parameter: _Parameter) -> str:
    error = parameter.max_relative_error
    word = "ok" if parameter.passed else "WRONG"
    return f"{'' if error is None else format(error, '.1e'):>8} {word:<5}"
