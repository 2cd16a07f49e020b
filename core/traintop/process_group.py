"""A program run in its own process group: heard line by line, ended with all that it started."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from traintop.analyses.marked_processes import MARK, end_marked

GRACE_SECONDS = 2.0
"""How long a process has to end after SIGTERM before its group is killed."""
TICK_SECONDS = 0.1
CHUNK = 1 << 16
LAST_CHUNKS = 64
"""Chunks read after the end: more than a pipe holds, and an end to what an escaped child writes."""
LONGEST_LINE = 1 << 28
"""Bytes after which a line is handed on in parts: the end of a line may never come."""

_BREAK = re.compile(rb"\r\n|\n|\r(?!$)")


@dataclass(frozen=True)
class Exit:
    """How a program ended."""

    code: int
    """Its exit code; negative: the signal that ended it."""
    late: bool
    """Whether it was ended for being past its deadline."""


def run_group(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    on_stdout: Callable[[str], None],
    on_stderr: Callable[[str], None],
    on_tick: Callable[[], None],
    stop: threading.Event,
    time_limit: float,
) -> Exit:
    """Run a program to its end, or until `stop` is set or `time_limit` seconds are over.

    The callbacks take lines without their ends; `on_tick` is called between them, many times a
    second. All are called in this thread. Whatever else is left of the group when the program has
    ended is killed; on Linux also what it has started outside of it.

    Raises:
        OSError: It cannot be started.
    """
    deadline = time.monotonic() + time_limit
    mark = uuid.uuid4().hex
    with subprocess.Popen(  # noqa: S603 - the caller's program, and no shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**env, MARK: mark},
    ) as process:
        lines = {
            _fd(process.stdout): _Lines(on_stdout),
            _fd(process.stderr): _Lines(on_stderr),
        }
        late = False
        try:
            late = _listen(process, lines, on_tick, stop, deadline)
        finally:
            _end(process)
            end_marked(mark)
            for fd, each in lines.items():
                each.drain(fd)
        return Exit(process.returncode, late)


def _fd(stream: IO[bytes] | None) -> int:
    if stream is None:
        raise AssertionError("both streams are pipes")
    os.set_blocking(stream.fileno(), False)
    return stream.fileno()


def _listen(
    process: subprocess.Popen[bytes],
    lines: Mapping[int, _Lines],
    on_tick: Callable[[], None],
    stop: threading.Event,
    deadline: float,
) -> bool:
    """Hand lines on until the program ends or has to be ended; returns whether it is late."""
    with selectors.DefaultSelector() as selector:
        for fd in lines:
            selector.register(fd, selectors.EVENT_READ)
        while process.poll() is None and not stop.is_set():
            if time.monotonic() > deadline:
                return True
            on_tick()
            if not selector.get_map():
                stop.wait(TICK_SECONDS)
            for key, _mask in selector.select(TICK_SECONDS):
                if not lines[key.fd].read(key.fd):
                    selector.unregister(key.fd)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program, politely at first, then whatever is left of its group."""
    if process.poll() is None:
        _signal_group(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    # The group keeps its number as long as anything lives in it.
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], what: signal.Signals) -> None:
    # Gone already, or (macOS) only zombies left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, what)


@dataclass
class _Lines:
    """Bytes from a non-blocking pipe, handed on as lines; a carriage return ends one, too."""

    take: Callable[[str], None]
    rest: bytearray = field(default_factory=bytearray)

    def read(self, fd: int) -> bool:
        """Take in what is there; returns whether more may come."""
        try:
            chunk = os.read(fd, CHUNK)
        except BlockingIOError:
            return True
        if b"\n" not in chunk and b"\r" not in chunk and len(self.rest) < LONGEST_LINE:
            self.rest += chunk  # a long line grows without being searched again and again
            return bool(chunk)
        *whole, last = _BREAK.split(bytes(self.rest) + chunk)
        if len(last) >= LONGEST_LINE:
            whole, last = [*whole, last], b""
        self.rest = bytearray(last)
        for line in whole:
            self.take(line.decode("utf-8", "replace"))
        return bool(chunk)

    def drain(self, fd: int) -> None:
        """Take in what is left after the end."""
        for _ in range(LAST_CHUNKS):
            before = len(self.rest)
            if not self.read(fd) or len(self.rest) == before:
                break
        if self.rest:
            self.take(self.rest.decode("utf-8", "replace"))
