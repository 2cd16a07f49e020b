"""Finding runs below a folder, the newest first: what `traintop` opens when it is told nothing."""

from __future__ import annotations

import contextlib
import math
import os
from collections import deque
from pathlib import Path
from typing import NamedTuple

from traintop.sources.checkpoints import is_checkpoint_folder
from traintop.sources.layout import OWN_FOLDERS, OWN_RECORDS, SKIPPED_FOLDERS
from traintop.sources.registry import format_of, head_of, holds_metrics
from traintop.sources.run_folder import whole_run
from traintop.sources.stores import DATABASES, Store, outermost, run_folder, store_of, written

MAX_DEPTH = 6
MAX_ENTRIES = 20_000
"""Entries looked at: some tens of milliseconds on a local disk."""

PEEKED = 20
"""Files of other formats that are opened, the newest first, to see whether they hold metrics."""

METRICS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", "progress.txt", *DATABASES)
RECORDS = (".jsonl", ".ndjson", ".log.json", ".csv", ".tsv", "progress.txt")
"""Those of them whose names say that they hold a record a line."""
LOGS = (".log", ".out")


def find_runs(below: Path, most: float = MAX_ENTRIES) -> list[Path]:
    """The run folders of our own format below a folder, the one written to last first.

    Args:
        below: Where to look.
        most: Entries to look at.
    """
    return scan(below, most).own_runs()


def find_store_runs(below: Path, most: float = MAX_ENTRIES) -> list[list[Path]]:
    """The run folders that each other tracker keeps below a folder, as `Scan.store_runs`."""
    return scan(below, most).store_runs()


def newest_run(below: Path) -> Path | None:
    """The run written to last below a folder: its folder, or a file of metrics that stands alone.

    A text log is taken only where there is neither. None if nothing is found in a bounded search.
    """
    path = _newest(below)
    return None if path is None else whole_run(path, below)


def _newest(below: Path) -> Path | None:
    own, metrics, logs, stores = scan(below)
    said = os.environ.get("DIAGNOSTICS_DIR")
    if said and (modified := _modified(below / said)) is not None:
        own.append((modified, below / said))
    best = max(own + [run for found in stores.values() for run in found], default=None)
    for modified, path in sorted(metrics, reverse=True)[:PEEKED]:
        if best is not None and modified <= best[0]:
            break
        if _measures(path):
            return path
    if best is not None:
        return best[1]
    newest_logs = sorted(logs, reverse=True)[:PEEKED]
    return next((path for _, path in newest_logs if _format(path) == "text"), None)


Found = list[tuple[float, Path]]


class Scan(NamedTuple):
    """What lies below a folder, each with when it was last written to."""

    own: Found
    """Run folders of our own format."""
    metrics: Found
    """Files that may hold metrics."""
    logs: Found
    stores: dict[Store, Found]
    """Run folders of each other tracker."""

    def own_runs(self) -> list[Path]:
        """The run folders of our own format, the one written to last first."""
        return [path for _, path in sorted(self.own, reverse=True)]

    def store_runs(self) -> list[list[Path]]:
        """The run folders of each other tracker, the one written to last first.

        A training may report to several trackers; the one with most runs comes first.
        """
        runs: list[list[Path]] = []
        for found in self.stores.values():
            when: dict[Path, float] = {}
            for modified, path in found:
                when[path] = max(modified, when.get(path, modified))
            runs.append(sorted(outermost(when), key=lambda path: when[path], reverse=True))
        return sorted(runs, key=len, reverse=True)

    def record_files(self) -> list[Path]:
        """The files of other formats that hold a record a line, by path."""
        named = sorted(path for _, path in self.metrics if path.name.endswith(RECORDS))
        return [path for path in named if _measures(path)]

    def log_files(self) -> list[Path]:
        """The text logs, by path."""
        return sorted(path for _, path in self.logs)


def scan(below: Path, most: float = MAX_ENTRIES, folders: float = math.inf) -> Scan:
    """Look for runs below a folder, what is near its top first.

    Args:
        below: Where to look.
        most: Entries to look at.
        folders: Folders to look into.
    """
    own: Found = []
    metrics: Found = []
    logs: Found = []
    stores: dict[Store, Found] = {}
    waiting = deque([(below, 0)])
    seen = entered = 0
    while waiting and seen < most and entered < folders:
        folder, depth = waiting.popleft()
        entered += 1
        try:
            with os.scandir(folder) as entries:
                listed = list(entries)
        except OSError:
            continue
        seen += len(listed)
        if not {entry.name for entry in listed}.isdisjoint(OWN_RECORDS):
            own.append((_modified(folder) or 0.0, _run_folder(folder, below)))
            continue
        store = store_of({entry.name for entry in listed})
        if store is not None:
            run = (written(folder, store), run_folder(folder, store, below))
            stores.setdefault(store, []).append(run)
            if store != "tfevents":
                continue  # What is in its folders is of the same run.
        for entry in listed:
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    if depth < MAX_DEPTH and _enters(entry.name):
                        waiting.append((Path(entry.path), depth + 1))
                elif entry.name.endswith(METRICS):
                    metrics.append((entry.stat().st_mtime, Path(entry.path)))
                elif entry.name.endswith(LOGS):
                    logs.append((entry.stat().st_mtime, Path(entry.path)))
    return Scan(own, metrics, logs, stores)


def _enters(name: str) -> bool:
    return name not in SKIPPED_FOLDERS and not is_checkpoint_folder(name)


def _run_folder(folder: Path, below: Path) -> Path:
    """The folder of the run whose diagnostics are in `folder`."""
    for name in OWN_FOLDERS[1:]:
        parts = Path(name).parts
        if folder.parts[-len(parts) :] != parts:
            continue
        # A short relative path has no such parent by name.
        root = folder.absolute().parents[len(parts) - 1]
        if root.is_relative_to(below.absolute()):
            return folder.parents[len(parts) - 1] if len(folder.parts) > len(parts) else root
    return folder


def _modified(folder: Path) -> float | None:
    """When the records in a folder were last written to; None if there are none."""
    times: list[float] = []
    for name in OWN_RECORDS:
        with contextlib.suppress(OSError):
            times.append((folder / name).stat().st_mtime)
    return max(times, default=None)


def _measures(path: Path) -> bool:
    head = _head(path)
    return bool(head) and holds_metrics(path, head)


def _format(path: Path) -> str | None:
    """What a file holds; None if that cannot be told."""
    head = _head(path)
    return format_of(path, head) if head else None


def _head(path: Path) -> bytes:
    """The first bytes of a file; empty where it cannot be read."""
    try:
        return head_of(path)
    except OSError:
        return b""
