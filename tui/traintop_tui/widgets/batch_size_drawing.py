"""The result of `batch_size`: throughput and memory of each size that was tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from traintop_tui.charts.bars import draw_bars
from traintop_tui.charts.cells import Rows, fit_runs
from traintop_tui.charts.numbers import format_value


class _Trial(msgspec.Struct, frozen=True):
    batch_size: int
    ok: bool
    samples_per_sec: float | None = None
    peak_memory_mb: float | None = None
    limit: str | None = None


class _Result(msgspec.Struct, frozen=True):
    largest: int | None
    tried: list[_Trial]
    knee: int | None = None
    noise_scale: float | None = None


def draw_batch_size(result: Mapping[str, Any], width: int, height: int, braille: bool) -> Rows:
    """Draw a bar a size: its throughput.

    Raises:
        msgspec.ValidationError: The result is damaged.
    """
    read = msgspec.convert(result, _Result)
    if width < 1 or height < 1:
        return ((),) * max(height, 0)
    title = f"samples per second by batch size; largest {_count(read.largest)}"
    title += f", levels off at {_count(read.knee)}"
    if read.noise_scale is not None:
        title += f", noise scale {format_value(read.noise_scale)}"
    rates = [trial.samples_per_sec or 0.0 for trial in read.tried]
    bars = draw_bars(
        [str(trial.batch_size) for trial in read.tried],
        rates,
        [_note(trial) for trial in read.tried],
        width,
        height - 1,
        largest=max(rates, default=0.0),
        braille=braille,
    )
    return (fit_runs([(title, "title")], width, ascii_only=not braille), *bars)


def _note(trial: _Trial) -> str:
    if not trial.ok:
        return f"too much {trial.limit or 'memory'}"
    rate = "?" if trial.samples_per_sec is None else format_value(trial.samples_per_sec)
    peak = "" if trial.peak_memory_mb is None else f"{trial.peak_memory_mb:>8.0f} MiB"
    return f"{rate}/s{peak}"


def _count(number: int | None) -> str:
    return "?" if number is None else str(number)
