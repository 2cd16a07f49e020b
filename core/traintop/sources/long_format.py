"""Tables with a row for each value, which say in one column what the value in another one is of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from traintop.records import Column
from traintop.sources.keys import plain

NAMES = frozenset({"metric", "metric_name", "key", "tag", "variable", "series"})
VALUES = frozenset({"value", "metric_value", "val"})


def columns_of(names: Sequence[str]) -> tuple[int, int] | None:
    """The columns of the name and of the value; None where a table is not written so."""
    found = [
        next((at for at, n in enumerate(names) if plain(n) in of), None) for of in (NAMES, VALUES)
    ]
    name, value = found
    return None if name is None or value is None else (name, value)


def spread(names: Sequence[str | None], values: Column) -> dict[str, Column]:
    """A column for each name.

    Args:
        names: Of each row.
        values: Those of all rows.
    """
    rows = np.arange(len(names), dtype=np.int64) if values.rows is None else values.rows
    of_row = np.array([names[row] or "value" for row in rows.tolist()], object)
    found: dict[str, Column] = {}
    for name in dict.fromkeys(of_row.tolist()):
        here = of_row == name
        found[name] = Column(values=values.values[here], rows=rows[here])
    return found
