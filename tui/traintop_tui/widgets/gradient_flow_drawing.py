"""The result of `gradient_flow`: the gradient of each layer, and its status at each checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from traintop_tui.charts.cells import Rows
from traintop_tui.charts.log_bars import draw_log_bars


class _Layer(msgspec.Struct, frozen=True):
    name: str
    grad_norm: float | None
    status: str


class _Checkpoint(msgspec.Struct, frozen=True):
    step: int | None
    layers: list[_Layer]


class _Result(msgspec.Struct, frozen=True):
    layers: list[_Layer]
    checkpoints: list[_Checkpoint] = []


def draw_gradient_flow(result: Mapping[str, Any], width: int, height: int, braille: bool) -> Rows:
    """Draw a bar a layer, in the order in which they are called.

    Raises:
        msgspec.ValidationError: The result is damaged.
    """
    read = msgspec.convert(result, _Result)
    columns = [{layer.name: layer for layer in each.layers} for each in read.checkpoints[1:]]
    notes = [
        "  ".join(
            [_note(layer), *(_note(each[layer.name]) for each in columns if layer.name in each)]
        )
        for layer in read.layers
    ]
    steps = [str(each.step) for each in read.checkpoints if each.step is not None]
    title = "gradient norm by layer, logarithmic"
    if steps:
        title += f"; at step {', '.join(steps)}"
    return draw_log_bars(
        title,
        [layer.name for layer in read.layers],
        [layer.grad_norm for layer in read.layers],
        notes,
        width,
        height,
        braille=braille,
    )


def _note(layer: _Layer) -> str:
    size = "" if layer.grad_norm is None else f"{layer.grad_norm:.1e}"
    return f"{size:>7} {layer.status:<9}"
