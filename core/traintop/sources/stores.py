"""Run folders of other trackers, told by the names in them."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal

from traintop.sources.keys import SPLITS

Store = Literal["tfevents", "wandb", "mlflow", "dvclive"]

EVENTS = "tfevents"
"""What the names of event files have in them, whatever stands before and after."""

DATABASES = (".db", ".sqlite", ".sqlite3")
"""What the names of databases end with."""

WANDB = ".wandb"
"""What the names of W&B run files end with."""


MARKS = frozenset({"meta.yaml", "params.yaml"})
"""Names of files that hold no curves but tell a tracker's folder."""


def store_of(names: Collection[str]) -> Store | None:
    """Which tracker's run a folder with these names in it holds; None if it holds none."""
    if any(name.endswith(WANDB) for name in names):
        return "wandb"
    if "meta.yaml" in names and "metrics" in names:
        return "mlflow"
    if "plots" in names and ("metrics.json" in names or "params.yaml" in names):
        return "dvclive"
    return "tfevents" if any(EVENTS in name for name in names) else None


def file_store(name: str) -> Store | None:
    """Which tracker writes a file of this name."""
    return store_of((name,))


def written(folder: Path, store: Store) -> float:
    """When the run in a folder was last written to, seconds since 1970."""
    times = [0.0]
    told_by = {"mlflow": folder / "metrics", "dvclive": folder / "metrics.json"}.get(store)
    with contextlib.suppress(OSError):
        if told_by is None:
            files = [path for path in folder.iterdir() if file_store(path.name) == store]
        else:
            files = [told_by, *(told_by.iterdir() if told_by.is_dir() else ())]
        times += [path.stat().st_mtime for path in files]
    return max(times)


def run_folder(folder: Path, store: Store, below: Path) -> Path:
    """The folder of the run that the files of a tracker in `folder`, in `below`, are of.

    Keras and others keep a folder for training and one for validation, below that of the run.
    """
    split = store == "tfevents" and folder.name.lower() in SPLITS
    return folder.parent if split and folder != below else folder


def outermost(folders: Iterable[Path]) -> list[Path]:
    """The folders that are in none of the others, by path: the others are parts of a run."""
    found: list[Path] = []
    for folder in sorted(set(folders)):
        if not found or not folder.is_relative_to(found[-1]):
            found.append(folder)
    return found


def events_table(folder: Path, root: Path) -> str:
    """The table of the event files of a folder: after the part of the data that its name says."""
    parts = folder.relative_to(root).parts if folder.is_relative_to(root) else ()
    if not parts:
        return "events"
    split = SPLITS.get(parts[-1].lower())
    if split is None:
        return ".".join(parts)
    return "/".join(filter(None, (".".join(parts[:-1]), split)))
