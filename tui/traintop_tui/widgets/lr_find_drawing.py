"""The result of `lr_find`: the loss over the learning rate, and where the suggestion lies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from traintop_tui.charts.cells import Rows
from traintop_tui.charts.point_chart import draw_points

BEGINNING = 5
"""The first such part of the rates is too small to change the loss: it shows its noise."""
HEADROOM = 0.1

_Positive = Annotated[float, msgspec.Meta(gt=0, lt=1e300)]


class _Result(msgspec.Struct, frozen=True):
    lrs: list[_Positive]
    losses: list[float | None]
    smoothed: list[float | None] = []
    suggested: _Positive | None = None
    range: tuple[_Positive, _Positive] | None = None


def draw_lr_find(result: Mapping[str, Any], width: int, height: int, braille: bool) -> Rows:
    """Draw the loss and what it is when smoothed; curves of another length are left out.

    Raises:
        msgspec.ValidationError: The result is damaged.
    """
    read = msgspec.convert(result, _Result)
    title = "loss over learning rate"
    if read.suggested is not None:
        title += f", suggested {read.suggested:.2e}"
    if read.range is not None:
        title += " in {:.2e} to {:.2e}".format(*read.range)
    curves = {"loss": read.losses, "smoothed": read.smoothed}
    points: dict[str, tuple[list[float], list[float]]] = {
        name: (read.lrs, [math.nan if loss is None else loss for loss in losses])
        for name, losses in curves.items()
        if len(losses) == len(read.lrs)
    }
    return draw_points(
        points,
        title,
        width,
        height,
        log_x=True,
        marked=read.suggested,
        between=read.range,
        shown=in_sight(*(losses for _, losses in points.values())),
        faded="loss" if len(points) > 1 else None,
        braille=braille,
    )


def in_sight(*curves: Sequence[float]) -> tuple[float, float] | None:
    """Return the losses that a range test is read from; None where there are none.

    From the least to as far above where it begins as the least lies below: the divergence at its
    end, a hundred times as high, would flatten the valley that is looked for.

    Args:
        curves: Losses, by rising learning rate.
    """
    finite = [[y for y in curve if math.isfinite(y)] for curve in curves]
    finite = [curve for curve in finite if curve]
    if not finite:
        return None
    begin = max(max(curve[: max(len(curve) // BEGINNING, 1)]) for curve in finite)
    least = min(map(min, finite))
    reach = max(begin - least, HEADROOM * abs(begin))
    return (least, begin + reach) if reach > 0 else None
