"""Reads the runs of a list in other processes, those in sight first, and again when they change."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from pathlib import Path

from traintop.parallel import Workers, cores
from traintop.run_paths import FIRST_FOLDERS
from traintop.run_summaries import RunSummary, list_runs, summarise_run
from traintop_tui.runs_model import RunsModel

LOOK = 5.0
"""Least seconds between two looks at the folder."""
REST = 50
"""So many times as long as a look took is waited until the next: it takes 2 % of a core at most."""
LEAST_FRAME = 0.2
"""Seconds between two pictures while summaries come in."""
AHEAD = 2
"""Runs handed out at a time, for each worker: few, so that what comes into sight is next."""
NICE = 10
"""Trainings on this machine come first."""
TRIES = 2
"""Times that a run is read whose reading ended the process: it may have been another's fault."""


class RunsFollower:
    """Keeps a list of runs up to date until it is told to stop.

    Args:
        model: What is filled.
        post: Called from this thread when there is something new to be seen.
    """

    def __init__(self, model: RunsModel, post: Callable[[], None]) -> None:
        self._model = model
        self._post = post
        self._stop = threading.Event()
        # It takes along the standard error, which has no descriptor once the app has the terminal.
        resource_tracker.ensure_running()
        self._read: dict[Path, float] = {}
        """When each run had been written to when it was last read."""
        self._tries: dict[Path, int] = {}

    def stop(self) -> None:
        """Let `run` return soon."""
        self._stop.set()

    def run(self) -> None:
        """Look, read and tell until stopped."""
        jobs = max(cores() - 1, 1)
        workers = Workers[RunSummary](jobs, NICE)
        reading: dict[Future[RunSummary], tuple[Path, float]] = {}
        due = shown = 0.0
        try:
            while not self._stop.is_set():
                now = time.monotonic()
                if now >= due:
                    if not self._model.looked:
                        # What is near the top of the folder is shown while the rest is looked for.
                        self._model.take_entries(list_runs(self._model.folder, FIRST_FOLDERS))
                        self._post()
                    self._model.take_entries(list_runs(self._model.folder))
                    self._post()
                    looked = time.monotonic()
                    due = looked + max(LOOK, REST * (looked - now))
                busy = {path for path, _ in reading.values()}
                for path, modified in self._next(busy, AHEAD * jobs - len(reading)):
                    reading[workers.submit(summarise_run, path)] = path, modified
                if not reading:
                    self._stop.wait(max(due - time.monotonic(), 0.05))
                    continue
                done, _ = wait(reading, timeout=LEAST_FRAME, return_when=FIRST_COMPLETED)
                for future in done:
                    self._take(future, *reading.pop(future))
                if done and (now - shown >= LEAST_FRAME or not reading):
                    self._post()
                    shown = now
        finally:
            workers.close()

    def _next(self, busy: set[Path], room: int) -> list[tuple[Path, float]]:
        """Return runs that are to be read, those in sight first."""
        if room <= 0:
            return []
        modified = {entry.path: entry.modified for entry in self._model.entries}
        found: list[tuple[Path, float]] = []
        for path in (*self._model.in_sight, *modified):
            written = modified.get(path)
            if written is None or path in busy or self._read.get(path) == written:
                continue
            busy.add(path)
            found.append((path, written))
            if len(found) == room:
                break
        return found

    def _take(self, future: Future[RunSummary], path: Path, modified: float) -> None:
        try:
            summary = future.result()
        except BrokenProcessPool:
            self._tries[path] = self._tries.get(path, 0) + 1
            if self._tries[path] < TRIES:
                return  # Read again, perhaps beside others.
            summary = RunSummary(path=path, error="the process that read it was ended")
        self._read[path] = modified
        with contextlib.suppress(KeyError):
            del self._tries[path]
        self._model.take_summary(summary)
