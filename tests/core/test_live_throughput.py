"""Whether a live run has become slower: the rule, and a run that is written meanwhile."""

from __future__ import annotations

import json

import numpy as np
import pytest

from traintop.live_throughput import BEFORE, MEANWHILE, LiveThroughput, followed, slowdown

STEADY = 900 + np.arange(60.0) % 7
SWINGS = np.where(np.arange(60) % 3 == 0, 400.0, 900.0)


@pytest.mark.parametrize(
    ("before", "since", "share"),
    [
        (STEADY, STEADY[:20] * 0.5, "50%"),
        (STEADY, STEADY[:20] * 0.95, None),
        (STEADY, STEADY[: MEANWHILE - 1] * 0.5, None),
        (STEADY[: BEFORE // 4 - 1], STEADY * 0.5, None),
        (SWINGS, np.full(20, 500.0), None),
        (SWINGS, np.full(20, 300.0), "33%"),
        (np.concatenate([STEADY, [np.nan] * 9]), np.concatenate([[np.nan], STEADY / 2]), "50%"),
        (np.zeros(60), np.zeros(60), None),
        (np.empty(0), np.empty(0), None),
    ],
)
def test_the_rule(before, since, share):
    text = slowdown(before, since)
    assert text is None if share is None else share in (text or "")


def lines(path, first, count, throughput, *, clock=None):
    with path.open("a") as file:
        for step in range(first, first + count):
            record = {"step": step, "loss": 1.0}
            if clock is None:
                record["samples_per_sec"] = throughput
            else:
                record["time"] = clock + (step - first) / throughput
            file.write(json.dumps(record) + "\n")


@pytest.mark.parametrize("timed", [False, True])
def test_a_run_that_slows_down_is_told_once(timed, tmp_path):
    path = tmp_path / "train_diagnostics.jsonl"
    lines(path, 0, 100, 10.0, clock=1_800_000_000.0 if timed else None)
    watch = LiveThroughput(followed(tmp_path))
    assert watch.check() is None
    lines(path, 100, 20, 6.0, clock=1_800_000_010.0 if timed else None)
    text = watch.check()
    assert text is not None
    assert "60%" in text
    assert watch.check() is None


def test_without_a_run_there_is_nothing_to_say(tmp_path):
    assert LiveThroughput(followed(tmp_path / "none")).check() is None
    assert LiveThroughput(followed(tmp_path)).check() is None
