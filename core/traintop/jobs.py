"""Analyses as jobs: each a process of its own that is started, listened to, limited and ended here.

    job = Job(request, run_dir=run_dir).start()
    for event in job.events():     # blocks; the app calls job.poll() instead, which never does
        ...
    job.result                     # an AnalysisResult, whatever happened

or, all at once, `run(make_request("lr_find", target="train.py:target", checkpoint="ckpt-400.pt"))`.
A `JobQueue` keeps jobs waiting until fewer than two run.
"""

from __future__ import annotations

import atexit
import contextlib
import queue
import signal
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from traintop import analyses
from traintop.analyses import ANALYSES
from traintop.analyses.request import Request
from traintop.analysis_results import AnalysisResult, write_result
from traintop.errors import AnalysisError
from traintop.job_events import (
    DECODER,
    Ended,
    FailureSent,
    JobEvent,
    Log,
    Progress,
    ResultSent,
    Started,
)
from traintop.launch import check_request, interpreter
from traintop.placement import command, place
from traintop.process_group import Exit, run_group

WORKER = Path(analyses.__file__).with_name("worker.py")
TIME_LIMIT = 3600.0
STDERR_LINES = 20
AT_ONCE = 2
BESIDE_SECONDS = 2.0
"""Seconds between two looks at the live run."""

JobState = Literal["queued", "running", "ok", "failed", "cancelled"]


_live: weakref.WeakSet[Job] = weakref.WeakSet()


class Job:
    """One analysis, from being queued to its result. Its methods may be called from any thread.

    Args:
        request: What to do.
        python: The interpreter that trains; see `interpreter`.
        run_dir: The run that a result file is left with.
        out: A folder that the result file goes to instead.
        time_limit: Seconds after which it is ended.
        beside: Asked now and then, in the job's own thread, for what there is to say of the live
            run (`LiveThroughput.check`); it is told as a `Log`.
        on_end: Called in the job's own thread when it has ended.

    Raises:
        AnalysisError: No such analysis, or no such checkpoint, interpreter or target file.
    """

    def __init__(
        self,
        request: Request,
        *,
        python: str | Path | None = None,
        run_dir: Path | None = None,
        out: Path | None = None,
        time_limit: float = TIME_LIMIT,
        beside: Callable[[], str | None] | None = None,
        on_end: Callable[[Job], None] | None = None,
    ) -> None:
        check_request(request)
        self.request = request
        self.python = interpreter(python, run_dir)
        self.state: JobState = "queued"
        self.progress = Progress(0, 0, "waiting")
        """The latest."""
        self.result: AnalysisResult | None = None
        self.path: Path | None = None
        """The result file."""
        self._run_dir, self._out = run_dir, out
        self._time_limit, self._on_end = time_limit, on_end
        self._beside, self._beside_due = beside, 0.0
        self._device = request.device if request.device != "auto" else "cpu"
        self._began = time.monotonic()
        self._step: int | None = None
        self._events: queue.SimpleQueue[JobEvent] = queue.SimpleQueue()
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._outcome: ResultSent | FailureSent | None = None
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        _live.add(self)

    @property
    def ended(self) -> bool:
        """Whether `result` is there."""
        return self.result is not None

    def start(self) -> Job:
        """Start the process; does nothing where it was started or cancelled before."""
        with self._lock:
            if self._thread is None and not self.ended:
                self.state = "running"
                self._began = time.monotonic()
                self._thread = threading.Thread(target=self._supervise, daemon=True)
                self._thread.start()
        return self

    def poll(self) -> list[JobEvent]:
        """The events since the last call, without waiting. The last of all is `Ended`."""
        found: list[JobEvent] = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._events.get_nowait())
        return found

    def events(self) -> Iterator[JobEvent]:
        """All events as they come, until `Ended`."""
        while True:
            event = self._events.get()
            yield event
            if isinstance(event, Ended):
                return

    def cancel(self) -> None:
        """Ask for the end of the whole process group; `Ended` follows."""
        self._cancelled.set()
        with self._lock:
            waiting = self._thread is None and not self.ended
            if waiting:
                self._finish("cancelled", "cancelled before it started")

    def close(self) -> None:
        """Cancel, and wait until no process of it is left."""
        self.cancel()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _supervise(self) -> None:
        try:
            request, env = place(self.request)
            ended = run_group(
                command(self.python, WORKER, request),
                env=env,
                on_stdout=self._take,
                on_stderr=self._take_stderr,
                on_tick=self._look_beside,
                stop=self._cancelled,
                time_limit=self._time_limit,
            )
        except OSError as error:
            self._finish("failed", f"cannot start {self.python}: {error.strerror}")
        except Exception as error:  # noqa: BLE001 - who waits for a job must hear of its end
            self._finish("failed", f"traintop itself failed: {type(error).__name__}: {error}")
        else:
            self._conclude(ended)
        if self._on_end is not None:
            self._on_end(self)

    def _take(self, line: str) -> None:
        try:
            event = DECODER.decode(line)
        except (msgspec.DecodeError, RecursionError):
            self._events.put(Log(f"unreadable event of the worker: {line[:200]}"))
            return
        if isinstance(event, ResultSent | FailureSent):
            # Of several processes the first that fails knows why; others then miss it.
            self._outcome = self._outcome or event
            return
        if isinstance(event, Progress):
            self.progress = event
        elif isinstance(event, Started):
            self._step, self._device = event.step, event.device
        self._events.put(event)

    def _look_beside(self) -> None:
        now = time.monotonic()
        if self._beside is None or now < self._beside_due:
            return
        self._beside_due = now + BESIDE_SECONDS
        text = self._beside()
        if text is not None:
            self._events.put(Log(text))

    def _take_stderr(self, line: str) -> None:
        self._stderr.append(line[:500])

    def _conclude(self, ended: Exit) -> None:
        """Say how it ended: by its own words where it had any, else by its exit code."""
        if isinstance(self._outcome, ResultSent):
            self._finish("ok", None, self._outcome.result)
        elif self._cancelled.is_set():
            self._finish("cancelled", "cancelled")
        elif ended.late:
            what = self.progress.what
            reason = f"ended at the time limit of {self._time_limit:g} s, at: {what}"
            self._finish("failed", self._with_stderr(reason))
        elif isinstance(self._outcome, FailureSent):
            reason = self._outcome.reason
            show = self._outcome.show_output
            self._finish("failed", self._with_stderr(reason) if show else reason)
        elif self.request.nnodes > 1 and ended.code == 0:
            self._finish("ok", "the result is with rank 0, on another machine")
        else:
            self._finish("failed", self._with_stderr(_how_it_died(ended.code)))

    def _with_stderr(self, reason: str) -> str:
        return "\n".join([reason, *self._stderr])

    def _finish(
        self, state: JobState, error: str | None, result: AnalysisResult | None = None
    ) -> None:
        if result is None:
            result = AnalysisResult(
                analysis=self.request.analysis,
                status="ok" if state == "ok" else "cancelled" if state == "cancelled" else "failed",
                checkpoint=self.request.checkpoint,
                step=self._step,
                seconds=round(time.monotonic() - self._began, 3),
                device=self._device,
                error=error,
            )
        elif self._run_dir is not None or self._out is not None:
            try:
                self.path = write_result(result, run_dir=self._run_dir, out=self._out)
            except OSError as problem:
                self._events.put(Log(f"the result file could not be written: {problem}"))
        self.state = state
        self.result = result
        self._events.put(Ended(result, self.path))


