"""What differs between two results of one analysis: before and after."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

NAMES = ("name", "analysis", "class", "batch_size")
"""Keys that tell the rows of a list from each other."""
SAME = 1e-9
"""Numbers closer than this share of them are the same."""
_DEEPEST = 6
_OWN = frozenset(("seconds",))
"""What tells of the analysis itself, not of what it looked at."""

Scalar = float | str | bool | None


class Change(NamedTuple):
    """A value that is another one after than it was before."""

    what: str
    """The keys to it, joined by ` > `."""
    before: Scalar
    after: Scalar

    @property
    def ratio(self) -> float:
        """How far apart two numbers are, as the absolute logarithm of their ratio."""
        one, other = self.before, self.after
        if isinstance(one, str | None) or isinstance(other, str | None):
            return math.inf  # Another word is as great a change as there is.
        if one == other:
            return 0.0
        if not (one * other > 0 and math.isfinite(one) and math.isfinite(other)):
            return math.inf
        return abs(math.log(abs(one)) - math.log(abs(other)))


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return every single value that both results have and that differs, the greatest first.

    Rows of a list are matched by their names; lists of bare numbers are curves, which are for the
    eye. Values that are not JSON are passed over.
    """
    old, new = dict(_values(before)), dict(_values(after))
    found = [Change(what, old[what], new[what]) for what in old if what in new]
    return sorted((each for each in found if _differs(each)), key=lambda each: -each.ratio)


def _differs(change: Change) -> bool:
    one, other = change.before, change.after
    if isinstance(one, float | int) and isinstance(other, float | int):
        both_nan = math.isnan(one) and math.isnan(other)
        return not both_nan and not math.isclose(one, other, rel_tol=SAME)
    return one != other


def _values(value: object, path: str = "", depth: int = 0) -> Iterator[tuple[str, Scalar]]:
    if isinstance(value, str | bool | float | int | None):
        if path:
            yield path, value
    elif depth < _DEEPEST and isinstance(value, Mapping):
        for key, item in cast("Mapping[str, object]", value).items():
            if key not in _OWN:
                yield from _values(item, f"{path} > {key}" if path else key, depth + 1)
    elif depth < _DEEPEST and isinstance(value, list):
        for item in cast("list[object]", value):
            if isinstance(item, Mapping):
                row = cast("Mapping[str, object]", item)
                name = next((key for key in NAMES if key in row), None)
                if name is not None:
                    rest = {key: row[key] for key in row if key != name}
                    yield from _values(rest, f"{path} > {row[name]}", depth + 1)
