"""Files that hold the same curves as another file of the run, and which of them is read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from traintop.sources import dialect, document_head, trainer_state
from traintop.sources.roles import role_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
"""Of files of one name that differ in their endings, such as Stable-Baselines3 writes, the first
is read."""

TABLES = frozenset({"metrics.csv", "progress.csv", "results.csv"})
"""What Lightning, Stable-Baselines3 and ultralytics call the table that they write beside a
TensorBoard event file of the same numbers, which has them in half the precision."""


_KEY = re.compile(rb'"([\w /.-]{1,80})"\s*:\s*[-\dN"]')


def twin_of(path: Path, others: Iterable[Path]) -> Path | None:
    """The file among others that holds the curves of a file as well and is better to read.

    A folder stands for the event files in it.
    """
    return next((other for other in others if other != path and _is_better(other, path)), None)


def has_training_loss(kind: str, head: bytes) -> bool:
    """Whether a table, records or a history of a kind have a training loss, by their beginning."""
    names: Iterable[str] = ()
    if kind == "csv":
        found = dialect.recognise(head.decode("utf-8", "replace"), named_so=True)
        names = () if found is None else found.names
    elif kind == "json":
        names = document_head.names(head)
    elif kind == "jsonl":
        names = (key.decode() for key in _KEY.findall(head))
    return any(match is not None and match.role == "loss/train" for match in map(role_of, names))


def _is_better(other: Path, path: Path) -> bool:
    if path.name == trainer_state.NAME:
        # Event files are written while the Trainer trains, its history with checkpoints only.
        return other.is_dir() and other.is_relative_to(trainer_state.output_folder(path))
    if path.is_dir():
        return other.parent == path and other.name in TABLES
    if other.parent != path.parent:
        return False
    if other.stem != path.stem or not {other.suffix, path.suffix} <= set(ENDINGS):
        return False
    return ENDINGS.index(other.suffix) < ENDINGS.index(path.suffix)
