"""Analyses as the app lists them: those that run or have run, and results of earlier sessions.

What starts and reads processes is imported when the first analysis is started or listed: the first
picture must not wait for it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from traintop.analyses import ANALYSES

if TYPE_CHECKING:
    from traintop.analyses.request import Request
    from traintop.analysis_results import AnalysisResult
    from traintop.jobs import Job, JobQueue
    from traintop.session import Session

NO_CHECKPOINT = "the target as it is"
"""What an analysis without a checkpoint runs on: what the target returns."""

Points = dict[str, tuple[list[float], list[float]]]
"""By series: x and y of the live chart."""


PACE_SECONDS = 1.0
"""No time is foretold from less than this."""


@dataclass(eq=False)
class JobItem:
    """One analysis: a job of this session, or a result file of an earlier one."""

    analysis: str
    checkpoint: str | None
    job: Job | None = None
    result: AnalysisResult | None = None
    path: Path | None = None
    """Its result file."""
    points: Points = field(default_factory=dict[str, tuple[list[float], list[float]]])
    remarks: list[str] = field(default_factory=list[str])
    began: tuple[float, int] | None = None
    """When the first countable progress came, in seconds of a clock, and how much that was."""

    @property
    def title(self) -> str:
        """What it is called."""
        known = ANALYSES.get(self.analysis)
        return self.analysis if known is None else known.title

    @property
    def checkpoint_name(self) -> str:
        """The name of its checkpoint's file."""
        return NO_CHECKPOINT if self.checkpoint is None else Path(self.checkpoint).name

    @property
    def state(self) -> str:
        """queued, running, ok, failed or cancelled."""
        if self.result is not None:
            return self.result.status
        return "queued" if self.job is None else self.job.state

    @property
    def progress(self) -> tuple[int, int]:
        """How much is done, and of how much; 0 of 0 where that is not known."""
        if self.job is None or self.result is not None:
            return 0, 0
        return self.job.progress.done, self.job.progress.total

    def seconds_left(self, now: float) -> float | None:
        """Return the time that the rest will take at the pace so far; None where not known.

        Args:
            now: Seconds of the clock of `began`.
        """
        done, total = self.progress
        if self.began is None or not total:
            return None
        since, first = self.began
        if now - since < PACE_SECONDS or done <= first:
            return None
        return (now - since) / (done - first) * (total - done)

    @property
    def step(self) -> int | None:
        """The step of its checkpoint, once that is known."""
        return None if self.result is None else self.result.step

    def lines(self) -> list[str]:
        """Its result, or how far it is, in lines of text."""
        if self.result is not None:
            from traintop.jobs import summary

            return [*summary(self.result), *self.remarks]
        if self.job is None:
            return self.remarks
        progress = self.job.progress
        share = f"{progress.done}/{progress.total}  " if progress.total else ""
        return [f"{self.job.state}: {share}{progress.what}", *self.remarks]


class JobList:
    """The items of one run, newest last. Polled by one thread, read by another.

    Args:
        run_dir: The run whose earlier results are listed; None for standard input.
        session: The run as it is read, whose throughput is watched while an analysis runs.
    """

    def __init__(self, run_dir: Path | None, session: Session | None = None) -> None:
        self._queue: JobQueue | None = None
        self._session = session
        self._run_dir = run_dir
        self.items: list[JobItem] = []
        self.damaged: list[str] = []
        """Result files that could not be read, and why."""

    def load(self) -> None:
        """List the results of earlier analyses of the run."""
        if self._run_dir is None:
            return
        from traintop.analysis_results import load_results

        stored, unreadable = load_results(self._run_dir)
        for each in stored:
            self.items.append(
                JobItem(
                    analysis=each.result.analysis,
                    checkpoint=each.result.checkpoint,
                    result=each.result,
                    path=each.path,
                )
            )
        self.damaged = [f"{each.path}: {each.why}" for each in unreadable]

    def start(self, request: Request, python: str | None) -> JobItem:
        """Queue an analysis.

        Raises:
            AnalysisError: It cannot be started.
        """
        from traintop.jobs import JobQueue
        from traintop.live_throughput import LiveThroughput, of_session

        self._queue = self._queue or JobQueue()
        session = self._session
        watch = None if session is None else LiveThroughput(lambda: of_session(session)).check
        job = self._queue.submit(request, python=python, run_dir=self._run_dir, beside=watch)
        item = JobItem(request.analysis, request.checkpoint, job=job)
        self.items.append(item)
        return item

    @property
    def active(self) -> bool:
        """Whether any job has not ended."""
        return any(item.job is not None and item.result is None for item in self.items)

    def poll(self) -> bool:
        """Take the events of all jobs; return whether there were any."""
        if self._queue is None:
            return False
        from traintop.job_events import Ended, Log, Point, Progress

        news = False
        for item in self.items:
            if item.job is None or item.result is not None:
                continue
            for event in item.job.poll():
                news = True
                match event:
                    case Point():
                        xs, ys = item.points.setdefault(event.series, ([], []))
                        xs.append(event.x)
                        ys.append(event.y)
                    case Log():
                        item.remarks.append(event.text)
                    case Progress() if event.total and item.began is None:
                        item.began = time.monotonic(), event.done
                    case Ended():
                        item.result, item.path = event.result, event.path
                    case _:
                        pass
        return news

    def cancel(self, item: JobItem) -> None:
        """End a job that runs or waits."""
        if item.job is not None and item.result is None:
            item.job.cancel()

    def close(self) -> None:
        """End all jobs and wait until no process is left."""
        if self._queue is not None:
            self._queue.close()

    def pinned(self) -> list[JobItem]:
        """Return the items with a result that belongs to a step."""
        return [item for item in self.items if item.state == "ok" and item.step is not None]
