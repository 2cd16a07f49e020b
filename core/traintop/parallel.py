"""Runs a function over many items in worker processes; what one of them breaks stays its own.

The workers are spawned, not forked: nothing of this process (threads, locks, open files) gets into
them, so the function and the items must be importable and picklable.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")

AHEAD = 16
"""Items handed out ahead of the one that is waited for, per worker: bounds the memory."""


def cores() -> int:
    """How many processor cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def ordered_map(
    function: Callable[[A], R], items: Iterable[A], jobs: int, crashed: Callable[[A], R]
) -> Generator[R]:
    """Yield the function's result for each item, in the order of the items, as they come.

    Args:
        function: Called in a worker process. What it raises is raised here.
        items: Taken as workers become free.
        jobs: How many worker processes.
        crashed: Makes the result of an item whose worker process died: killed, out of memory, a
            fault in native code. The other items go on.
    """
    # Arithmetic on short arrays gains nothing by threads, and a pool of them in each of many
    # workers may exceed what a user may start.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    workers, alone = Workers[R](jobs), Workers[R](1)
    waiting: deque[tuple[A, Future[R]]] = deque()
    coming = iter(items)
    try:
        while True:
            for item in itertools.islice(coming, AHEAD * jobs - len(waiting)):
                waiting.append((item, workers.submit(function, item)))
            if not waiting:
                return
            item, future = waiting.popleft()
            yield _result(function, item, future, alone, crashed)
    finally:
        workers.close()
        alone.close()


def _result(
    function: Callable[[A], R],
    item: A,
    future: Future[R],
    alone: Workers[R],
    crashed: Callable[[A], R],
) -> R:
    """Wait for an item. Where its pool died, which of the items did that is found out alone."""
    try:
        return future.result()
    except BrokenProcessPool:
        pass
    try:
        return alone.submit(function, item).result()
    except BrokenProcessPool:
        return crashed(item)


class Workers(Generic[R]):
    """A pool of processes that is made anew when it has died.

    Args:
        jobs: How many processes.
        nice: By how much their priority is lowered.
    """

    def __init__(self, jobs: int, nice: int = 0) -> None:
        self._jobs = jobs
        self._nice = nice
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[[A], R], item: A) -> Future[R]:
        """Have a worker call the function with the item."""
        with _interrupts_held():
            if self._pool is not None:
                with contextlib.suppress(BrokenProcessPool):
                    return self._pool.submit(function, item)
                self.close()
            self._pool = ProcessPoolExecutor(
                self._jobs,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=(self._nice,),
            )
            return self._pool.submit(function, item)

    def close(self) -> None:
        """End the processes, without waiting for what they do."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def _interrupts_held() -> Generator[None]:
    """Hold Ctrl-C back while a process is started, which inherits that until `_begin`.

    It would print a traceback otherwise, from wherever it is in its imports.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(nice: int) -> None:
    """Set a worker up: it ends without a word at Ctrl-C, and with the process that started it."""
    os.nice(nice)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # The queues that it waits on would keep it for ever.
