"""The result of `lr_find`: the loss over the learning rate, and where the suggestion lies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from traintop_tui.charts.cells import Rows
from traintop_tui.charts.numbers import format_value
from traintop_tui.charts.point_chart import draw_points

_Positive = Annotated[float, msgspec.Meta(gt=0, lt=1e300)]


class _Result(msgspec.Struct, frozen=True):
    lrs: list[_Positive]
    losses: list[float | None]
    smoothed: list[float | None] = []
    suggested: _Positive | None = None


def draw_lr_find(result: Mapping[str, Any], width: int, height: int, braille: bool) -> Rows:
    """Draw the loss and what it is when smoothed; curves of another length are left out.

    Raises:
        msgspec.ValidationError: The result is damaged.
    """
    read = msgspec.convert(result, _Result)
    title = "loss over learning rate"
    if read.suggested is not None:
        title += f", suggested {format_value(read.suggested)}"
    curves = {"loss": read.losses, "smoothed": read.smoothed}
    points = {
        name: (read.lrs, [math.nan if loss is None else loss for loss in losses])
        for name, losses in curves.items()
        if len(losses) == len(read.lrs)
    }
    return draw_points(
        points, title, width, height, log_x=True, marked=read.suggested, braille=braille
    )
