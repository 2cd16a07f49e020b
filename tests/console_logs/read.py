"""What the reader of console text finds in bytes."""

from __future__ import annotations

from traintop.records import LogLines, Rows
from traintop.sources.textlog import TextLog

Points = dict[tuple[str, str], list[tuple[str, float, float]]]


def points(*chunks: bytes) -> tuple[Points, list[int]]:
    """Series by table and name as (axis, step, value), and the steps of the lines."""
    decoder = TextLog()
    items = [item for chunk in chunks for item in decoder.feed(chunk)] + decoder.finish()
    found: Points = {}
    steps: list[int] = []
    for item in items:
        if isinstance(item, LogLines):
            steps += item.steps
        if isinstance(item, Rows):
            for name, column in item.columns.items():
                rows = range(len(item.step)) if column.rows is None else column.rows.tolist()
                of_series = found.setdefault((item.table, name), [])
                for row, value in zip(rows, column.values.tolist(), strict=True):
                    of_series.append((item.axis, float(item.step[row]), value))
    return found, steps
