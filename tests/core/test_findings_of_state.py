"""Runs that stall or die: what the session says of them, and of logs that are only old."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

import pytest

from traintop.last_words import last_word
from traintop.opening import read_whole
from traintop.session import Session
from traintop.settings import Settings
from traintop.state_findings import StateFindings

TRACEBACK = """\
Traceback (most recent call last):
  File "train.py", line 10, in <module>
    step()
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.
"""


def lines(count: int, start: float) -> str:
    return "".join(
        json.dumps({"step": step, "loss": 1.0 / (step + 1), "time": start + step}) + "\n"
        for step in range(count)
    )


# --- what the log says -------------------------------------------------------------------------


def test_the_last_line_of_a_traceback() -> None:
    word = last_word(["step 1", *TRACEBACK.splitlines(), "wandb: run finished"])
    assert word is not None
    assert word.text.startswith("torch.OutOfMemoryError: CUDA out of memory")
    assert word.out_of_memory


@pytest.mark.parametrize(
    "line",
    [
        "Segmentation fault (core dumped)",
        "slurmstepd: error: *** JOB 77 ON node3 CANCELLED AT 2026-01-01 DUE TO TIME LIMIT ***",
        "Loss is nan, stopping training",
        "Killed",
    ],
)
def test_other_last_words(line: str) -> None:
    word = last_word(["step 1 loss 2", line])
    assert word is not None
    assert not word.out_of_memory


@pytest.mark.parametrize(
    ("line", "short"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", True),
        ("slurmstepd: error: Detected 1 oom-kill event in step 7.0", True),
        ("RuntimeError: Error(s) in loading state_dict for BloomForCausalLM", False),
    ],
)
def test_only_a_want_of_memory_is_one(line: str, short: bool) -> None:
    word = last_word(["Traceback (most recent call last):", line])
    assert word is not None
    assert word.out_of_memory is short


def test_a_last_word_is_no_page() -> None:
    word = last_word(["Traceback (most recent call last):", "ValueError: " + "x" * 100_000])
    assert word is not None
    assert len(word.text) == 300


@pytest.mark.parametrize(
    "log",
    [
        [],
        ["step 1 loss 2.0", "ValueError is raised where the shape is wrong"],
        ["Traceback (most recent call last):", '  File "a.py", line 1', "KeyboardInterrupt"],
        [*TRACEBACK.splitlines(), *(f"step {step} loss 1.0" for step in range(60))],
        ["UserWarning: this is deprecated"],
    ],
)
def test_what_is_no_last_word(log: list[str]) -> None:
    assert last_word(log) is None


# --- the episodes ------------------------------------------------------------------------------


def test_a_stall_that_ends_is_over_and_the_next_is_another() -> None:
    states = StateFindings()
    assert states.look("running", 10, 1.0, 60.0) == []
    (opened,) = states.look("stalled", 10, 70.0, 60.0)
    assert opened.evidence[0].threshold == 60.0
    assert states.look("stalled", 10, 90.0, 60.0) == []
    (over,) = states.look("running", 12, 1.0, 60.0)
    assert over.resolved_step == 12
    (again,) = states.look("stalled", 20, 70.0, 60.0)
    assert again.episode == 2
    assert len(states.findings) == 2


# --- in a session ------------------------------------------------------------------------------


def test_an_old_log_from_elsewhere_is_neither(tmp_path: Path) -> None:
    file = tmp_path / "train_diagnostics.jsonl"
    file.write_text(lines(50, 1000.0))
    for age in (0, 120, 300, 5000, 10**8):
        os.utime(file, (time.time() - age, time.time() - age))
        assert not {"stalled", "crashed"} & {
            each.id for each in read_whole(tmp_path, Settings()).findings()
        }


def test_a_run_that_was_watched_and_falls_silent_has_stalled(tmp_path: Path) -> None:
    now = time.time()
    file = tmp_path / "train_diagnostics.jsonl"
    file.write_text(lines(50, now - 50))
    session = Session(tmp_path, Settings())
    while session.pump(now).more:
        pass
    with file.open("a") as more:
        more.write(json.dumps({"step": 50, "loss": 0.02, "time": now}) + "\n")
    session.pump(now + 2)
    assert not session.findings()
    update = session.pump(now + 200)
    assert [each.id for each in update.findings] == ["stalled"]
    with file.open("a") as more:
        more.write(json.dumps({"step": 51, "loss": 0.02, "time": now + 300}) + "\n")
    os.utime(file, (now + 300, now + 300))
    session.pump(now + 300)
    (finding,) = [each for each in session.findings() if each.id == "stalled"]
    assert finding.resolved_step == 51


def test_a_process_that_is_gone_before_its_plan_has_crashed(tmp_path: Path) -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    info = {"pid": pid, "host": socket.gethostname(), "planned_steps": 500}
    (tmp_path / "run.json").write_text(json.dumps(info))
    (tmp_path / "train_diagnostics.jsonl").write_text(lines(50, time.time() - 50))
    (finding,) = [
        each for each in read_whole(tmp_path, Settings()).findings() if each.id == "crashed"
    ]
    assert finding.severity == "critical"
    assert finding.onset_step == 49


def test_the_traceback_in_the_log_is_the_cause(tmp_path: Path) -> None:
    (tmp_path / "train_diagnostics.jsonl").write_text(lines(50, 1000.0))
    (tmp_path / "train.log").write_text("step 49 loss 0.02\n" + TRACEBACK)
    session = read_whole(tmp_path, Settings())
    (finding,) = [each for each in session.findings() if each.id == "crashed"]
    assert "CUDA out of memory" in finding.title
    assert finding.causes[0].basis == "measured"
    assert finding.next[0].analysis == "batch_size"
    assert session.state(time.time()) == "crashed"


def test_the_exit_code_that_a_tracker_saw_is_the_cause(tmp_path: Path) -> None:
    (tmp_path / "train_diagnostics.jsonl").write_text(lines(50, 1000.0))
    failed = {"event": "control", "action": "failed", "exit_code": 137}
    (tmp_path / "events.jsonl").write_text(json.dumps(failed) + "\n")
    session = read_whole(tmp_path, Settings())
    (finding,) = [each for each in session.findings() if each.id == "crashed"]
    assert finding.title == "The run has died: exit code 137"


def test_a_run_that_ended_well_is_none(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"planned_steps": 50}))
    (tmp_path / "train_diagnostics.jsonl").write_text(lines(50, 1000.0))
    (tmp_path / "train.log").write_text(TRACEBACK)
    assert read_whole(tmp_path, Settings()).state(time.time()) == "finished"
