"""How a recorded run ends: closed, left to the end of its script, failed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import torch
from torch import nn
from traintop.recorder import Recorder
from traintop.recorder.readback import Readback
model = nn.Linear(2, 2)
{before}
recorder = Recorder(model, torch.optim.SGD(model.parameters(), lr=0.1), directory={directory!r})
recorder.step(loss=1.0)
recorder.step(loss=1.0)
{after}
"""


def run(directory: Path, *, before: str = "", after: str = "") -> list[tuple[int, str]]:
    """Events, as step and action, that a script leaves."""
    code = SCRIPT.format(directory=str(directory), before=before, after=after)
    subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.DEVNULL)
    events = directory / "events.jsonl"
    lines = events.read_text().splitlines() if events.exists() else []
    return [(each["step"], each["action"]) for each in map(json.loads, lines)]


@pytest.mark.parametrize("after", ["", "recorder.close()", "del recorder", "raise SystemExit(3)"])
def test_a_script_that_comes_to_its_end_has_finished(tmp_path: Path, after: str) -> None:
    assert run(tmp_path, after=after) == [(1, "finished")]


@pytest.mark.parametrize(
    "after", ["1 / 0", "import os; os._exit(0)", "import os; os.kill(os.getpid(), 9)"]
)
def test_a_script_that_fails_has_not(tmp_path: Path, after: str) -> None:
    assert run(tmp_path, after=after) == []


def test_a_forked_child_that_ends_says_nothing(tmp_path: Path) -> None:
    after = "import os; pid = os.fork(); os.waitpid(pid, 0) if pid else 0; pid and 1 / 0"
    assert run(tmp_path, after=after) == []


def test_what_is_still_on_its_way_is_written_at_exit(tmp_path: Path) -> None:
    run(tmp_path, before="Readback.poll = lambda self: None  # as on a device that is behind")
    assert (tmp_path / "train_diagnostics.jsonl").read_text().startswith('{"step":0,')
