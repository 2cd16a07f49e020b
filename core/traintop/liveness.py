"""Whether a run is still going on: from its own rhythm, its process, its plan and its events."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from traintop.records import Event, RunInfo, State
from traintop.store import Run

PATIENCE = 5.0
"""A run is late when nothing came for so many times the 99th percentile of its gaps."""
LEAST_SILENCE = 60.0
"""Seconds of silence that are always allowed: evaluation, checkpoints, compilation."""
LONG_SILENCE = 600.0
"""Seconds after which silence with no other sign means that nobody knows."""


CLOCK_SLACK = 60.0
"""Seconds by which the clocks of this machine and of its file server may differ."""


def process_alive(pid: int, host: str | None, wrote: float | None = None) -> bool | None:
    """Tell whether a process that wrote to a run is still there.

    Args:
        pid: Its number. Numbers are used again: a process that is younger than the last write is
            another one.
        host: The machine that it ran on.
        wrote: When it last wrote, seconds since 1970.

    Returns:
        None where nobody here can know: it ran on another machine or an unknown one.
    """
    if host != os.uname().nodename or pid <= 0:
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OverflowError:
        return None
    except PermissionError:
        pass  # It is there, and somebody else's.
    known = _state_and_start(pid)
    if known is None:
        return True
    state, start = known
    return state not in ("Z", "X") and (wrote is None or start <= wrote + CLOCK_SLACK)


def _state_and_start(pid: int) -> tuple[str, float] | None:
    """The state letter of a process and its start, seconds since 1970; None without /proc.

    Fields 3 and 22 of /proc/PID/stat, proc(5); the name before them may hold blanks and brackets.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], _boot_time() + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


@cache
def _boot_time() -> float:
    """When the machine was started, seconds since 1970."""
    lines = Path("/proc/stat").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("btime"))


def allowed_silence(times: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Return how many seconds of silence are normal after records at these times, shape (n,)."""
    recent = times[-1000:]
    gaps = np.diff(recent[np.isfinite(recent)])
    if not len(gaps):
        return LEAST_SILENCE
    # That is np.percentile(gaps, 99), which would import masked arrays at every start.
    usual = np.interp(0.99 * (len(gaps) - 1), np.arange(len(gaps)), np.sort(gaps))
    return max(PATIENCE * float(usual), LEAST_SILENCE)


class Signs(NamedTuple):
    """What else than its records tells how a run stands."""

    wrote: float | None
    """When it last wrote, seconds since 1970."""
    allowed: float
    """Seconds of silence that are normal for it."""
    alive: bool | None
    """Whether its process is there; None if no process is known."""
    registered: bool
    """Whether the run itself named that process, rather than that it was seen to write."""
    died: bool
    """Whether its log ends with the word of its death."""
    said_the_end: bool
    """Whether its log ends with the word that the training is over."""


def run_state(run: Run, info: RunInfo, now: float, signs: Signs) -> State:
    """Say how a run stands.

    Args:
        run: What was read of it.
        info: Its `run.json`.
        now: Seconds since 1970.
        signs: What else is known.
    """
    last_step = run.last_step
    if last_step is None:
        return "waiting"
    ended = _ended(run.events)
    if ended is not None:
        return ended
    # A run that has gone beyond its plan had another plan.
    if info.planned_steps and info.planned_steps - 1 <= last_step <= info.planned_steps:
        return "finished"
    alive = signs.alive
    if signs.said_the_end and not signs.died and not alive:
        return "finished"
    if alive is False and (signs.registered or signs.died):
        return "crashed"
    if signs.wrote is None:
        return "unknown"
    silence = now - signs.wrote
    # One rank's traceback, or one that was caught, is no death while others go on writing.
    if signs.died and not (alive and silence <= LEAST_SILENCE):
        return "crashed"
    if alive is False:
        return "unknown"  # It is over, and nothing says how.
    if silence <= max(LEAST_SILENCE, signs.allowed):
        return "running"
    return "stalled" if alive or silence <= LONG_SILENCE else "unknown"


def _ended(events: list[Event]) -> State | None:
    """How the run says that it ended; None where it does not, or was resumed after that."""
    for event in reversed(list(events)):
        if event.event == "resume":
            return None
        action = event.fields.get("action") if event.event == "control" else None
        if action == "finished":
            return "finished"
        if action == "failed":
            return "crashed"
    return None
