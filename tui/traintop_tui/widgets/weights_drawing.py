"""The result of `weights`: how far each layer has moved, or how large it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from traintop_tui.charts.cells import Rows
from traintop_tui.charts.log_bars import draw_log_bars


class _Layer(msgspec.Struct, frozen=True):
    name: str
    std: float | None
    norm: float | None
    change: float | None
    initial_std: float | None = None
    nan: int = 0


class _Result(msgspec.Struct, frozen=True):
    layers: list[_Layer]
    compared_step: int | None = None


def draw_weights(result: Mapping[str, Any], width: int, height: int, braille: bool) -> Rows:
    """Draw a bar a layer: its change since the checkpoint before, or its norm where there is none.

    Raises:
        msgspec.ValidationError: The result is damaged.
    """
    read = msgspec.convert(result, _Result)
    compared = any(layer.change is not None for layer in read.layers)
    title = "norm by layer, logarithmic; standard deviation (of a fresh model)"
    if compared:
        since = "" if read.compared_step is None else f" since step {read.compared_step}"
        title = f"change{since} over the norm, logarithmic; standard deviation (of a fresh model)"
    return draw_log_bars(
        title,
        [layer.name for layer in read.layers],
        [layer.change if compared else layer.norm for layer in read.layers],
        [_note(layer, layer.change if compared else layer.norm) for layer in read.layers],
        width,
        height,
        braille=braille,
    )


def _note(layer: _Layer, value: float | None) -> str:
    if layer.nan:
        return f"{layer.nan} not finite"
    return f"{_short(value)}  std {_short(layer.std)} ({_short(layer.initial_std)})"


def _short(value: float | None) -> str:
    return f"{'-' if value is None else format(value, '.2e'):>8}"
