"""The detector of schedules that do not fit the run, and its traps."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detector_driver import Series, learning, of, watch
from traintop.detectors.engine import Engine
from traintop.records import Event, Row, RunInfo

TIME = np.arange(400)
PLAN = RunInfo(planned_steps=400)


def cosine(length: int, floor: float = 0.0, peak: float = 0.1) -> NDArray[np.float64]:
    """A cosine decay that ends after `length` steps."""
    share = np.minimum(1.0, TIME / length)
    return np.asarray(floor + (peak - floor) * 0.5 * (1 + np.cos(np.pi * share)))


def judge(lr: Series, info: RunInfo | None = PLAN, **more: Series) -> Engine:
    columns: dict[str, Series] = {"loss/train": learning(), "lr": lr, **more}
    return watch(columns, info)


ID = "lr_schedule_mismatch"


def test_a_schedule_that_is_stepped_by_each_process_is_told_with_its_cause() -> None:
    info = RunInfo(planned_steps=400, world_size=4)
    (finding,) = of(judge(cosine(100, floor=1e-4), info), ID)
    assert 90 <= finding.onset_step <= 101
    assert finding.detected_step <= 125
    assert finding.causes[0].basis == "measured"
    assert "stepped once per process" in finding.causes[0].cause
    assert "400 steps instead of" in finding.fixes[0]


def test_a_schedule_that_is_stepped_for_each_accumulated_batch() -> None:
    info = RunInfo(planned_steps=400, grad_accumulation=2)
    (finding,) = of(judge(cosine(200), info), ID)
    assert "accumulated batch" in finding.causes[0].cause


def test_an_end_at_zero_long_before_the_plan_ends_the_training() -> None:
    moving = np.where(cosine(130) > 0, 1e-3, 0.0)
    (finding,) = of(judge(cosine(130), update_ratio=moving), ID)
    assert finding.severity == "warning"
    assert finding.resolved_step is None


def test_an_early_end_at_a_small_rate_may_be_meant() -> None:
    assert [each.severity for each in of(judge(cosine(130, floor=1e-4)), ID, least="info")] == [
        "info"
    ]


def test_a_rate_of_zero_from_the_start() -> None:
    still = np.zeros(400)
    (finding,) = of(judge(still, update_ratio=still), ID)
    assert finding.onset_step == 0
    assert finding.detected_step <= 60
    assert "0 since step 0" in finding.title


def test_a_rate_that_comes_back_is_over() -> None:
    lr = np.where((TIME > 100) & (TIME < 200), 0.0, 0.1)
    (finding,) = of(judge(lr, update_ratio=0.01 * lr), ID)
    assert finding.resolved_step is not None
    assert 200 <= finding.resolved_step <= 208


def test_a_schedule_that_is_made_for_a_longer_run_is_advice() -> None:
    found = of(judge(cosine(1600)), ID, least="info")
    assert [each.severity for each in found] == ["info"]
    assert found[0].onset_step >= 360


def resumed(before: NDArray[np.float64], after: NDArray[np.float64]) -> Engine:
    engine = Engine(PLAN)
    losses = learning().tolist()
    for step, lr in enumerate([*before.tolist(), *after.tolist()]):
        if step == len(before):
            engine.feed_event(Event(event="resume", step=step, time=None))
        values = {"loss/train": losses[step], "lr": lr}
        engine.feed_train(Row(step=step, epoch=None, time=None, values=values))
    assert engine.failures == []
    return engine


def test_a_schedule_that_begins_anew_at_a_resume() -> None:
    (finding,) = of(resumed(cosine(400)[:250], cosine(400)[:150]), ID)
    assert finding.onset_step == 250
    assert finding.detected_step <= 260
    assert "state was not restored" in finding.causes[0].cause


def test_a_resume_that_only_the_steps_tell_of_is_seen_beside_the_jump() -> None:
    engine = Engine(PLAN)
    for step, lr in [*enumerate(cosine(400)[:250].tolist()), *enumerate(cosine(400).tolist(), 200)]:
        values = {"loss/train": learning()[min(step, 399)], "lr": lr}
        engine.feed_train(Row(step=step, epoch=None, time=None, values=values))
    (finding,) = of(engine, ID)
    assert finding.onset_step == 200
    assert "began anew" in finding.title
    # It is over when the rate has come down to what it was before the resume.
    assert finding.resolved_step is not None
    assert 440 <= finding.resolved_step <= 460


def test_advice_on_a_schedule_that_ended_is_over_when_the_rate_is_back() -> None:
    lr = np.where(TIME < 100, np.maximum(cosine(100), 1e-4), 1e-4)
    lr = np.where(TIME > 200, 0.05, lr)
    finding, *_ = of(judge(lr), ID, least="info")
    assert finding.severity == "info"
    assert finding.resolved_step is not None
    assert 200 <= finding.resolved_step <= 208


def test_a_schedule_that_goes_on_at_a_resume_is_fine() -> None:
    assert of(resumed(cosine(400)[:250], cosine(400)[250:]), ID, least="info") == []


@pytest.mark.parametrize(
    ("lr", "update"),
    [
        pytest.param(cosine(400), None, id="as long as the run"),
        pytest.param(cosine(400, floor=0.01), None, id="to a floor"),
        pytest.param(np.full(400, 0.1), None, id="constant"),
        pytest.param(np.where(TIME < 1, 0.0, 0.1), None, id="0 at the first step"),
        pytest.param(0.1 * np.minimum(1, TIME / 100), None, id="warm-up"),
        pytest.param(np.where(TIME < 130, 0.1, 1e-4), None, id="a step, and no smooth decay"),
        pytest.param(
            0.05 * (1 + np.cos(np.pi * (TIME % 100) / 100)), None, id="warm restarts that touch 0"
        ),
        pytest.param(
            np.round(cosine(330), 2),
            1e-4,
            id="rounded by the log, and something moves",
        ),
        pytest.param(np.round(cosine(280), 2), None, id="rounded by the log"),
        pytest.param(np.full(400, np.nan), None, id="nan"),
    ],
)
def test_other_schedules_are_no_finding(lr: Series, update: float | None) -> None:
    engine = judge(lr) if update is None else judge(lr, update_ratio=np.full(400, update))
    assert of(engine, ID) == []


def test_without_a_plan_nothing_is_too_early() -> None:
    engine = judge(cosine(100), None)
    assert of(engine, ID) == []
    assert ID in {each.id for each in engine.not_judged()}
