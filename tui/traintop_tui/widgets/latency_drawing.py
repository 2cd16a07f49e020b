"""The result of `latency`: percentiles by batch size, and the operators that take the most time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from traintop_tui.charts.bars import draw_bars
from traintop_tui.charts.cells import Row, Rows, fit_runs
from traintop_tui.charts.log_bars import draw_log_bars


class _Size(msgspec.Struct, frozen=True):
    batch_size: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


class _Operator(msgspec.Struct, frozen=True):
    name: str
    share: float
    ms: float


class _Result(msgspec.Struct, frozen=True):
    batch_sizes: list[_Size]
    top_ops: list[_Operator] = []
    top_ops_batch_size: int | None = None


def draw_latency(result: Mapping[str, Any], width: int, height: int, braille: bool) -> Rows:
    """Draw a bar a size, its median, and where there is room one for each operator.

    Raises:
        msgspec.ValidationError: The result is damaged.
    """
    read = msgspec.convert(result, _Result)
    if width < 1 or height < 1:
        return ((),) * max(height, 0)
    room = height - len(read.batch_sizes) - 3
    operators = height - len(read.batch_sizes) - 2 if room > 0 and read.top_ops else 0
    rows: list[Row] = list(
        draw_log_bars(
            "ms by batch size, logarithmic: p50, p95, p99",
            [str(each.batch_size) for each in read.batch_sizes],
            [each.p50_ms for each in read.batch_sizes],
            [f"{e.p50_ms:9.3f} {e.p95_ms:9.3f} {e.p99_ms:9.3f}" for e in read.batch_sizes],
            width,
            height - operators,
            braille=braille,
        )
    )
    if operators:
        size = read.top_ops_batch_size
        title = "time by operator" + ("" if size is None else f" at batch size {size}")
        rows.append(fit_runs([(title, "title")], width, ascii_only=not braille))
        rows += draw_bars(
            [each.name.removeprefix("aten::") for each in read.top_ops],
            [each.share for each in read.top_ops],
            [f"{each.share:6.1%} {each.ms:9.3f} ms" for each in read.top_ops],
            width,
            operators - 1,
            largest=1.0,
            braille=braille,
        )
    return tuple(rows)
