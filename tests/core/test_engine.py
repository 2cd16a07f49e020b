"""The engine: what it keeps, isolates, switches off, and that bursts make no difference to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traintop.detectors.base import Detector, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.engine import Engine
from traintop.detectors.registry import DETECTORS, IDS
from traintop.errors import SettingsError
from traintop.records import Event, Finding, LayerNames, LayerStats, NotJudged, Row, RunInfo


def row(step: int, **values: float) -> Row:
    roles = {name.replace("__", "/"): value for name, value in values.items()}
    return Row(step=step, epoch=None, time=None, values=roles)


def bad_run(steps: int = 300) -> list[tuple[str, Any]]:
    """A run with a spike, a jump of the learning rate, a divergence and a NaN, in all tables."""
    noise = np.random.default_rng(3)
    feeds: list[tuple[str, Any]] = [
        (
            "feed_layer_names",
            LayerNames(
                names=("a", "b", "c"), numel=(9, 9, 9), act_names=("r",), act_kinds=("relu",)
            ),
        )
    ]
    for step in range(steps):
        loss = 2.3 * math.exp(-step / 40) + 0.1 + 0.01 * float(noise.normal())
        loss = 2.5 if step == 120 else 3.0 if step > 200 else loss
        loss = math.nan if step > 280 else loss
        lr = 0.01 if step < 200 else 0.1
        feeds.append(
            (
                "feed_train",
                row(step, loss__train=loss, lr=lr, grad_norm=50.0 if step > 200 else 1.0),
            )
        )
        if step % 20 == 19:
            stats = {
                "grad_norm": np.ones(3),
                "act_dead_frac": np.array([1.0 if step > 200 else 0.1]),
            }
            feeds.append(("feed_layers", LayerStats(step=step, stats=stats)))
            feeds.append(("feed_eval", row(step, loss__val=loss + 0.1)))
            feeds.append(
                (
                    "feed_event",
                    Event(event="checkpoint", step=step, fields={"path": f"ckpt-{step}.pt"}),
                )
            )
    return feeds


def feed_all(engine: Engine, feeds: Sequence[tuple[str, Any]]) -> list[Finding]:
    news: list[Finding] = []
    for name, record in feeds:
        news.extend(getattr(engine, name)(record) or ())
    return news


def test_news_replaces_by_key_and_all_is_kept_in_order_of_opening() -> None:
    engine = Engine(RunInfo(planned_steps=300))
    news = feed_all(engine, bad_run())
    assert not engine.failures
    latest: dict[tuple[str, int], Finding] = {}
    for finding in news:
        latest[finding.key] = finding
    assert engine.findings == tuple(latest.values())
    assert {"nan_inf", "divergence", "loss_spike", "dead_units", "exploding_gradients"} <= {
        finding.id for finding in engine.findings
    }
    for finding in engine.findings:
        assert finding.onset_step <= finding.detected_step
        assert finding.resolved_step is None or finding.resolved_step >= finding.onset_step
        assert finding.evidence
        assert any(each.threshold is not None for each in finding.evidence), finding
        assert finding.next


def test_a_finding_names_the_checkpoint_before_it_and_the_learning_rate_that_jumped() -> None:
    engine = Engine(RunInfo(planned_steps=300))
    feed_all(engine, bad_run())
    divergence = next(each for each in engine.findings if each.id == "divergence")
    assert divergence.next[0].analysis == "lr_find"
    assert divergence.next[0].checkpoint == "ckpt-199.pt"
    assert "10x at step 200" in divergence.causes[0].because


@given(cuts=st.lists(st.integers(0, 345), max_size=6))
@settings(max_examples=15, deadline=None)
def test_bursts_make_no_difference(cuts: list[int]) -> None:
    feeds = bad_run()
    whole = Engine(RunInfo(planned_steps=300))
    feed_all(whole, feeds)
    engine = Engine(RunInfo(planned_steps=300))
    edges = [0, *sorted(cuts), len(feeds)]
    for start, end in pairwise(edges):
        feed_all(engine, feeds[start:end])
        # What a screen asks for between bursts must not change what comes after.
        assert engine.not_judged() is not None
        assert isinstance(engine.findings, tuple)
    assert engine.findings == whole.findings


def test_what_is_found_does_not_depend_on_what_comes_later() -> None:
    feeds = bad_run()
    whole = Engine()
    opened = {each.key: each for each in reversed(feed_all(whole, feeds))}
    part = Engine()
    feed_all(part, feeds[: len(feeds) // 2])
    for finding in part.findings:
        assert opened[finding.key].onset_step == finding.onset_step


class Broken(Detector[Thresholds]):
    id: ClassVar[str] = "broken"
    title: ClassVar[str] = "Broken"
    needs: ClassVar[str] = "nothing"

    def on_train(self, row: Row) -> Sequence[Finding]:
        if row.step == 3:
            raise ZeroDivisionError("no batches")
        return ()

    def not_judged(self) -> NotJudged | None:
        return self.missing()


class Counting(Detector[Thresholds]):
    id: ClassVar[str] = "counting"
    title: ClassVar[str] = "Counting"
    needs: ClassVar[str] = "nothing"

    def __init__(self, context: Context, thresholds: Thresholds) -> None:
        super().__init__(context, thresholds)
        self.seen = 0

    def on_train(self, row: Row) -> Sequence[Finding]:
        self.seen += 1
        return self.open("info", row.step, ()) if self.seen == 5 else ()

    def not_judged(self) -> NotJudged | None:
        return None if self.seen else self.missing()


def test_a_detector_that_raises_is_switched_off_and_the_others_go_on() -> None:
    engine = Engine(detectors=(Broken, Counting))
    for step in range(10):
        engine.feed_train(row(step, loss__train=1.0))
    assert [(each.id, each.error) for each in engine.failures] == [
        ("broken", "ZeroDivisionError: no batches")
    ]
    assert [each.id for each in engine.findings] == ["counting"]
    assert engine.not_judged() == ()


def test_a_detector_that_cannot_say_what_it_missed_is_switched_off_too() -> None:
    class Speechless(Counting):
        id: ClassVar[str] = "speechless"

        def not_judged(self) -> NotJudged | None:
            raise KeyError("signal")

    engine = Engine(detectors=(Speechless,))
    assert engine.not_judged() == ()
    assert [each.id for each in engine.failures] == ["speechless"]


def test_feeds_that_no_detector_overrides_cost_nothing() -> None:
    engine = Engine(detectors=(Counting,))
    assert engine.feed_event(Event(event="note", step=1)) == []
    engine.feed_layer_names(LayerNames(names=("a",), numel=(1,)))
    assert engine.feed_layers(LayerStats(step=0, stats={})) == []


def test_every_id_is_unique_and_every_detector_says_what_it_needs() -> None:
    assert len(set(IDS)) == len(DETECTORS) == 39
    missing = {each.id: each.needs for each in Engine().not_judged()}
    # A single process lacks nothing where there are no other ranks.
    assert missing.keys() == set(IDS) - {"straggler", "rank_desync"}
    assert all(missing.values())


def test_what_has_its_signals_is_judged() -> None:
    engine = Engine(RunInfo(planned_steps=300))
    feed_all(engine, bad_run(300))
    judged = {"nan_inf", "divergence", "loss_spike", "exploding_gradients", "dead_units"}
    assert not judged & {each.id for each in engine.not_judged()}


@pytest.mark.parametrize(
    ("thresholds", "words"),
    [
        (
            {"divergance": {}},
            "detectors.divergance: there is no such detector; did you mean divergence?",
        ),
        ({"xyz": {}}, "known are: amp_overflow"),
        ({"divergence": {"hold": 3}}, "detectors.divergence.hold: .* did you mean held?"),
        ({"plateau": {"window": "long"}}, "detectors.plateau.window: a threshold is a number"),
        ({"plateau": {"window": math.nan}}, "a threshold is a number"),
        ({"plateau": {"window": True}}, "a threshold is a number"),
        (
            {"exploding_gradients": {"window": 0}},
            "detectors.exploding_gradients: a window holds at least 1",
        ),
    ],
)
def test_thresholds_that_do_not_exist_are_refused_by_name(thresholds: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Engine(thresholds=thresholds)


def test_a_threshold_that_is_set_is_the_one_that_is_printed() -> None:
    engine = Engine(thresholds={"divergence": {"of_progress": 0.4, "held": 5, "of_best": 0.1}})
    feed_all(engine, bad_run(260))
    divergence = next(each for each in engine.findings if each.id == "divergence")
    assert 0.4 in [each.threshold for each in divergence.evidence]


@pytest.mark.parametrize("task", ["rl", "gan", "GAN"])
def test_loss_rules_are_silent_for_tasks_whose_loss_has_no_level(task: str) -> None:
    engine = Engine(RunInfo(task=task))
    feed_all(engine, bad_run())
    loss_rules = {"divergence", "loss_spike", "plateau", "overfitting"}
    assert not loss_rules & {each.id for each in engine.findings}
    assert "nan_inf" in {each.id for each in engine.findings}
    silent = {each.id: each.needs for each in engine.not_judged()}
    assert loss_rules <= silent.keys()
    assert repr(task) in silent["divergence"]


def test_run_json_that_comes_late_ends_what_its_task_makes_void() -> None:
    engine = Engine()
    feed_all(engine, bad_run(260))
    assert any(each.id == "divergence" and each.resolved_step is None for each in engine.findings)
    ended = engine.retarget(RunInfo(task="rl"))
    assert "divergence" in {each.id for each in ended}
    assert all(each.resolved_step == 259 for each in ended)
    assert engine.retarget(RunInfo(task="rl")) == []


def feed_lr(engine: Engine, rates: Sequence[float], start: int = 0) -> None:
    for step, lr in enumerate(rates, start):
        engine.feed_train(row(step, loss__train=1.0, lr=lr))


def test_warm_up_is_a_rising_learning_rate() -> None:
    engine = Engine()
    feed_lr(engine, [1e-3 * step / 100 for step in range(100)])
    rising = engine.context.warming_up
    feed_lr(engine, [1e-3] * 30, 100)
    assert (rising, engine.context.warming_up) == (True, False)
    assert engine.context.regime == 0


def test_without_a_learning_rate_warm_up_is_the_first_steps() -> None:
    engine = Engine(RunInfo(planned_steps=20_000))
    for step in (0, 100, 199):
        engine.feed_train(row(step, loss__train=1.0))
    first = engine.context.warming_up
    engine.feed_train(row(200, loss__train=1.0))
    assert (first, engine.context.warming_up) == (True, False)


def test_jumps_of_the_learning_rate_begin_regimes_and_a_restart_is_told_from_a_rise() -> None:
    engine = Engine()
    feed_lr(engine, [1.0] * 30 + [0.5 * (1 + math.cos(step / 40 * math.pi)) for step in range(40)])
    falls = engine.context.regime
    feed_lr(engine, [1.0], 70)
    assert engine.context.regime == falls + 1
    feed_lr(engine, [10.0], 71)
    assert [jump.restart for jump in engine.context.lr_jumps][-2:] == [True, False]
    assert "lr went from 1 to 10 at step 71" in engine.context.regime_reason
    assert engine.context.rescaled == 0


def test_a_resume_and_a_batch_size_make_another_scale() -> None:
    engine = Engine(RunInfo(batch_size=32))
    feed_lr(engine, [1.0] * 50)
    feed_lr(engine, [1.0] * 10, 20)
    assert engine.context.regime_reason == "resumed at step 20 after step 49"
    before = engine.context.rescaled
    engine.feed_event(Event(event="resume", step=30))
    assert (before, engine.context.rescaled) == (1, 2)
    engine.retarget(RunInfo(batch_size=64))
    assert "batch size went from 32 to 64" in engine.context.regime_reason
    assert engine.context.last_step == 49


def test_averaged_records_are_known_or_inferred() -> None:
    assert Engine(RunInfo(cadence="epoch")).context.averaged
    assert not Engine(RunInfo(cadence="step")).context.averaged
    engine = Engine()
    for step in (39, 79, 119):
        engine.feed_train(row(step, loss__train=1.0, num_batches=40.0))
    assert engine.context.averaged
    micro = Engine()
    for step in range(3):
        micro.feed_train(row(step, loss__train=1.0, num_batches=8.0))
    assert not micro.context.averaged


@given(
    st.lists(
        st.tuples(
            st.integers(-5, 1000),
            st.floats(width=64) | st.sampled_from([0.0, 1e300, -1e300]),
            st.floats(width=64),
            st.floats(width=64),
        ),
        max_size=120,
    )
)
@settings(max_examples=60, deadline=None)
def test_no_numbers_make_a_detector_fail(records: list[tuple[int, float, float, float]]) -> None:
    engine = Engine(RunInfo(num_classes=10, task="classification", batch_size=8))
    engine.feed_layer_names(
        LayerNames(
            names=("a", "b", "c"), numel=(9, 0, 9), act_names=("r", "s"), act_kinds=("relu", "ReLU")
        )
    )
    for step, loss, norm, lr in records:
        engine.feed_train(row(step, loss__train=loss, grad_norm=norm, lr=lr, batch_size=abs(lr)))
        engine.feed_eval(row(step, loss__val=norm, accuracy__val=loss))
        stats = {
            "grad_norm": np.array([loss, norm, lr]),
            "grad_nan": np.array([norm, 0, lr]),
            "act_dead_frac": np.array([loss, lr]),
        }
        engine.feed_layers(LayerStats(step=step, stats=stats))
    assert engine.failures == []
    engine.not_judged()
