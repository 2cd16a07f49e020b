"""From what a command line names to the runs there: globs, and folders that hold many runs."""

from __future__ import annotations

import glob
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from traintop.sources.layout import own_folder
from traintop.sources.newest import LOGS, RECORDS, scan

PARTS_OF_A_RUN = re.compile(
    r"(train|training|val|valid|validation|eval|evaluation|test|dev|logs?|metrics|rank\d*|\d+)",
    re.IGNORECASE,
)
"""Folders whose metrics belong to the run above them: splits, ranks, versions of one log."""

FIRST_FOLDERS = 64
"""Folders that are looked into first: among so many there are two runs, where there are many."""


def expand(
    paths: Sequence[str], say: Callable[[str], None], done: str = "checked"
) -> Iterator[str]:
    """Yield the runs that paths name, in the order of the paths.

    Args:
        paths: Files, folders, globs that the shell has left alone, `-`.
        say: Told what a path that is no run itself was taken for.
        done: What is done with each run.
    """
    for path in paths:
        if path == "-" or Path(path).exists() or not glob.has_magic(path):
            yield from _runs_at(path, say, done)
            continue
        found = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - the pattern may be absolute
        if not found:
            yield path  # Whoever opens it says that it does not exist.
        for each in found:
            yield from _runs_at(each, say, done)


def _runs_at(path: str, say: Callable[[str], None], done: str) -> Iterator[str]:
    folder = Path(path)
    runs = runs_in(folder) if path != "-" and folder.is_dir() else []
    if len(runs) < 2:
        yield path
        return
    say(f"{path}: holds {len(runs)} runs, each of which is {done}")
    yield from map(str, runs)


def runs_in(folder: Path, folders: float = math.inf) -> list[Path]:
    """Return the runs in a folder that is none itself, by path.

    Runs of our own format are told by their files, and so are those of other trackers. Where there
    are none, folders that hold files with a record a line, or else logs, are runs, unless their
    names say that they are parts of one, or the folder has such files itself. One run or none: an
    empty list.

    Args:
        folder: Where to look.
        folders: How many folders to look into.
    """
    if own_folder(folder) is not None:
        return []
    found = scan(folder, math.inf, folders)
    if own := found.own_runs():
        return sorted(own) if len(own) > 1 else []
    here = [path.name for path in _entries(folder)]
    if any(name.endswith(RECORDS) for name in here):
        return []
    by_tracker = found.store_runs()
    if by_tracker and len(by_tracker[0]) > 1:
        return sorted(by_tracker[0])
    if records := _folders_of(found.record_files()):
        return records
    if by_tracker or any(name.endswith(LOGS) for name in here):
        return []
    return _folders_of(found.log_files())


def _folders_of(files: Sequence[Path]) -> list[Path]:
    """Return the folders of files, if these are several and none is a part of a run."""
    folders = sorted({file.parent for file in files})
    parts = any(PARTS_OF_A_RUN.fullmatch(folder.name) for folder in folders)
    return [] if parts or len(folders) < 2 else folders


def holds_runs(folder: Path) -> bool:
    """Whether a path is a folder that holds several runs and is none itself."""
    if not folder.is_dir():
        return False
    return len(runs_in(folder, FIRST_FOLDERS)) > 1 or len(runs_in(folder)) > 1


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []  # Whoever opens it says why.
