"""The labelled runs: loose bounds, so that a change that ruins detection is noticed."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
RUNS = Path(os.environ.get("TRAINTOP_SHARED", ROOT.parent / "shared")) / "runs"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not RUNS.is_dir(), reason="the labelled runs are not here"),
]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    return importlib.import_module("detection")


def test_the_labelled_runs_are_judged_as_well_as_before(
    bench: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = sorted(label.parent for label in RUNS.glob("*/label.json"))
    scores, _ = bench.score(runs, bench.ours, 2)
    assert not capfd.readouterr().err
    assert scores.healthy > 30
    assert len(scores.false_alarms) <= 0.05 * scores.healthy, scores.false_alarms
    assert len(scores.wrong) <= 0.03 * scores.faulty, scores.wrong
    assert len(scores.missed) <= 0.4 * scores.faulty, scores.missed


@pytest.mark.parametrize("fault", ["lr_jump", "healthy", "overfit"])
def test_a_run_cut_short_says_what_was_said_then(bench: ModuleType, fault: str) -> None:
    for run in sorted(RUNS.glob(f"{fault}*"))[:2]:
        bench.live(run)
