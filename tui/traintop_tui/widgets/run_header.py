"""The line at the top: which run, how it stands, how far it is, the worst finding."""

from __future__ import annotations

import numpy as np

from traintop.records import Finding
from traintop.store import Run as TrainingRun
from traintop.units import factor_of
from traintop_tui.charts.cells import Row, Rows, Run, cell_width, fit_middle, fit_runs, row_width
from traintop_tui.charts.numbers import format_duration, format_value
from traintop_tui.model import Model
from traintop_tui.widgets.canvas import Canvas

STATE_SIGNS = {
    "waiting": "…",
    "running": "▶",
    "finished": "■",
    "stalled": "‖",
    "crashed": "✖",
    "unknown": "?",
}
ASCII_STATE_SIGNS = {
    "waiting": ".",
    "running": ">",
    "finished": "#",
    "stalled": "=",
    "crashed": "x",
    "unknown": "?",
}
STATE_STYLES = {"stalled": "severity.warning", "crashed": "severity.critical"}
LEAST_FINDING = 4
"""Cells: the sign of its severity."""
LEAST_NAME = 8
"""Cells of the name of a run below which it says nothing."""
RATE_RECORDS = 100
"""The rate is that of so many of the newest records."""
LONGEST_STEP = 60.0
"""Seconds of a step that are believed where no unit is written."""


class RunHeader(Canvas):
    """One line that is always right; what matters least goes first where there is no room."""

    def build(self, width: int, height: int) -> Rows:
        """Draw the line: the run at the left, the worst finding at the right."""
        left, right = arrange(self.model, width)
        gap = max(width - row_width(left) - row_width(right), 0)
        return (fit_runs((*left, (" " * gap, "header"), *right), width),)

    def on_click(self) -> None:
        """Go to the findings."""
        self.app.call_later(self.app.run_action, "show_findings")


def arrange(model: Model, width: int) -> tuple[Row, Row]:
    """Return the left and the right part of the line, together at most `width` cells.

    State and step stay whatever the width; then come, as far as there is room, the worst finding,
    what is still read, the name of the run, the time that is left, which run it is, its epoch and
    its rate.
    """
    state = model.update.state
    signs = ASCII_STATE_SIGNS if model.view.ascii else STATE_SIGNS
    status = f" {signs[state]} {state} " if model.replay is None else " as it was at "
    words = facts(model)
    needed = {key: cell_width(word) + 2 for key, word in words.items()}
    room = width - cell_width(status) - needed.get("step", 0)
    kept = {"step"}
    finding = worst_finding(model)
    # A long title is cut rather than left out, but leaves half of the line to the run.
    most = max(min(room, width // 2), 0)
    finding = fit_runs(finding, min(row_width(finding), most)) if most >= LEAST_FINDING else ()
    room -= row_width(finding)
    name = model.session.name
    name_room = min(cell_width(name), max(width // 5, LEAST_NAME))
    needed["name"] = name_room + 2
    for key in ("loading", "name", "ETA", "run", "epoch", "rate"):
        if needed.get(key, width) <= room:
            kept.add(key)
            room -= needed[key]
    left: list[Run] = []
    if "name" in kept:
        size = min(cell_width(name), name_room + room)
        left.append((f" {fit_middle(name, size)} ", "header.name"))
    left.append((status, STATE_STYLES.get(state, "header")))
    left += [(f" {word} ", "header") for key, word in words.items() if key in kept]
    return tuple(left), finding


def facts(model: Model) -> dict[str, str]:
    """Return what can be said of the run, in the order in which it is written."""
    run, found = model.run, dict[str, str]()
    count = len(model.session.store.runs)
    if count > 1 and run is not None:
        found["run"] = f"run {run.index + 1}/{count}"
    if run is not None and run.last_step is not None:
        planned = model.info.planned_steps
        found["step"] = f"step {run.last_step}" + (f"/{planned}" if planned else "")
        main = run.main
        if main is not None and len(main) and np.isfinite(main.epoch[-1]):
            found["epoch"] = f"epoch {format_value(round(float(main.epoch[-1]), 2))}"
        found |= _pace(model, run)
    if model.update.loading:
        share = model.update.bytes_read / max(model.update.bytes_total, 1)
        found["loading"] = f"loading {int(100 * share)}%"
    elif model.judged < 1:
        found["loading"] = f"judging {int(100 * model.judged)}%"
    return found


def _pace(model: Model, run: TrainingRun) -> dict[str, str]:
    """Return steps a second and the time to the planned end, where the records tell."""
    main = run.main
    if main is None or len(main) < 2:
        return {}
    times, steps = main.time[-RATE_RECORDS:], main.step[-RATE_RECORDS:]
    elapsed = float(times[-1] - times[0])
    rate = float(steps[-1] - steps[0]) / elapsed if elapsed > 0 else _rate_by_step_time(model, run)
    if rate is None:
        return {}
    words = {"rate": f"{format_value(float(f'{rate:.3g}'))} steps/s"}
    planned = model.info.planned_steps
    if planned and rate > 0 and (model.update.state == "running" or model.replay is not None):
        left = (planned - 1 - float(steps[-1])) / rate
        if left > 0:
            words["ETA"] = f"ETA {format_duration(left)}"
    return words


def _rate_by_step_time(model: Model, run: TrainingRun) -> float | None:
    """Return steps a second where records carry no times but say how long a step took."""
    ref = model.catalogue.by_role(run, "step_time")
    if ref is None:
        return None
    series = run.tables[ref.table].series[ref.name]
    count = len(series)
    newest = [series.value(at) for at in range(max(count - RATE_RECORDS, 0), count)]
    took = float(np.median(newest)) * factor_of(ref, series) if newest else 0.0
    if ref.unit is None and took > LONGEST_STEP:
        return None  # These may be milliseconds.
    return 1 / took if 0 < took < np.inf else None


def worst_finding(model: Model) -> Row:
    """Return the worst finding that has not ended and is not muted, else that there is none."""
    worst = model.worst()
    if worst is None:
        judging = model.update.loading or model.judged < 1
        said = " not judged yet " if judging else " no open finding "
        return ((said, "header"),) if model.run is not None else ()
    others = sum(each.resolved_step is None for each in model.told()) - 1
    more = f" +{others}" if others else ""
    return (
        (f" {sign(worst, model.view.ascii)} {worst.title}{more} ", f"severity.{worst.severity}"),
    )


def sign(finding: Finding, ascii_only: bool) -> str:
    """Return the sign of a severity: colour is never the only carrier."""
    signs = (
        {"info": "i", "warning": "!", "critical": "X"}
        if ascii_only
        else {
            "info": "ℹ",
            "warning": "▲",
            "critical": "✖",
        }
    )
    return signs[finding.severity]
