"""Watches over the newest run of a session: when it last wrote, how it stands, whether it died."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from traintop.last_words import LastWord, last_word
from traintop.liveness import LEAST_SILENCE, allowed_silence, run_state
from traintop.records import Finding, RunInfo, State
from traintop.state_findings import StateFindings
from traintop.store import Run
from traintop.store.log import LogStore


class RunWatch:
    """How a run stands, from moment to moment; the clock is an argument."""

    def __init__(self) -> None:
        self._modified: float | None = None
        """When the files were last written, as their file system says."""
        self._heard: float | None = None
        """When something new last came in: its clock is ours, and pipes have no other."""
        self._word: tuple[int, LastWord | None] = (0, None)
        """The last word of a log of so many lines."""
        self._found = StateFindings()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """That it stalled or crashed, each time."""
        return self._found.findings

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
        self, state: State, run: Run, info: RunInfo, log: LogStore, now: float
    ) -> list[Finding]:
        """Tell of a run that has stalled or crashed; return what opened or ended.

        A run that stalled is one whose process is known or that was seen writing: files that were
        copied from elsewhere are as old as their copy.
        """
        if state == "stalled" and self._heard is None and info.pid is None:
            state = "unknown"
        wrote = self._wrote()
        silence = 0.0 if wrote is None else now - wrote
        allowed = LEAST_SILENCE if run.main is None else allowed_silence(run.main.time)
        return self._found.look(state, run.last_step or 0, silence, allowed, self._last_word(log))

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
