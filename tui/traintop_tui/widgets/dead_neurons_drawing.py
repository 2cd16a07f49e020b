"""The result of `dead_neurons`: the share of dead units of each layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from traintop_tui.charts.bars import draw_bars
from traintop_tui.charts.cells import Rows, fit_runs


class _Layer(msgspec.Struct, frozen=True):
    name: str
    dead: int | None = None
    units: int | None = None
    dead_fraction: float | None = None


class _Result(msgspec.Struct, frozen=True):
    layers: list[_Layer]


def draw_dead_neurons(result: Mapping[str, Any], width: int, height: int, braille: bool) -> Rows:
    """Draw a bar a layer, full where all units are dead.

    Raises:
        msgspec.ValidationError: The result is damaged.
    """
    layers = msgspec.convert(result, _Result).layers
    if width < 1 or height < 1:
        return ((),) * max(height, 0)
    title = fit_runs([("dead units by layer, share of all units", "title")], width)
    bars = draw_bars(
        [layer.name for layer in layers],
        [math.nan if layer.dead_fraction is None else layer.dead_fraction for layer in layers],
        [f"{_count(layer.dead)} of {_count(layer.units)}" for layer in layers],
        width,
        height - 1,
        largest=1.0,
        braille=braille,
    )
    return (title, *bars)


def _count(number: int | None) -> str:
    return "?" if number is None else str(number)
