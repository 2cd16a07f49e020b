"""Numbers that belong together: times of day, dates, versions, durations, shares (`3/10`)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from traintop.sources.console.numbers import is_count

if TYPE_CHECKING:
    from collections.abc import Sequence

_RANGE = re.compile(r"-\s*")
_OPENED = re.compile(r"\[\s*$")
_SHARE = re.compile(r"(?:it)?\s*(?:/|of|out of)\s*")
_CLOCK_END = re.compile(r"\d\d(?:\.\d+)?$")


class Compounds(NamedTuple):
    """What numbers of a line are together, by their index."""

    skip: set[int]
    """Those that measure nothing by themselves."""
    totals: dict[int, int]
    """A number -> the one that it is written as a share of."""
    ranges: set[int]
    """Those that end a range in brackets (MXNet: `Batch [20-40]`)."""


def compounds_of(line: str, numbers: Sequence[re.Match[str]], first: int) -> Compounds:
    """Find the numbers of a line that belong together, from the first given on."""
    skip: set[int] = set()
    totals: dict[int, int] = {}
    ranges: set[int] = set()
    count = len(numbers)
    for i in range(first, count):
        end = numbers[i].end()
        after = line[end : end + 3]
        text = numbers[i][0]
        if re.match(r"\.\d|%\|", after):
            skip.add(i)
        if i + 1 == count:
            continue
        glue = line[end : numbers[i + 1].start()]
        start = numbers[i].start()
        opened = _OPENED.search(line[max(start - 8, 0) : start]) is not None
        follower = numbers[i + 1][0]
        if glue == ":" and text.isdigit() and len(text) < 4 and _CLOCK_END.match(follower):
            skip.update((i, i + 1))
        elif (
            _RANGE.fullmatch(glue)
            and text.isdigit()
            and follower.isdigit()
            and (
                glue == "-"
                or _OPENED.search(line[max(numbers[i].start() - 8, 0) : numbers[i].start()])
            )
        ):
            skip.add(i)
            if glue == "-" and len(text) == 4 and len(follower) == 2:
                skip.add(i + 1)
            elif (
                opened or line[numbers[i + 1].end() :][:5] == "batch"  # ESPnet: `1-100batch`
            ):
                ranges.add(i + 1)
        elif _SHARE.fullmatch(glue) and is_count(text) and is_count(follower):
            if i in totals.values():
                skip.update((i - 1, i, i + 1))
            else:
                totals[i] = i + 1
                skip.add(i + 1)
        elif re.fullmatch(r"[dhm]\s?|h:|\s?days?,?\s", glue) and text.isdigit():
            skip.update((i, i + 1))
    return Compounds(skip, totals, ranges)
