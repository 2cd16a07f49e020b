"""The one thread that reads: it pumps the sessions, and says when there is news."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from traintop.gpu import GpuMonitor
from traintop.records import Update
from traintop.session import Session
from traintop_tui.file_events import POLL, file_events
from traintop_tui.job_list import JobList

READ_BYTES = 1 << 19
"""Bytes read a pump: small, because decoding holds the interpreter and the screen waits."""
READING_WAIT = 0.02
"""Seconds waited for what reads history before anything that was appended is looked for."""
JUDGED_RECORDS = 100
"""Training records judged a pump: about 5 ms, for that holds the interpreter, too."""
HOLD = 0.15
"""Seconds after a key in which history is neither read nor judged: the answer comes first."""
LEAST_FRAME = 0.25
"""Seconds between two pictures while records come in steadily; the first one is drawn at once."""
MANY = 16
"""Records that came since the last picture: the next one differs from it in most of its cells."""
LOADING_FRAME = 0.4
"""Seconds between two pictures where so many come, or history does: fewer are worth more."""
STEADY = 5
"""News in a second by which a stream is steady: nobody reads each of its values."""
STEADY_FRAME = 0.5
"""Seconds between two pictures of a steady stream."""


class Follower:
    """Pumps sessions until it is told to stop.

    Args:
        sessions: What to read; each belongs to this thread from now on.
        jobs: Analyses whose progress is polled.
        gpu: Devices to sample.
        post: Called from this thread with what is new.
        prepare: Called once, when all that is there has been read and shown.
    """

    def __init__(
        self,
        sessions: Sequence[Session],
        jobs: JobList,
        gpu: GpuMonitor,
        post: Callable[[Sequence[Update]], None],
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self._sessions = sessions
        self._jobs = jobs
        self._gpu = gpu
        self._post = post
        self._prepare = prepare
        self._stop = threading.Event()
        self._held_until = 0.0
        self._news: deque[float] = deque(maxlen=STEADY)
        """When records came, the last times."""

    def hold(self) -> None:
        """Leave the processor to the screen for a moment, which has a key to answer."""
        self._held_until = time.monotonic() + HOLD

    def stop(self) -> None:
        """Let `run` return soon."""
        self._stop.set()

    def run(self) -> None:
        """Pump, tell and sleep until stopped."""
        shown = 0.0
        prepared = False
        pending = True
        loading = False
        came = 0
        wait = file_events(self._sessions, self._stop, lambda: self._jobs.active)
        while not self._stop.is_set():
            now = time.time()
            updates = [session.pump(now, READ_BYTES, JUDGED_RECORDS) for session in self._sessions]
            sampled = self._gpu.sample(now)
            moved = self._jobs.poll()
            pending = pending or sampled or moved or any(update.changed for update in updates)
            more = any(update.more for update in updates)
            came += sum(update.records for update in updates)
            tick = time.monotonic()
            due = shown + self._pause(tick, updates, came, more=more)
            if loading and not any(update.loading for update in updates):
                due = 0.0  # The whole history is in: that is worth a picture at once.
            loading = any(update.loading for update in updates)
            if pending and tick >= due:
                self._post(updates)
                shown, pending, came = tick, False, 0
            if more:
                for session in self._sessions:
                    session.rest(READING_WAIT)
                # Once, so that a key that is held down does not keep news from the screen.
                held = self._held_until - time.monotonic()
                if held > 0:
                    self._stop.wait(held)
                continue
            if not prepared:
                # What the first picture does not need, after it.
                prepared = True
                self._gpu.start()
                self._jobs.load()
                self._prepare()
            if pending:
                self._stop.wait(max(due - tick, 0))
            elif self._jobs.active:
                self._stop.wait(POLL)
            else:
                next(wait, None)

    def _pause(self, now: float, updates: Sequence[Update], came: int, *, more: bool) -> float:
        """Return the seconds between the last picture and the next.

        Args:
            now: By the clock of pictures.
            updates: Of the sessions.
            came: Records since the last picture.
            more: Whether there is more to be read at once.
        """
        if any(update.records or update.log_lines for update in updates):
            self._news.append(now)
        if more:
            return LOADING_FRAME
        if len(self._news) == STEADY and now - self._news[0] < 1:
            return STEADY_FRAME
        return LOADING_FRAME if came >= MANY else LEAST_FRAME
