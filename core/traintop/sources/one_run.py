"""Which run a folder stands for that holds several, or has its one run below it."""

from __future__ import annotations

import os
from pathlib import Path

from traintop.errors import PathError
from traintop.sources.file_names import holds_records, is_log
from traintop.sources.layout import own_folder
from traintop.sources.newest import find_runs, find_store_runs


def only_run(path: Path) -> Path:
    """The folder of the one run of our own format in a folder, which may be below it.

    Raises:
        PathError: There are several.
    """
    if own_folder(path) is not None:
        return path
    below = find_runs(path)
    if len(below) > 1:
        raise PathError(_holds_runs(path, below))
    return below[0] if below else path


def other_runs(root: Path) -> dict[Path, str]:
    """Of several runs that trackers keep below a run's folder, those but the newest, and why.

    Raises:
        PathError: The folder holds nothing else.
    """
    if own_folder(root) is not None:
        return {}
    several = [runs for runs in find_store_runs(root) if len(runs) > 1]
    if several and not _has_files(root):
        raise PathError(_holds_runs(root, several[0]))
    return {
        run: f"another run than {newest}, which is read; name it to open it"
        for newest, *others in several
        for run in others
    }


def _holds_runs(path: Path, runs: list[Path]) -> str:
    some = ", ".join(map(str, runs[:3]))
    return f"{path}: holds {len(runs)} runs; name the ones to open, e.g. {some}"


def _has_files(folder: Path) -> bool:
    """Whether a folder itself has files that a run may have written; those of W&B's client not."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    own = folder.name == "wandb"
    return any(
        (holds_records(name) or is_log(name)) and not (own and name.startswith("debug"))
        for name in names
    )
