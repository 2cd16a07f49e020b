"""Finding the curves in a JSON document, wherever its writer has put them.

A history is a list of records (`log_history` of Hugging Face), an object of arrays (Keras), or an
object with a record for each epoch; under any key, at any depth, one or many. What is no history,
such as settings and the shapes of data, is left aside.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from traintop.records import Floats
from traintop.sources.keys import (
    EPOCH_KEYS,
    FIRST_WALL_CLOCK,
    SETTINGS_KEYS,
    SPLITS,
    STEP_KEYS,
    as_number,
    plain,
)
from traintop.sources.roles import role_of

MAX_DEPTH = 6
"""Objects nested deeper than this are left aside."""

AXES = frozenset({*STEP_KEYS, *EPOCH_KEYS, "iters", "epoch_index"})

Path = tuple[str, ...]
Object = dict[str, Any]

_NUMBERED = re.compile(r"(?:(epoch|step|iter|iteration|global_step)[_ -]?)?(\d+)", re.IGNORECASE)


class Records(NamedTuple):
    """A list of records."""

    path: Path
    rows: list[Object]


class Array(NamedTuple):
    """A series: the values of one metric."""

    path: Path
    values: Floats
    """Shape (n,), NaN where there is none."""
    there: NDArray[np.bool_] | None
    """Shape (n,), whether there is a value; None: everywhere."""
    steps: Floats | None
    """Shape (n,), where each value has its own step beside it."""

    @property
    def name(self) -> str:
        """The key that it stands under."""
        return self.path[-1] if self.path else "value"


class Found(NamedTuple):
    """All that a document holds."""

    records: list[Records]
    arrays: list[Array]


def find(document: object) -> Found:
    """The lists of records and the arrays of numbers in a document."""
    found = Found([], [])
    _walk(document, (), found)
    sure = [each for each in found.records if has_axis(each.rows)]
    return Found(sure or found.records, found.arrays)


def has_axis(rows: list[Object]) -> bool:
    """Whether records say where they stand."""
    return any(plain(key) in AXES for row in rows[:3] for key in row)


def is_axis(name: str) -> bool:
    """Whether an array holds steps or epochs, maybe of a part of the data: `val_steps`."""
    return axis_name(name) in AXES


def axis_name(name: str) -> str:
    """The name of an axis without the part of the data that it is of."""
    return plain(name) if plain(name) in AXES else split_from_name(name)[0]


def split_from_name(name: str) -> tuple[str, str | None]:
    """A name without the part of the data that it speaks of, and that part."""
    words = plain(name).split("_")
    for place in (0, -1):
        if len(words) > 1 and words[place] in SPLITS:
            split = SPLITS[words.pop(place)]
            return "_".join(words), split
    return "_".join(words), None


def is_of_training(found: Found) -> bool:
    """Whether a document says clearly that it holds the curves of a training."""
    if any(has_axis(each.rows) for each in found.records):
        return True
    return any(is_axis(each.name) or role_of(each.name) for each in found.arrays)


def _walk(value: object, path: Path, found: Found) -> None:
    if len(path) > MAX_DEPTH or (path and path[-1].lower() in SETTINGS_KEYS):
        return
    if isinstance(value, list):
        parts = cast("list[object]", value)
        rows = [cast("Object", part) for part in parts if isinstance(part, dict)]
        if len(rows) * 2 > len(parts):
            if any(map(holds_numbers, rows)):
                found.records.append(Records(path, rows))
        elif (array := _array(parts, path)) is not None:
            found.arrays.append(array)
    elif isinstance(value, dict):
        members = cast("Object", value)
        if (numbered := _numbered_records(members)) is not None:
            found.records.append(Records(path, numbered))
        elif (array := _numbered_values(members, path)) is not None:
            found.arrays.append(array)
        else:
            for key, part in members.items():
                _walk(part, (*path, key), found)


def holds_numbers(row: Object, depth: int = 0) -> bool:
    """Whether there is a number in a record, or in an object in it."""
    for value in row.values():
        if isinstance(value, int | float) and not isinstance(value, bool):
            return True
        if isinstance(value, str) and as_number(value) is not None:
            return True
        deeper = isinstance(value, dict) and depth < MAX_DEPTH
        if deeper and holds_numbers(cast("Object", value), depth + 1):
            return True
    return False


def _numbers(keys: list[str]) -> tuple[str, list[float]] | None:
    """What keys count, and the numbers in them: `epoch_1`, `epoch_2` ... or just `0`, `10` ..."""
    matches = [_NUMBERED.fullmatch(key) for key in keys]
    if len(keys) < 2 or None in matches:
        return None
    kinds = {match[1] for match in matches if match is not None}
    kind = kinds.pop() if len(kinds) == 1 else None
    name = "epoch" if kind is not None and kind.lower() == "epoch" else "step"
    return name, [float(match[2]) for match in matches if match is not None]


def _numbered_records(members: Object) -> list[Object] | None:
    """The records of an object that has one for each epoch or step."""
    if not all(isinstance(part, dict) for part in members.values()):
        return None
    counted = _numbers(list(members))
    if counted is None:
        return None
    name, numbers = counted
    rows = [cast("Object", part) for part in members.values()]
    if not has_axis(rows):
        rows = [{name: number, **row} for number, row in zip(numbers, rows, strict=True)]
    return rows if any(map(holds_numbers, rows)) else None


def _numbered_values(members: Object, path: Path) -> Array | None:
    """The series of an object that has a value for each step, as pandas writes columns."""
    counted = None if any(map(_is_container, members.values())) else _numbers(list(members))
    if counted is None:
        return None
    array = _array(list(members.values()), path)
    steps = np.array(counted[1])
    if array is None or np.array_equal(steps, np.arange(len(steps))):
        return array
    return array._replace(steps=steps)


def _is_container(value: object) -> bool:
    return isinstance(value, dict | list)


def _array(parts: list[object], path: Path) -> Array | None:
    """The series that a list of numbers is, or one of pairs of steps and numbers."""
    try:
        values = np.array(parts, np.float64)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None
    if not values.size:
        return None
    if values.ndim == 1:
        absent = np.isnan(values).any() and None in parts
        there = np.array([part is not None for part in parts]) if absent else None
        return Array(path, values, there, None)
    if values.ndim != 2 or values.shape[1] not in (2, 3):
        return None
    # TensorBoard's form has the time of day before the step.
    timed = values.shape[1] == 3 and bool((values[:, 0] > FIRST_WALL_CLOCK).all())
    if values.shape[1] == 3 and not timed:
        return None
    steps = values[:, int(timed)]
    counts = bool((steps == np.floor(steps)).all() and (np.diff(steps) >= 0).all())
    return Array(path, values[:, -1].copy(), None, steps.copy()) if counts else None
