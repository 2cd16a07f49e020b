"""How long a frame of a chart takes, beside plotext in the same run.

    python bench/charts.py [--repeat 200] [--json]

Prints process CPU milliseconds, medians. A frame of ours is drawn from pixel columns, as the store
hands them over; plotext is given the same columns as points, so that neither reduces anything.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import plotext

from traintop_tui.charts.cells import changed_spans
from traintop_tui.charts.frame import Curve, Layout, Plot, lay_out
from traintop_tui.charts.heatmap import Heatmap
from traintop_tui.charts.heatmap import draw as draw_heatmap
from traintop_tui.charts.line_chart import draw
from traintop_tui.charts.scale import choose_limits, data_range
from traintop_tui.charts.smoothing import smooth
from traintop_tui.charts.xaxis import x_ticks, x_window


def noisy_curves(
    layout: Layout, series: int, *, smoothed: bool, seed: int = 0
) -> tuple[Curve, ...]:
    """Return decaying curves with noise and a few non-finite columns."""
    random = np.random.default_rng(seed)
    columns = layout.columns
    base = 2.3 * np.exp(-3 * np.linspace(0, 1, columns)) + 0.1
    curves: list[Curve] = []
    for index in range(series):
        noise = np.abs(random.normal(0, 0.05, (2, columns)))
        lo, hi = base * (1 + 0.3 * index) - noise[0], base * (1 + 0.3 * index) + noise[1]
        nonfinite = np.zeros(columns, dtype=np.int64)
        nonfinite[columns // 2 : columns // 2 + 2] = 1
        lo[nonfinite > 0] = hi[nonfinite > 0] = np.nan
        name = f"run {index}"
        style = "faded" if smoothed else "series"
        curves.append(Curve(name, f"{style}{index}", lo, hi, nonfinite, faded=smoothed))
        if smoothed:
            line = smooth((lo + hi) / 2, 0.9)
            curves.append(Curve(name, f"series{index}", line, line, nonfinite))
    return tuple(curves)


def plot_of(layout: Layout, curves: tuple[Curve, ...]) -> Plot:
    """Return everything that a panel computes for a frame, limits and ticks included."""
    window = x_window(0, 48_000)
    span = data_range([c.lo for c in curves], [c.hi for c in curves], robust=True) or (0.0, 1.0)
    return Plot(
        curves=curves,
        limits=choose_limits(*span),
        x_ticks=x_ticks(window, layout.columns),
        cursor=40,
        title=(("loss", "title"),),
    )


def plotext_frame(width: int, height: int, curves: tuple[Curve, ...]) -> str:
    """Draw the extremes of the same columns, which is what keeps every spike, with plotext."""
    plotext.clear_figure()
    plotext.limit_size(False, False)
    plotext.plot_size(width, height)
    for curve in curves:
        known = np.isfinite(curve.lo)
        x = np.repeat(np.arange(len(curve.lo))[known], 2)
        y = np.column_stack([curve.lo[known], curve.hi[known]]).ravel()
        plotext.plot(x.tolist(), y.tolist(), marker="braille")
    return str(plotext.build())


def median_ms(action: Callable[[], object], repeat: int) -> float:
    """Return the median CPU time of an action in milliseconds."""
    action()
    times: list[float] = []
    for _ in range(repeat):
        start = time.process_time_ns()
        action()
        times.append((time.process_time_ns() - start) / 1e6)
    return statistics.median(times)


def measure(repeat: int) -> dict[str, float]:
    """Measure all cases; name -> milliseconds a frame."""
    figures: dict[str, float] = {}
    for width, height in ((100, 30), (80, 8)):
        layout = lay_out(width, height)
        for series, smoothed in ((1, False), (4, False), (8, False), (4, True)):
            curves = noisy_curves(layout, series, smoothed=smoothed)
            plot = plot_of(layout, curves)
            size = f"{width}x{height}, {series} series{' raw and smoothed' if smoothed else ''}"
            figures[f"{size}: frame"] = median_ms(lambda p=plot, to=layout: draw(p, to), repeat)
            figures[f"{size}: limits, ticks and frame"] = median_ms(
                lambda c=curves, to=layout: draw(plot_of(to, c), to), repeat
            )
            figures[f"{size}: plotext {plotext.__version__}"] = median_ms(
                lambda c=curves, w=width, h=height: plotext_frame(w, h, c), max(repeat // 20, 3)
            )
    layout = lay_out(100, 30)
    frames = [
        draw(plot_of(layout, noisy_curves(layout, 4, smoothed=False, seed=s)), layout)
        for s in (0, 1)
    ]
    figures["100x30, 4 series: compare two frames"] = median_ms(
        lambda: changed_spans(frames[0].rows, frames[1].rows), repeat
    )
    values = 10 ** np.random.default_rng(0).normal(-3, 2, (500, 200))
    heatmap = Heatmap(labels=tuple(f"blocks.{i}.attn.weight" for i in range(500)), values=values)
    figures["200x60 heat-map of 500 layers"] = median_ms(
        lambda: draw_heatmap(heatmap, 200, 60), repeat
    )
    return figures


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=200, help="frames a case")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    arguments = parser.parse_args()
    figures = measure(arguments.repeat)
    if arguments.json:
        print(json.dumps({name: round(value, 4) for name, value in figures.items()}))
        return
    for name, value in figures.items():
        print(f"{value:8.3f} ms  {name}")


if __name__ == "__main__":
    main()
