"""The line at the top: which run, how it stands, how far it is, the worst finding."""

from __future__ import annotations

import numpy as np

from traintop.records import SEVERITIES, Finding
from traintop.store import Run
from traintop_tui.charts.cells import Row, Rows, fit_runs, row_width
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
RATE_RECORDS = 100
"""The rate is that of so many of the newest records."""


class RunHeader(Canvas):
    """One line that is always right."""

    def build(self, width: int, height: int) -> Rows:
        """Draw the line: what is left of it goes to the path, the worst finding stands right."""
        model = self.model
        left = left_part(model)
        right = worst_finding(model)
        gap = width - row_width(left) - row_width(right)
        if gap < 1:
            return (fit_runs((*right, (" ", "header"), *left), width, filler="header"),)
        return ((*left, (" " * gap, "header"), *right),)

    def on_click(self) -> None:
        """Go to the findings."""
        self.app.call_later(self.app.run_action, "show_findings")


def left_part(model: Model) -> Row:
    """Return name, state, step, epoch, rate and ETA."""
    state = model.update.state
    signs = ASCII_STATE_SIGNS if model.view.ascii else STATE_SIGNS
    runs: list[tuple[str, str]] = [
        (f" {model.session.name} ", "header.name"),
        (f" {signs[state]} {state} ", STATE_STYLES.get(state, "header")),
    ]
    words: list[str] = []
    run = model.run
    count = len(model.session.store.runs)
    if count > 1 and run is not None:
        words.append(f"run {run.index + 1}/{count}")
    if run is not None and run.last_step is not None:
        words.append(_progress(model, run))
        words += _pace(model, run)
    if model.update.loading:
        share = model.update.bytes_read / max(model.update.bytes_total, 1)
        words.append(f"loading {int(100 * share)}%")
    elif model.update.judged < 1:
        words.append(f"judging {int(100 * model.update.judged)}%")
    return (*runs, (" " + "  ".join(words), "header"))


def _progress(model: Model, run: Run) -> str:
    planned = model.session.store.info.planned_steps
    text = f"step {run.last_step}" + (f"/{planned}" if planned else "")
    main = run.main
    if main is not None and len(main) and np.isfinite(main.epoch[-1]):
        text += f"  epoch {format_value(round(float(main.epoch[-1]), 2))}"
    return text


def _pace(model: Model, run: Run) -> list[str]:
    """Return steps a second and the time to the planned end, where the records carry times."""
    main = run.main
    if main is None or len(main) < 2:
        return []
    times, steps = main.time[-RATE_RECORDS:], main.step[-RATE_RECORDS:]
    elapsed = float(times[-1] - times[0])
    if not elapsed > 0:
        return []
    rate = float(steps[-1] - steps[0]) / elapsed
    words = [f"{format_value(float(f'{rate:.3g}'))} steps/s"]
    planned = model.session.store.info.planned_steps
    if planned and rate > 0 and model.update.state == "running":
        left = (planned - 1 - float(steps[-1])) / rate
        if left > 0:
            words.append(f"ETA {format_duration(left)}")
    return words


def worst_finding(model: Model) -> Row:
    """Return the worst finding that has not ended, else that there is none."""
    open_now = [finding for finding in model.findings() if finding.resolved_step is None]
    if not open_now:
        return ((" no open finding ", "header"),) if model.run is not None else ()
    worst = max(open_now, key=_severity)
    more = f" +{len(open_now) - 1}" if len(open_now) > 1 else ""
    return (
        (f" {sign(worst, model.view.ascii)} {worst.title}{more} ", f"severity.{worst.severity}"),
    )


def _severity(finding: Finding) -> int:
    return SEVERITIES.index(finding.severity)


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
