"""The result of `overfit_one_batch`: the loss over the steps, of each optimizer that was tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from traintop_tui.charts.cells import Rows
from traintop_tui.charts.point_chart import draw_points
from traintop_tui.widgets.result_numbers import Number, as_floats


class _Attempt(msgspec.Struct, frozen=True):
    optimizer: str
    lr: float
    losses: list[Number]


class _Result(msgspec.Struct, frozen=True):
    passed: bool
    losses: list[Number]
    samples: int | None = None
    attempts: list[_Attempt] = []


def draw_overfit(result: Mapping[str, Any], width: int, height: int, braille: bool) -> Rows:
    """Draw a curve for each optimizer.

    Raises:
        msgspec.ValidationError: The result is damaged.
    """
    read = msgspec.convert(result, _Result)
    curves = {f"{each.optimizer} {each.lr:.0e}": as_floats(each.losses) for each in read.attempts}
    if not curves:
        curves = {"loss": as_floats(read.losses)}
    some = "" if read.samples is None else f" of {read.samples} samples"
    title = f"{'passed' if read.passed else 'FAILED'}: loss on one batch{some}, by step"
    points = {name: ([float(x) for x in range(len(y))], y) for name, y in curves.items()}
    return draw_points(points, title, width, height, braille=braille)
