"""A program's output, read while it comes."""

from __future__ import annotations

import os
import sys
import threading
import time

import psutil
import pytest

from traintop import process_group
from traintop.process_group import run_group


def test_a_line_without_an_end_is_handed_on_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_group, "LONGEST_LINE", 1 << 16)
    said: list[str] = []
    program = "import sys; sys.stderr.write('x' * 1000000)"
    ended = run_group(
        [sys.executable, "-S", "-c", program],
        env=os.environ,
        on_stdout=said.append,
        on_stderr=said.append,
        on_tick=lambda: None,
        stop=threading.Event(),
        time_limit=60,
    )
    assert ended.code == 0
    assert "".join(said) == "x" * 1_000_000
    assert max(map(len, said)) <= 2 << 16


DAEMON = """
import os, sys, time
if not os.fork():
    os.setsid()
    if not os.fork():  # no child of ours, nor of our session
        print(os.getpid(), flush=True)
        sys.stdout = sys.stderr = None
        time.sleep(600)
    os._exit(0)
time.sleep({seconds})
"""


@pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
@pytest.mark.parametrize("seconds", [0, 600])
def test_a_daemon_of_the_program_does_not_outlive_it(seconds: int) -> None:
    stop, said = threading.Event(), list[str]()

    def heard(line: str) -> None:
        said.append(line)
        if seconds:
            stop.set()

    run_group(
        [sys.executable, "-S", "-c", DAEMON.format(seconds=seconds)],
        env=os.environ,
        on_stdout=heard,
        on_stderr=said.append,
        on_tick=lambda: None,
        stop=stop,
        time_limit=60,
    )
    (daemon,) = map(int, said)
    for _ in range(1000):
        if not psutil.pid_exists(daemon) or psutil.Process(daemon).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.01)
    raise AssertionError("it is still there")
