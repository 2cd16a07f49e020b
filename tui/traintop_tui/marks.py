"""What stands on the x axis of every chart: checkpoints, analyses, findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from traintop.records import Event, Finding, Floats
from traintop_tui.charts.frame import Mark, MarkKind

MARKED_EVENTS: dict[str, MarkKind] = {"checkpoint": "checkpoint", "analysis": "analysis"}
CHECKPOINT_COLUMNS = 12
"""Pixel columns that a checkpoint's mark should have to itself."""
FINDING_COLUMNS = 8
"""The same of a finding's."""


def column_of(step: float, edges: Floats) -> int | None:
    """Return the pixel column of a step; None outside the window.

    Args:
        step: The step.
        edges: Shape (columns + 1,), the steps between columns, rising.
    """
    column = int(np.searchsorted(edges, step, side="right")) - 1
    return column if 0 <= column < len(edges) - 1 else None


def marks_on_axis(
    events: Iterable[Event],
    analysed: Iterable[float],
    findings: Sequence[Finding],
    checkpoints_to_test: Callable[[], Iterable[float]],
    edges: Floats,
) -> list[Mark]:
    """Return the marks in a window of steps.

    Args:
        events: Of the run.
        analysed: Steps of the checkpoints that have a result.
        findings: Of the run.
        checkpoints_to_test: Returns the steps of the checkpoints that a test would take; only
            these are marked where all of them would be too many to be told apart.
        edges: Shape (columns + 1,), the steps between pixel columns.
    """
    marks = [
        Mark(column, kind)
        for event in events
        if (kind := MARKED_EVENTS.get(event.event)) is not None and event.step is not None
        if (column := column_of(event.step, edges)) is not None
    ]
    count = sum(mark.kind == "checkpoint" for mark in marks)
    if count > len(edges) / CHECKPOINT_COLUMNS:
        marks = [mark for mark in marks if mark.kind != "checkpoint"]
        marks += _at(checkpoints_to_test(), "checkpoint", edges)
    marks += _at(analysed, "analysis", edges)
    placed = [
        (column, finding)
        for finding in findings
        if (column := column_of(finding.onset_step, edges)) is not None
    ]
    if len(placed) > len(edges) / FINDING_COLUMNS:
        # What was slight and is over would bury the rest.
        placed = [
            (column, finding)
            for column, finding in placed
            if finding.severity != "info" or finding.resolved_step is None
        ]
    return marks + [Mark(column, "finding", finding.severity) for column, finding in placed]


def marks_of(finding: Finding, edges: Floats) -> list[Mark]:
    """Return the marks of one finding: its onset, underlined as far as it lasted, and the others.

    Args:
        finding: The finding.
        edges: Shape (columns + 1,), the steps between pixel columns.
    """
    end = float(edges[-1]) if finding.resolved_step is None else float(finding.resolved_step)
    # What begins before the window is underlined from its edge on.
    first = int(np.searchsorted(edges, finding.onset_step, side="right")) - 1
    last = min(int(np.searchsorted(edges, end, side="right")) - 1, len(edges) - 2)
    marks = [Mark(first, "finding", finding.severity, until=last)]
    for mark, _, step in legend_of(finding)[1:]:
        column = column_of(step, edges)
        if column is not None:
            marks.append(mark._replace(column=column))
    return marks


def legend_of(finding: Finding) -> list[tuple[Mark, str, int]]:
    """Return what is marked of one finding: the mark, its word and its step."""
    severity = finding.severity
    legend = [
        (Mark(0, "finding", severity), "onset", finding.onset_step),
        (Mark(0, "seen", severity), "seen", finding.detected_step),
    ]
    if finding.resolved_step is not None:
        legend.append((Mark(0, "over", severity), "over", finding.resolved_step))
    return legend


def _at(steps: Iterable[float], kind: MarkKind, edges: Floats) -> list[Mark]:
    columns = (column_of(step, edges) for step in steps)
    return [Mark(column, kind) for column in columns if column is not None]