class JobQueue:
    """Jobs that wait for their turn; at most `at_once` run."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._lock = threading.RLock()
        self._closed = False
        self.jobs: list[Job] = []
        """All of them, in the order in which they were given."""

    def submit(self, request: Request, **how: Any) -> Job:
        """Queue an analysis; `how` is what `Job` takes besides.

        Raises:
            AnalysisError: As `Job` does, or the queue is closed.
        """
        if self._closed:
            raise AnalysisError("no analysis can be started while traintop is closing")
        job = Job(request, on_end=lambda _job: self._start_next(), **how)
        with self._lock:
            self.jobs.append(job)
        self._start_next()
        return job

    def close(self) -> None:
        """Cancel all jobs and wait until no process is left."""
        self._closed = True
        with self._lock:
            jobs = list(self.jobs)
        for job in jobs:
            job.cancel()
        for job in jobs:
            job.close()

    def _start_next(self) -> None:
        with self._lock:
            running = sum(job.state == "running" for job in self.jobs)
            for job in self.jobs:
                if running >= self._at_once or self._closed:
                    return
                if job.state == "queued":
                    job.start()
                    running += 1


def run(
    request: Request,
    *,
    python: str | Path | None = None,
    run_dir: Path | None = None,
    out: Path | None = None,
    time_limit: float = TIME_LIMIT,
    beside: Callable[[], str | None] | None = None,
    on_event: Callable[[JobEvent], None] | None = None,
) -> tuple[AnalysisResult, Path | None]:
    """Run one analysis to its end, as `traintop analyze` does; see `Job` for the arguments.

    An interrupt (Ctrl-C) ends the whole process group before it goes on its way.

    Returns:
        The result, whose `status` tells how it went, and the result file.

    Raises:
        AnalysisError: It cannot be started.
    """
    job = Job(
        request, python=python, run_dir=run_dir, out=out, time_limit=time_limit, beside=beside
    )
    try:
        for event in job.start().events():
            if isinstance(event, Ended):
                return event.result, event.path
            if on_event is not None:
                on_event(event)
    finally:
        job.close()
    raise AssertionError("events() always ends with Ended")


def summary(result: AnalysisResult) -> list[str]:
    """A result in lines of text, for people."""
    where = "" if result.step is None else f" at step {result.step}"
    if result.checkpoint is None:
        where = " on the target as it is"
    title = ANALYSES[result.analysis].title if result.analysis in ANALYSES else result.analysis
    lines = [f"{title}{where}: {result.status} ({result.seconds:.1f} s on {result.device})"]
    if result.status == "ok" and result.error is None:
        try:
            lines += analyses.summary(result.analysis, result.result)
        except (ImportError, LookupError, TypeError, ValueError, AttributeError) as error:
            lines.append(f"its result cannot be read: {type(error).__name__}: {error}")
    if result.error != result.status:  # A job that was cancelled may say no more than that.
        lines += (result.error or "").splitlines()
    lines += [f"{each.get('severity')}: {each.get('title')}" for each in result.findings]
    return lines


def _how_it_died(code: int) -> str:
    if code >= 0:
        return f"the process ended with exit code {code} and no result"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    more = " (often for want of memory)" if name == "SIGKILL" else ""
    return f"the process was ended by {name}{more}"


@atexit.register
def _close_all() -> None:
    """No process outlives the program that started it."""
    jobs = list(_live)
    for job in jobs:
        job.cancel()
    for job in jobs:
        job.close()
