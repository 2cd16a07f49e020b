"""Files that hold the same curves as another file of the run, and which of them is read.

Trainers report to several trackers at once: a table, event files, a W&B file. That two files in
different formats hold the same curves is told by their first values; of those in one format, as of
several ranks or folds, each is read.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from traintop.records import Rows
from traintop.sources.keys import EPOCH_KEYS, SPLITS, STEP_KEYS
from traintop.sources.registry import head_of, open_source
from traintop.sources.roles import role_of
from traintop.sources.stores import EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from traintop.records import News

OWN = "diagnostics"
"""Our own format: it has the training loss, even before its first record."""

PREFERRED = (OWN, "wandb", "trackio", "mlflow", "dvclive", "csv", "jsonl", "tfevents", "json")
"""Formats, the best to read first: trackers have the machine's metrics too, event files only half
the precision, and histories are written with the checkpoints only."""

PART = 1 << 16
"""Bytes of a file in which its first values are looked for, some milliseconds of work."""
MOST_PARTS = 4
"""Event and W&B files may begin with a graph, or with settings."""
FIRST = 4
"""Values of each series that are compared."""
ENOUGH = 3
"""Values that must be the same in a file that lies or is called elsewise."""
TOLERANCE = 1e-4
"""Relative: event files have 24 bits of a value, some tables write five digits."""
MOST = 0.75
"""Share of the series of a file that must be those of another one: times differ by a little."""

_WORDS = re.compile(r"[\W_]+")
_AXES = frozenset({*STEP_KEYS, *EPOCH_KEYS})

Beginning = dict[str, list[float]]
"""The first values of each series, by its role or its name in words."""


class _File(NamedTuple):
    format: str
    table: str


class Twins:
    """Knows the files of a run, and looks into them where they may be twins."""

    def __init__(self) -> None:
        self._files: dict[Path, _File] = {}
        self._beginnings: dict[Path, Beginning] = {}

    def add(self, path: Path, format_: str, table: str) -> None:
        """Note a file with curves, in a format of `PREFERRED`.

        A folder stands for what a tracker keeps in it.
        """
        self._files[path] = _File(format_, table)

    def by_preference(self, paths: Iterable[Path]) -> list[Path]:
        """Those of some files that have curves, the best to read first."""
        known = [path for path in paths if path in self._files]
        return sorted(known, key=lambda path: PREFERRED.index(self._files[path].format))

    def of(self, path: Path, others: Iterable[Path]) -> Path | None:
        """The file among others, in another format, that holds the curves of a file as well."""
        mine = self._files[path].format
        for other in others:
            if other == path or other not in self._files or self._files[other].format == mine:
                continue
            enough = 1 if _belong_together(path, other) else ENOUGH
            if _covers(self._beginning(other), self._beginning(path), enough):
                return other
        return None

    def with_training_loss(self, paths: Iterable[Path]) -> Path | None:
        """The first file of some that has the training loss, by its first records."""
        for path in sorted(self._files.keys() & set(paths)):
            if self._files[path].format == OWN or "loss/train" in self._beginning(path):
                return path
        return None

    def cannot_tell(self, path: Path, others: Iterable[Path]) -> bool:
        """Whether event files may turn out to be twins of another file: they have no value yet."""
        if self._files[path].format != EVENTS or any(self._beginning(path).values()):
            return False
        return any(self._files[one].format != EVENTS for one in others if one in self._files)

    def _beginning(self, path: Path) -> Beginning:
        found = self._beginnings.get(path)
        if found is None:
            found = _beginning(path, *self._files[path])
            if any(map(len, found.values())):  # else there is more to come
                self._beginnings[path] = found
        return found


def _belong_together(one: Path, other: Path) -> bool:
    """Whether two files have one name but for their endings, or one lies among the event files."""
    if one.is_dir() or other.is_dir():
        return one == other.parent or other == one.parent
    return one.with_suffix("") == other.with_suffix("")


def _beginning(path: Path, format_: str, table: str) -> Beginning:
    """Read the first values of a file, as the run will read them."""
    source = open_source(path, table)
    try:
        items: list[News] = []
        for _ in range(MOST_PARTS):
            items += source.read(PART)
            if any(isinstance(item, Rows) for item in items):
                break
        items += source.finish()  # a document has no end there
    finally:
        source.close()
    found: Beginning = {}
    if format_ == "csv":  # A header may be written long before the first row.
        from traintop.sources import dialect  # Most runs have no table to compare.

        header = dialect.of_file(path, head_of(path))
        roles = map(role_of, () if header is None else header.names)
        found = {match.role: [] for match in roles if match is not None}
    keys: dict[tuple[str, str], str] = {}
    for rows in items:
        if not isinstance(rows, Rows):
            continue
        for name, column in rows.columns.items():
            series = (rows.table, name)
            if series not in keys:
                match = role_of(name, rows.table)
                role = None if match is None else match.role
                keys[series] = _in_words(*series) if role is None or found.get(role) else role
            values = found.setdefault(keys[series], [])
            values += column.values[: FIRST - len(values)].tolist()
    return {key: values for key, values in found.items() if key not in _AXES}


def _in_words(table: str, name: str) -> str:
    """A name as it is compared: `val/loss_cls` and `loss_cls` of the table `val` are the same."""
    words = [word for word in _WORDS.split(name.lower()) if word]
    split = SPLITS.get(table.rpartition("/")[2])
    if split is not None and not any(word in SPLITS for word in words):
        words.insert(0, split)
    return "_".join(word for word in words if SPLITS.get(word) != "train")


def _covers(kept: Beginning, other: Beginning, enough: int) -> bool:
    """Whether the curves of one file are those of another, and more.

    Args:
        kept: Of the one.
        other: Of the other.
        enough: Values that must be the same.
    """
    shared = kept.keys() & other.keys()
    if not shared or len(shared) < MOST * len(other):
        return False
    pairs = [(kept[key], other[key]) for key in shared]
    compared = [pair for pair in pairs if all(pair)]
    same = [pair for pair in compared if all(map(_is_same, *pair))]
    values = sum(min(len(one), len(another)) for one, another in same)
    return len(same) >= MOST * len(compared) and values >= enough


def _is_same(one: float, other: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return math.isclose(one, other, rel_tol=TOLERANCE)
