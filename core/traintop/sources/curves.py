"""Arrays of a JSON document as the columns of tables: those over one axis stand together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traintop.records import Column
from traintop.sources.histories import Array, Path, axis_name, is_axis, split_from_name
from traintop.sources.keys import SPLITS, plain
from traintop.sources.roles import role_of

Indices = NDArray[np.int64]

SHORT = 4
"""Arrays of so few values beside longer ones are settings, unless their names say otherwise."""

SETTINGS = frozenset({"shape", "size", "dims", "betas", "milestones", "classes", "labels"})
"""Words in the names of arrays that are no measurements."""


class Curves(NamedTuple):
    """Columns over one axis."""

    size: int
    columns: dict[str, Column]
    """The axis too, where there is one."""
    axes: tuple[str, ...]


def arrange(arrays: list[Array]) -> list[Curves]:
    """Put arrays into tables, the longest first.

    Arrays over the same steps or epochs are of one table. Where nothing says what an array stands
    over, its values are numbered; one that is shorter by a whole factor is of something that is
    measured more seldom, and stands at the end of each part.
    """
    axes = [each for each in arrays if is_axis(each.name) and each.steps is None]
    series = _measured([each for each in arrays if not (is_axis(each.name) and each.steps is None)])
    names = _short_names([each.path for each in series])
    tables: dict[tuple[object, ...], Curves] = {}
    for each, name in sorted(
        zip(series, names, strict=True), key=lambda pair: -len(pair[0].values)
    ):
        size = len(each.values)
        over = [axis for axis in axes if _is_over(each, axis)]
        if each.steps is not None:
            key: tuple[object, ...] = (size, each.steps.tobytes())
            own = {"step": Column(values=each.steps)}
        else:
            key = (size, *(axis.path for axis in over))
            own = {axis_name(axis.name): Column(values=axis.values) for axis in over}
        longer = None if own else _whole_multiple(size, tables)
        if longer is not None and key not in tables:
            stride = longer.size // size
            rows = np.arange(1, size + 1, dtype=np.int64) * stride - 1
            _put(longer, name, each, rows)
            continue
        table = tables.setdefault(key, Curves(size, dict(own), tuple(own)))
        _put(table, name, each, None)
    return list(tables.values())


def _measured(series: list[Array]) -> list[Array]:
    """Those arrays that are measurements, rather than settings."""
    longest = max((len(each.values) for each in series), default=0)
    return [
        each
        for each in series
        if SETTINGS.isdisjoint(plain(each.name).split("_"))
        and (
            len(each.values) > SHORT
            or len(each.values) == longest
            or role_of(each.name) is not None
            or split_from_name(each.name)[1] is not None
        )
    ]


def _short_names(paths: list[Path]) -> list[str]:
    """Names that differ: the parts that all paths begin with say nothing, but for `train`."""
    common = 0
    while (
        all(len(path) > common + 1 for path in paths)
        and len({path[common] for path in paths}) == 1
        and paths[0][common].lower() not in SPLITS
    ):
        common += 1
    return ["/".join(path[common:]) or "value" for path in paths]


def _is_over(series: Array, axis: Array) -> bool:
    """Whether an axis is that of a series: as long, beside it or above, and of the same data."""
    if len(axis.values) != len(series.values):
        return False
    around = axis.path[:-1]
    split = split_from_name(axis.name)[1]
    return series.path[: len(around)] == around and split in (None, split_from_name(series.name)[1])


def _whole_multiple(size: int, tables: dict[tuple[object, ...], Curves]) -> Curves | None:
    for table in tables.values():
        if table.size > size and table.size % size == 0:
            return table
    return None


def _put(table: Curves, name: str, series: Array, rows: Indices | None) -> None:
    """Put a series into a table under a name that is still free."""
    values = series.values
    if series.there is not None:
        there = np.flatnonzero(series.there).astype(np.int64)
        values, rows = values[there], there if rows is None else rows[there]
    while name in table.columns:
        name += "+"
    table.columns[name] = Column(values=values, rows=rows)
