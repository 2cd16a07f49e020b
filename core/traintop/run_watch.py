"""Watches over the newest run of a session: when it last wrote, how it stands, whether it died.

And what analyses of it have found: they, too, come beside the records.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from traintop.analysis_findings import AnalysisFindings
from traintop.last_words import LastWord, exit_word, last_word, said_the_end
from traintop.liveness import Signs, allowed_silence, process_alive, run_state
from traintop.records import Finding, Floats, RunInfo, State
from traintop.state_findings import StateFindings
from traintop.store import Run, Store
from traintop.store.log import LogStore
from traintop.writer_process import writer_of

ARRIVALS = 200
"""Moments kept at which something came in: the rhythm of a run that writes no times."""
LOOK_FOR_WRITER = 30.0
"""Seconds between two looks for the process that writes."""
HERE = os.uname().nodename
RECENT = 86_400.0
"""Seconds since the last write after which no writer is looked for."""


class RunWatch:
    """How a run stands, from moment to moment; the clock is an argument.

    Args:
        path: What is read. Analyses that lie in a folder are of its run; beside a single file there
            may be those of others.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._modified: float | None = None
        """When the files were last written, as their file system says."""
        self._arrivals: deque[float] = deque(maxlen=ARRIVALS)
        """When something new came in: the clock is ours, and pipes have no other."""
        self._files: tuple[Path, ...] = ()
        self._writer: int | None = None
        self._writer_due = 0.0
        self._word: tuple[int, LastWord | None, bool] = (0, None, False)
        """Of a log of so many lines: its last word, and whether it says that all went well."""
        self._found = StateFindings()
        self._analysed = AnalysisFindings()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """That it stalled or crashed, each time, and what analyses have found."""
        return (*self._found.findings, *self._analysed.findings)

    def look_at(self, files: Iterable[Path]) -> None:
        """See when the files were last written."""
        self._files = tuple(files)
        times = [when for when in map(_modified, self._files) if when is not None]
        self._modified = max(times, default=self._modified)

    def heard(self, now: float) -> None:
        """Note that something new came in."""
        self._arrivals.append(now)

    def state(self, run: Run, info: RunInfo, log: LogStore, now: float) -> State:
        """Say how a run stands."""
        word, well = self._last_words(log)
        wrote = self._wrote()
        if info.pid is not None:
            alive = process_alive(info.pid, info.host, wrote)
        else:
            alive = self._writer_alive(now, wrote)
        signs = Signs(
            wrote=wrote,
            allowed=allowed_silence(self._rhythm(run)),
            alive=alive,
            registered=info.pid is not None,
            died=word is not None,
            said_the_end=well,
        )
        return run_state(run, info, now, signs)

    def _writer_alive(self, now: float, wrote: float | None) -> bool | None:
        """Whether the process that has the files open is there; None if none was ever seen."""
        if self._writer is not None:
            return process_alive(self._writer, HERE)
        if now >= self._writer_due and wrote is not None and now - wrote < RECENT:
            self._writer_due = now + LOOK_FOR_WRITER
            self._writer = writer_of(self._files)
        return None if self._writer is None else True

    def _rhythm(self, run: Run) -> Floats:
        """When the last records came, by their own times where they have them."""
        main = run.main
        if main is not None and np.isfinite(main.time[-1000:]).any():
            return main.time
        return np.array(self._arrivals)

    def judge(
        self,
        state: State,
        run: Run,
        store: Store,
        folder: Path | None,
        now: float,
    ) -> list[Finding]:
        """Tell of a run that has stalled or crashed, or was analysed; return what opened or ended.

        A run that stalled is one whose process is known or that was seen writing: files that were
        copied from elsewhere are as old as their copy.
        """
        known = self._arrivals or store.info.pid is not None or self._writer is not None
        if state == "stalled" and not known:
            state = "unknown"
        wrote = self._wrote()
        silence = 0.0 if wrote is None else now - wrote
        allowed = allowed_silence(self._rhythm(run))
        word = self._last_words(store.log)[0] or exit_word(list(run.events))
        news = self._found.look(state, run.last_step or 0, silence, allowed, word)
        return news + self._analysed.look(folder if self._path.is_dir() else None, now)

    def _wrote(self) -> float | None:
        known = [when for when in (self._modified, *list(self._arrivals)[-1:]) if when is not None]
        return max(known, default=None)

    def _last_words(self, log: LogStore) -> tuple[LastWord | None, bool]:
        """Look at the end of the log, once for each length of it."""
        size = log.dropped + len(log)
        if size != self._word[0]:
            self._word = (size, last_word(log.lines), said_the_end(log.lines))
        return self._word[1:]


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
