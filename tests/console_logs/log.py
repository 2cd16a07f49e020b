"""A table of logs: the lines of each, and the series that are in it."""

from __future__ import annotations

from collections.abc import Callable

Expected = dict[str, tuple[int, float | None]]
"""Series -> how many points it has, and the step of the last one (None: it is not the point). A
series of another table than `train` is written `val:name`."""
Log = Callable[[], tuple[list[str], Expected]]
LOGS: dict[str, Log] = {}


def log(make: Log) -> Log:
    LOGS[make.__name__] = make
    return make


def rep(count: int, line: Callable[[int], str]) -> list[str]:
    return [line(i) for i in range(count)]
