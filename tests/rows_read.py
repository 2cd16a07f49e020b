"""Rows that a source handed over, as plain Python values to compare with."""

from __future__ import annotations

from collections import defaultdict

from traintop.records import Item, Rows

Row = tuple[float, float, dict[str, float]]


def by_table(items: list[Item]) -> dict[str, list[Row]]:
    """The rows of each table: step, epoch and the values that are there."""
    tables: dict[str, list[Row]] = defaultdict(list)
    for rows in items:
        assert isinstance(rows, Rows)
        values: list[dict[str, float]] = [{} for _ in rows.step]
        for name, column in rows.columns.items():
            where = range(len(rows.step)) if column.rows is None else column.rows.tolist()
            for row, value in zip(where, column.values.tolist(), strict=True):
                values[row][name] = value
        places = zip(rows.step.tolist(), rows.epoch.tolist(), strict=True)
        tables[rows.table] += [(*place, row) for place, row in zip(places, values, strict=True)]
    return tables
