"""A run up to a step: the same numbers as if nothing more had been read, and the same verdicts."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from traintop.opening import read_whole
from traintop.records import Column, Event, LayerNames, LayerStats, LogLines, Rows
from traintop.replay import Replay
from traintop.settings import Settings
from traintop.store import Run, Store

STEPS = 9000
SHARED = Path(os.environ.get("TRAINTOP_SHARED", Path(__file__).parents[3] / "shared"))


def rows(table, steps, **metrics):
    steps = np.asarray(steps, dtype=float)
    nothing = np.full(len(steps), np.nan)
    columns = {
        name: Column(values=np.array([value(step) for step in steps if value(step) is not None]),
                     rows=np.array([i for i, step in enumerate(steps) if value(step) is not None]))
        for name, value in metrics.items()
    }  # fmt: skip
    return Rows(table=table, step=steps, epoch=steps // 100, time=nothing, columns=columns)


def fill(until=np.inf):
    """Return a run of two tables, layers, events and a log, of what was recorded up to a step."""
    store = Store()
    steps = [step for step in range(STEPS) if step <= until]
    if steps:
        store.add(rows("train", steps, loss=lambda s: math.sin(s) if s % 500 else math.nan,
                       rare=lambda s: s if s % 7 == 0 else None))  # fmt: skip
    evaluated = [step for step in range(99, STEPS, 100) if step <= until]
    if evaluated:
        store.add(rows("val", evaluated, loss=math.cos))
    store.add(LayerNames(names=("a", "b")))
    for step in range(0, STEPS, 50):
        if step <= until:
            store.add(LayerStats(step=step, stats={"grad_norm": np.array([step, 1.0])}))
            store.add(Event(event="checkpoint", step=step))
            store.add(LogLines(lines=[f"at {step}"], steps=[step]))
    return store


@pytest.mark.parametrize("step", [-1, 0, 49, 50, 4095.5, 4096, 5003, 8999, 10000])
def test_a_run_until_a_step_is_the_run_that_was_read_then(step):
    whole, then = fill(), fill(step)
    replay = Replay(whole.runs[0], whole.log, whole.info, {}, step)
    expected = then.runs[0] if then.runs else Run(0)
    edges = np.linspace(-10, STEPS + 10, 61)
    for name, table in replay.run.tables.items():
        same = expected.tables.get(name)
        assert len(table) == (0 if same is None else len(same))
        if same is None:
            continue
        np.testing.assert_array_equal(table.step, same.step)
        for label, series in same.series.items():
            past = table.series[label]
            assert len(past) == len(series)
            for ours, theirs in zip(
                past.reduce(table.row_edges(edges)), series.reduce(same.row_edges(edges)),
                strict=True,
            ):  # fmt: skip
                np.testing.assert_allclose(ours, theirs)
            assert repr(table.value_at(label, 1e9)) == repr(same.value_at(label, 1e9))
    layers = replay.run.layers
    assert layers is not None
    recorded = 0 if expected.layers is None else len(expected.layers)
    assert layers.matrix("grad_norm").shape == (recorded, 2)
    assert replay.run.events == expected.events
    assert replay.log.lines == then.log.lines
    assert replay.run.last_step == expected.last_step


def test_the_whole_run_is_not_touched_by_looking_back():
    whole = fill()
    replay = Replay(whole.runs[0], whole.log, whole.info, {}, 100.0)
    whole.add(rows("train", [STEPS, STEPS + 1], loss=math.sin))
    assert whole.runs[0].last_step == STEPS + 1
    assert replay.run.last_step == 100
    assert whole.runs[0].tables["train"].series["loss"].value(50) == math.sin(50)


@pytest.fixture
def folder(tmp_path):
    """A run that spikes twice, diverges and ends in NaN, with a resumption in between."""
    with (tmp_path / "train_diagnostics.jsonl").open("w") as file:
        for step in [*range(600), *range(550, 1200)]:
            loss = 2 * math.exp(-step / 100) + 0.3 + 0.02 * math.sin(1.7 * step)
            loss += 5.0 if step in (300, 700) else max(step - 900, 0) * 0.02
            record = {"step": step, "loss": loss if step < 1100 else "NaN", "grad_norm": 1 + loss}
            file.write(json.dumps(record) + "\n")
    with (tmp_path / "val_diagnostics.jsonl").open("w") as file:
        for step in range(99, 1100, 100):
            file.write(json.dumps({"step": step, "loss": 0.5 + max(step - 900, 0) * 0.02}) + "\n")
    return tmp_path


def settle(replay):
    """Judge to the end. Findings are compared in words: a NaN in evidence equals nothing."""
    while replay.judge():
        pass
    return list(replay.findings)


def replay_of(session, step):
    return Replay(session.run(), session.store.log, session.store.info, {}, step)


def test_what_is_said_at_a_step_is_what_check_says_until_there(folder):
    session = read_whole(folder, Settings())
    replay = replay_of(session, 0.0)
    said = set()
    # On, back, and on again, in small and large steps.
    for step in (0, 299, 300, 301, 650, 640, 700, 905, 1000, 1199, 120, 1150):
        replay.go_to(float(step))
        findings = settle(replay)
        until = read_whole(folder, Settings(), until=step)
        assert repr(findings) == repr(list(until.findings())), step
        assert replay.not_judged == until.not_judged()
        assert all(finding.detected_step <= step for finding in findings)
        assert not replay.pending
        said |= {finding.id for finding in findings}
    assert said >= {"nan_inf", "divergence"}


def test_judging_goes_on_slice_by_slice(folder):
    session = read_whole(folder, Settings())
    replay = replay_of(session, 1000.0)
    assert replay.pending
    assert replay.judged == 0
    shares = []
    while replay.judge():
        shares.append(replay.judged)
    assert shares == sorted(shares)
    assert len(shares) > 5
    assert 0 < shares[0] < shares[-1] < 1
    assert replay.judged == 1
    before = replay.judged_until
    replay.go_to(1010.0)
    assert replay.judged_until == before  # What is judged stays judged.
    assert replay.judge() is False


def test_a_run_that_grows_meanwhile_is_replayed_on(folder):
    session = read_whole(folder, Settings())
    replay = replay_of(session, 1199.0)
    settle(replay)
    with (folder / "train_diagnostics.jsonl").open("a") as file:
        for step in range(1200, 1230):
            file.write(json.dumps({"step": step, "loss": "NaN", "grad_norm": 1.0}) + "\n")
    while session.pump(0.0).more:
        pass
    replay.go_to(1229.0)
    assert repr(settle(replay)) == repr(list(session.findings()))


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared runs here")
@pytest.mark.parametrize("kind", ["lr_jump", "dead_relu-partial", "overfit"])
def test_real_runs_are_replayed_as_check_judges_them(kind):
    folder = next((SHARED / "runs").glob(f"{kind}__*__s*"))
    session = read_whole(folder, Settings())
    last = session.run().last_step
    replay = replay_of(session, 0.0)
    for share in (0.2, 0.5, 0.45, 0.8, 1.0):
        step = int(share * last)
        replay.go_to(float(step))
        until = read_whole(folder, Settings(), until=step)
        assert repr(settle(replay)) == repr(list(until.findings()))


def test_a_replay_is_judged_as_the_kind_of_training_that_it_is_said_to_be(folder):
    session = read_whole(folder, Settings(profile="rl"))
    replay = Replay(
        session.run(), session.store.log, session.store.info, {}, 1199.0, session.settings.profile
    )
    ids = {finding.id for finding in settle(replay)}
    assert "nan_inf" in ids
    assert "divergence" not in ids
    assert ids == {finding.id for finding in session.findings()}
