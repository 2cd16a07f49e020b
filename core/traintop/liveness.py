"""Whether a run is still going on: from its own rhythm, its process, its plan and its events."""

from __future__ import annotations

import os
import socket

import numpy as np

from traintop.records import Event, RunInfo, State
from traintop.store import Run

PATIENCE = 5.0
"""A run is late when nothing came for so many times the 99th percentile of its gaps."""
LEAST_SILENCE = 60.0
"""Seconds of silence that are always allowed: evaluation, checkpoints, compilation."""
LONG_SILENCE = 600.0
"""Seconds after which silence with no other sign means that nobody knows."""


def process_alive(pid: int, host: str | None) -> bool | None:
    """Tell whether a process runs on this machine; None when it is on another one."""
    if host is not None and host != socket.gethostname():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def allowed_silence(times: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Return how many seconds of silence are normal after records at these times, shape (n,)."""
    recent = times[-1000:]
    gaps = np.diff(recent[np.isfinite(recent)])
    if not len(gaps):
        return LEAST_SILENCE
    return max(PATIENCE * float(np.percentile(gaps, 99)), LEAST_SILENCE)


def run_state(run: Run, info: RunInfo, now: float, modified: float | None) -> State:
    """Say how a run stands.

    Args:
        run: What was read of it.
        info: Its `run.json`.
        now: Seconds since 1970.
        modified: When its files were last written, seconds since 1970.
    """
    last_step = run.last_step
    if last_step is None:
        return "waiting"
    if _ended(run.events) or (info.planned_steps and last_step >= info.planned_steps - 1):
        return "finished"
    alive = process_alive(info.pid, info.host) if info.pid is not None else None
    if alive is False:
        return "crashed"
    if modified is None:
        return "unknown"
    main = run.main
    silence = now - modified
    if silence <= LEAST_SILENCE or (main is not None and silence <= allowed_silence(main.time)):
        return "running"
    return "stalled" if alive or silence <= LONG_SILENCE else "unknown"


def _ended(events: list[Event]) -> bool:
    """Whether the last thing that the run said of itself is that it ended."""
    for event in reversed(events):
        if event.event == "resume":
            return False
        if event.event == "control" and event.fields.get("action") == "finished":
            return True
    return False
