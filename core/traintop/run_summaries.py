"""A run in one line: how it stands, how far it is, its loss, the worst that is wrong with it."""

from __future__ import annotations

import contextlib
import math
import os
import time
from pathlib import Path

import msgspec

from traintop.errors import TraintopError
from traintop.opening import read_whole
from traintop.records import SEVERITIES, Finding, Severity, State
from traintop.run_paths import runs_in
from traintop.session import Session
from traintop.settings import load_settings
from traintop.triage import Triage

LOSSES = ("loss/val", "loss/train", "reward")
"""Roles of the number that is shown, the most telling first."""


class RunEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A run that was found, before anything of it was read."""

    path: Path
    modified: float
    """When its files were last written, seconds since 1970."""


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a run in a list of many."""

    path: Path
    state: State = "unknown"
    runs: int = 0
    """How many runs its files hold; the rest is of the newest."""
    step: int | None = None
    loss: float | None = None
    """The last validation loss, else the last training loss, else the last reward."""
    loss_name: str | None = None
    worst: Severity | None = None
    finding: str | None = None
    """The title of the worst finding, the earliest of those that are as bad."""
    error: str | None = None
    """Why it could not be read."""


def list_runs(folder: Path, folders: float = math.inf) -> list[RunEntry]:
    """Return the runs in a folder, the one written to last first.

    Args:
        folder: Where to look.
        folders: How many folders to look into.
    """
    found = [RunEntry(path=path, modified=_modified(path)) for path in runs_in(folder, folders)]
    return sorted(found, key=lambda entry: -entry.modified)


def summarise_run(path: Path) -> RunSummary:
    """Read and judge a run; it raises nothing: one run must not stop the others."""
    try:
        settings, _ = load_settings(path)
        return summary_of(read_whole(path, settings), path)
    except TraintopError as error:
        return RunSummary(path=path, error=str(error))
    except Exception as error:  # noqa: BLE001 - said of this run, and the others go on
        return RunSummary(path=path, error=f"{type(error).__name__}: {error}; please report it")


def summary_of(session: Session, path: Path) -> RunSummary:
    """Return what a list says of a session that has been read."""
    run = session.run()
    if run is None:
        return RunSummary(path=path, error="no record was read")
    loss: tuple[str, float] | None = None
    for role in LOSSES:
        ref = session.catalogue.by_role(run, role)
        last = None if ref is None else run.tables[ref.table].series[ref.name].summary().last
        if ref is not None and last is not None:
            loss = ref.label, last
            break
    triage = Triage.load(session.folder, session.settings.mutes)
    told = [finding for finding in session.findings() if not triage.is_muted(finding)]
    worst = min(told, key=_badness, default=None)
    return RunSummary(
        path=path,
        state=session.state(time.time()),
        runs=len(session.store.runs),
        step=run.last_step,
        loss=None if loss is None else loss[1],
        loss_name=None if loss is None else loss[0],
        worst=None if worst is None else worst.severity,
        finding=None if worst is None else worst.title,
    )


def _badness(finding: Finding) -> tuple[int, int]:
    return -SEVERITIES.index(finding.severity), finding.onset_step


def _modified(path: Path) -> float:
    times: list[float] = []
    with contextlib.suppress(OSError):
        if path.is_dir():
            with os.scandir(path) as entries:
                times = [entry.stat().st_mtime for entry in entries if entry.is_file()]
        times.append(path.stat().st_mtime)
    return max(times, default=0.0)
