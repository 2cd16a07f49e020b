"""Whether the process that wrote a run is still there: numbers are used again, runs are copied."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from traintop.liveness import process_alive

PROC = Path("/proc/self/stat")
HERE = socket.gethostname()


def test_this_process_is_alive_and_one_that_has_ended_is_not():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert process_alive(os.getpid(), HERE, time.time()) is True
    assert process_alive(ended.pid, HERE, time.time()) is False


@pytest.mark.parametrize(
    ("pid", "host"),
    [(1, "elsewhere"), (1, None), (0, HERE), (-1, HERE), (2**70, HERE)],
)
def test_nobody_knows_of_other_machines_or_of_what_is_no_process(pid, host):
    assert process_alive(pid, host, time.time()) is None


@pytest.mark.skipif(not PROC.exists(), reason="needs /proc")
def test_a_process_younger_than_the_last_write_is_another_one():
    assert process_alive(os.getpid(), HERE, time.time() - 10**6) is False
    assert process_alive(os.getpid(), HERE, None) is True


@pytest.mark.skipif(not PROC.exists(), reason="needs /proc")
def test_a_process_that_nobody_has_waited_for_is_dead():
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.read()  # It has closed its end: it is ending.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process_alive(child.pid, HERE, time.time()) is False
