"""Where a run keeps its files: diagnostics format v1, and the folders that hold no run."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

OWN_RECORDS = ("train_diagnostics.jsonl", "val_diagnostics.jsonl", "layers.jsonl")
"""The files that make a folder a run; other programs have a run.json or an events.jsonl too."""

OWN_FILES = ("run.json", *OWN_RECORDS, "events.jsonl")
"""The files of diagnostics format v1."""

KEPT_FILES = ("traintop-triage.json", "traintop-roles.json")
"""What traintop itself keeps beside a run: what a person has decided of it."""

OWN_FOLDERS = ("", "results/diagnostics", "diagnostics")
"""Where below a run's folder its diagnostics may be."""

SKIPPED_FOLDERS = frozenset(
    {
        ".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", "site-packages",
        ".cache", ".tox", ".mypy_cache", ".ruff_cache", ".pytest_cache",
    }
)  # fmt: skip
"""Folders that hold no runs but many files."""


def own_folder(folder: Path) -> Path | None:
    """Where below a run's folder its diagnostics are, None if there are none.

    Looked for in the folder itself, in `results/diagnostics`, in `diagnostics`, and where
    $DIAGNOSTICS_DIR says, if that is inside the folder. A run that has just begun may have no more
    than a run.json that names our format.
    """
    places = [folder / name for name in OWN_FOLDERS]
    if said := os.environ.get("DIAGNOSTICS_DIR"):
        place = folder / said
        if place.absolute().is_relative_to(folder.absolute()):
            places.append(place)
    for place in places:
        if any((place / name).is_file() for name in OWN_RECORDS):
            return place
    for place in places:
        with contextlib.suppress(OSError):
            if b'"traintop/' in (place / "run.json").read_bytes()[:4096]:
                return place
    return None
