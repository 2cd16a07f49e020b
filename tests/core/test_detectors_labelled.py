"""The labelled runs: loose bounds, so that a change that ruins detection is noticed."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
RUNS = Path(os.environ.get("TRAINTOP_SHARED", ROOT.parent / "shared")) / "runs"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not RUNS.is_dir(), reason="the labelled runs are not here"),
]


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "bench_detection", ROOT / "bench" / "detection.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their own module up by name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_labelled_runs_are_judged_as_well_as_before(bench: ModuleType) -> None:
    scores = bench.score(RUNS, until=None, listing=False)
    assert scores.failures == []
    assert scores.healthy > 30
    assert len(scores.false_alarms) <= 0.05 * scores.healthy, scores.false_alarms
    assert len(scores.wrong) <= 0.03 * scores.faulty, scores.wrong
    assert scores.detected >= 0.75 * scores.expected, scores.missed


def test_a_run_cut_short_says_nothing_of_what_comes_later(bench: ModuleType) -> None:
    run = next(iter(sorted(RUNS.glob("lr_jump__*"))))
    whole = bench.judge(run)
    first = min(each.detected_step for each in whole.findings)
    assert all(each.severity == "info" for each in bench.judge(run, until=first - 1).findings)
