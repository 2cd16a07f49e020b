"""Work in several processes: the order, what a death costs, and who is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import count, islice

import pytest

from traintop.parallel import AHEAD, cores, ordered_map


# Workers import this module, so what they are to do stands at its top.
def square(number):
    time.sleep(0.002 * (number % 3))
    return number * number


def deadly(number):
    if number in (3, 4, 11):
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def raising(number):
    raise ValueError(f"no {number}")


def lost(number):
    return f"lost {number}"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Let workers find this module, which pytest has not put on their path."""
    here = os.path.dirname(__file__)  # noqa: PTH120 - a plain text for the environment
    monkeypatch.setenv("PYTHONPATH", here)
    monkeypatch.syspath_prepend(here)
    for function in (square, deadly, raising):
        monkeypatch.setattr(function, "__module__", "test_parallel")
    monkeypatch.setitem(sys.modules, "test_parallel", sys.modules[__name__])


def test_results_come_in_the_order_of_the_items():
    assert list(ordered_map(square, range(50), 2, lost)) == [n * n for n in range(50)]


def test_nothing_comes_of_nothing():
    assert list(ordered_map(square, [], 2, lost)) == []


def test_items_are_taken_as_they_are_needed():
    taken = []
    results = ordered_map(square, (taken.append(n) or n for n in count()), 2, lost)
    assert list(islice(results, 5)) == [0, 1, 4, 9, 16]
    results.close()
    assert len(taken) <= 2 * AHEAD + 5


def test_an_item_that_kills_its_process_costs_no_other():
    results = list(ordered_map(deadly, range(20), 2, lost))
    assert results == [f"lost {n}" if n in (3, 4, 11) else n for n in range(20)]


def test_what_the_function_raises_is_raised_here():
    with pytest.raises(ValueError, match="no 0"):
        list(ordered_map(raising, range(3), 2, lost))


def test_there_are_cores():
    assert cores() >= 1


def test_workers_end_with_a_parent_that_is_killed():
    code = (
        "import os, sys, time\n"
        "from traintop.parallel import ordered_map\n"
        "if __name__ == '__main__':\n"
        "    for _ in ordered_map(time.sleep, [0] + [0.1] * 1000, 2, print):\n"
        "        print('going', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout.readline() == b"going\n"
        process.kill()
    for _ in range(200):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    pytest.fail("workers were left behind")
