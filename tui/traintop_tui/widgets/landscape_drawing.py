"""The result of `loss_landscape`: the plane as a heat-map, below it the line along the update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from traintop_tui.charts.cells import Row, Rows, fit_runs
from traintop_tui.charts.heatmap import Heatmap, draw, lay_out, value_limits
from traintop_tui.charts.numbers import format_value
from traintop_tui.charts.point_chart import draw_points
from traintop_tui.charts.ticks import Tick
from traintop_tui.widgets.result_numbers import Number, as_floats

LINE_ROWS = 9
"""Room for the line; with less than that beside the whole plane it is left out."""
AXIS_ROWS = 3
WIDE = 10.0
"""Losses that differ by such a factor are drawn on a logarithmic scale."""

_Places = Annotated[list[float], msgspec.Meta(min_length=1)]


class _Line(msgspec.Struct, frozen=True):
    optimizer: str
    multiples: list[float]
    losses: list[Number]
    lowest_at: float | None = None


class _Result(msgspec.Struct, frozen=True):
    alphas: _Places
    betas: _Places
    losses: list[list[Number]]
    center_loss: Number = None
    sharpness: Number = None
    update: _Line | None = None


def draw_landscape(result: Mapping[str, Any], width: int, height: int, braille: bool) -> Rows:
    """Draw alpha from left to right and beta from the bottom up; the weights are in the middle.

    Raises:
        msgspec.ValidationError: The result is damaged.
    """
    read = msgspec.convert(result, _Result)
    if any(len(row) != len(read.betas) for row in read.losses) or len(read.losses) != len(
        read.alphas
    ):
        raise msgspec.ValidationError("the losses do not fit the alphas and betas")
    if width < 1 or height < 1:
        return ((),) * max(height, 0)
    plane = height - 1
    line = read.update
    below = 0
    if line is not None and plane >= len(read.betas) + AXIS_ROWS + LINE_ROWS:
        below = plane - len(read.betas) - AXIS_ROWS
    rows = [_title(read, width, braille), *_plane(read, width, plane - below, braille)]
    if line is not None and below:
        title = f"loss along the update of {line.optimizer}, in multiples of its step"
        points = {"loss": (line.multiples, as_floats(line.losses))}
        if len(line.multiples) != len(line.losses):
            points = {}
        rows += draw_points(points, title, width, below, marked=line.lowest_at, braille=braille)
    return tuple(rows)


def _title(read: _Result, width: int, braille: bool) -> Row:
    text = "loss around the weights"
    if isinstance(read.center_loss, float | int):
        text += f", {format_value(read.center_loss)} at them"
    if isinstance(read.sharpness, float | int):
        text += f"; sharpness {format_value(read.sharpness)}"
    return fit_runs([(text, "title")], width, ascii_only=not braille)


def _plane(read: _Result, width: int, height: int, braille: bool) -> Rows:
    layout = lay_out(width, height)
    values = np.array([as_floats(row) for row in read.losses]).T[::-1]  # a row for each beta
    betas = read.betas[::-1]
    down = _spread(len(betas), min(layout.plot_height, len(betas)))
    each = max(layout.plot_width // len(read.alphas), 1)
    across = np.repeat(_spread(len(read.alphas), layout.plot_width // each), each)
    limits = value_limits(values, log=False)
    log = limits is not None and limits[0] > 0 and limits[1] > WIDE * limits[0]
    middle = len(read.alphas) // 2
    centre = np.flatnonzero(across == middle)
    heatmap = Heatmap(
        labels=tuple(f"{betas[row]:+.2f}" for row in down),
        values=values[np.ix_(down, across)],
        log=log,
        selected=next((y for y, row in enumerate(down) if row == len(betas) // 2), None),
        cursor=int(centre[len(centre) // 2]) if len(centre) else None,
        x_ticks=tuple(
            Tick(2.0 * float(at), f"{read.alphas[column]:+.2f}")
            for column in (0, middle, len(read.alphas) - 1)
            for at in np.flatnonzero(across == column)[:1]
        ),
        braille=braille,
    )
    return draw(heatmap, width, height)


def _spread(count: int, room: int) -> NDArray[np.int64]:
    """Return indexes of as many places as there is room for, the middle one among them."""
    if room >= count:
        return np.arange(count)
    if room < 1:
        return np.arange(0)
    offsets = (np.arange(room) - room // 2) * (count / room)
    places: NDArray[np.int64] = count // 2 + np.trunc(offsets).astype(np.int64)
    return np.clip(places, 0, count - 1)
