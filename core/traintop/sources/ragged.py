"""Rows with fewer or more cells than the header has columns.

Some writers make a row of the keys that it happens to have (timm, ultralytics): where an epoch was
not evaluated, the cells after those of the evaluation move to the left. What a cell of such a row
means is known only where it is certain which columns are missing.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from traintop.sources.keys import EPOCH_KEYS, SPLITS, STEP_KEYS

_WORDS = re.compile(r"[^a-z]+")
_EVALUATED = frozenset({word for word, split in SPLITS.items() if split != "train"} | {"metrics"})
_LEADING = frozenset({*STEP_KEYS, *EPOCH_KEYS, "time", "index"})


class Aligned(NamedTuple):
    """The cells of a row under the columns that they belong to."""

    cells: list[str]
    """As many as there are columns; empty where a cell is missing."""
    how: str
    """What was done."""
    certain: bool
    """Whether every cell was placed."""


def align(names: tuple[str, ...], cells: list[str]) -> Aligned:
    """Put the cells of a row of another length than the header's under the right columns.

    The columns of the evaluation are missing where that makes the row as long as it is; else only
    the cells before the first column that may be missing are kept.
    """
    evaluated = [_is_evaluated(name) for name in names]
    if len(cells) == len(names) - sum(evaluated):
        rest = iter(cells)
        return Aligned(
            ["" if missing else next(rest) for missing in evaluated],
            "rows have no cells for the evaluation, which did not take place",
            certain=True,
        )
    sure = 0
    while sure < min(len(names), len(cells)) and _is_sure(names[sure]):
        sure += 1
    return Aligned(
        cells[:sure] + [""] * (len(names) - sure),
        f"has {len(cells)} cells under {len(names)} columns: "
        + (f"only the first {sure} are sure" if sure else "which are missing is not known"),
        certain=False,
    )


def _is_evaluated(name: str) -> bool:
    return not _EVALUATED.isdisjoint(_WORDS.split(name.lower()))


def _is_sure(name: str) -> bool:
    """Whether a leading column is one that every row has: an axis, or one of the training."""
    plain = name.lower()
    return plain in _LEADING or "train" in _WORDS.split(plain)
