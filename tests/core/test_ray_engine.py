"""Checks on a Ray cluster: a local one, which one test starts for all that it shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from traintop import ray_engine
from traintop.errors import EngineError

RUNS = 5

SCRIPT = """
import contextlib, os, sys
from traintop import ray_engine
from traintop_tui.cli import main

def tripled(number):
    if number == 2:
        os._exit(3)
    return 3 * number

sys.modules["__main__"].tripled = tripled
holds_the_cluster = ray_engine.ordered_map(str, [1], str)
print(next(holds_the_cluster), flush=True)
code = main(["check", "--engine", "ray", "--format", "json", *sys.argv[1:]])
with contextlib.redirect_stdout(sys.stderr):
    numbers = list(ray_engine.ordered_map(tripled, range(4), lambda number: -number))
    print(numbers, file=sys.__stdout__)
    holds_the_cluster.close()
sys.exit(code)
"""


def test_a_local_cluster(tmp_path: Path) -> None:
    runs = []
    for number in range(RUNS):
        run = tmp_path / f"run{number}"
        run.mkdir()
        losses = [1.0 / (step + 1) for step in range(30)]
        if number == 3:
            losses += [float("nan")] * 30
        (run / "train_diagnostics.jsonl").write_text(
            "".join(json.dumps({"step": s, "loss": loss}) + "\n" for s, loss in enumerate(losses))
        )
        runs.append(str(run))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *runs],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"},
    )
    first, *reports, numbers = done.stdout.splitlines()
    assert first == "1"
    assert json.loads(numbers) == [0, 3, -2, 9]
    found = [json.loads(line) for line in reports]
    assert [report["path"] for report in found] == runs
    assert found[3]["verdict"] == "critical"
    assert done.returncode == 1


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineError, match=r"pip install 'traintop\[ray\]'"):
        next(ray_engine.ordered_map(str, [1], str))
