"""How a recorded run ends: closed, left to the end of its script, failed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ENDS = {
    "nothing": "",
    "closed": "recorder.close()",
    "dropped": "del recorder",
    "exit": "raise SystemExit(3)",
}
FAILURES = {
    "error": "1 / 0",
    "killed": "os.kill(os.getpid(), 9)",
    "aborted": "os._exit(0)",
    "fork": "child = os.fork(); child and (os.waitpid(child, 0), 1 / 0)",
}
# Each way in a process of its own, forked to its normal end: PyTorch is loaded once.
SCRIPT = """
import gc, os, sys
import torch
from torch import nn
from traintop.recorder import Recorder
from traintop.recorder import measurement
from traintop.recorder.readback import Readback

model = nn.Linear(2, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
ways = {ways!r}
gc.freeze()  # else each child looks through all of PyTorch as it ends
for name, way in ways.items():
    child = os.fork()
    if not child:
        break
    os.waitpid(child, 0)
else:
    os._exit(0)
Readback.poll = lambda self: None  # as on a device that is behind
recorder = Recorder(model, optimizer, directory=os.path.join({folder!r}, name))
recorder.step(loss=1.0)
recorder.step(loss=1.0)
exec(way)
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    code = SCRIPT.format(ways=ENDS | FAILURES, folder=str(folder))
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)
    return folder


def events(run: Path) -> list[tuple[int, str]]:
    path = run / "events.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(each["step"], each["action"]) for each in map(json.loads, lines)]


@pytest.mark.parametrize("way", ENDS)
def test_a_script_that_comes_to_its_end_has_finished(runs: Path, way: str) -> None:
    assert events(runs / way) == [(1, "finished")]


@pytest.mark.parametrize("way", FAILURES)
def test_a_script_that_fails_has_not(runs: Path, way: str) -> None:
    assert events(runs / way) == []


@pytest.mark.parametrize("way", [*ENDS, "error", "fork"])
def test_what_is_still_on_its_way_is_written_at_exit(runs: Path, way: str) -> None:
    lines = (runs / way / "train_diagnostics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1]
