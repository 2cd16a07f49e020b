"""Watches over the newest run of a session: when it last wrote, how it stands, whether it died.

And what analyses of it have found: they, too, come beside the records.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from traintop.analysis_findings import AnalysisFindings
from traintop.last_words import LastWord, last_word
from traintop.liveness import LEAST_SILENCE, allowed_silence, run_state
from traintop.records import Finding, RunInfo, State
from traintop.state_findings import StateFindings
from traintop.store import Run, Store
from traintop.store.log import LogStore


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
        self._heard: float | None = None
        """When something new last came in: its clock is ours, and pipes have no other."""
        self._word: tuple[int, LastWord | None] = (0, None)
        """The last word of a log of so many lines."""
        self._found = StateFindings()
        self._analysed = AnalysisFindings()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """That it stalled or crashed, each time, and what analyses have found."""
        return (*self._found.findings, *self._analysed.findings)

    def look_at(self, files: Iterable[Path]) -> None:
        """See when the files were last written."""
        times = [when for when in map(_modified, files) if when is not None]
        self._modified = max(times, default=self._modified)

    def heard(self, now: float) -> None:
        """Note that something new came in."""
        self._heard = now

    def state(self, run: Run, info: RunInfo, log: LogStore, now: float) -> State:
        """Say how a run stands."""
        return run_state(run, info, now, self._wrote(), died=self._last_word(log) is not None)

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
        if state == "stalled" and self._heard is None and store.info.pid is None:
            state = "unknown"
        wrote = self._wrote()
        silence = 0.0 if wrote is None else now - wrote
        allowed = LEAST_SILENCE if run.main is None else allowed_silence(run.main.time)
        word = self._last_word(store.log)
        news = self._found.look(state, run.last_step or 0, silence, allowed, word)
        return news + self._analysed.look(folder if self._path.is_dir() else None, now)

    def _wrote(self) -> float | None:
        known = [when for when in (self._modified, self._heard) if when is not None]
        return max(known, default=None)

    def _last_word(self, log: LogStore) -> LastWord | None:
        """Look at the end of the log, once for each length of it."""
        size = log.dropped + len(log)
        if size != self._word[0]:
            self._word = (size, last_word(log.lines))
        return self._word[1]


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
