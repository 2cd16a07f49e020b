"""The detectors that read losses: what they must see, and the traps that they must avoid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from traintop.detectors.engine import Engine
from traintop.records import Event, Finding, LayerNames, LayerStats, Row, RunInfo

Series = Sequence[float] | NDArray[np.float64]

CLASSES = RunInfo(task="classification", num_classes=10, batch_size=64, planned_steps=400)


def watch(
    train: Mapping[str, Series],
    info: RunInfo | None = None,
    evals: Mapping[int, Mapping[str, float]] | None = None,
    stride: int = 1,
) -> Engine:
    """Feed columns of training metrics, and evaluations by the record after which they come."""
    engine = Engine(info)
    columns = {name: list(values) for name, values in train.items()}
    for index, values in enumerate(zip(*columns.values(), strict=True)):
        step = index * stride
        engine.feed_train(
            Row(
                step=step,
                epoch=None,
                time=None,
                values=dict(zip(columns, map(float, values), strict=True)),
            )
        )
        if evals and index in evals:
            engine.feed_eval(Row(step=step, epoch=None, time=None, values=dict(evals[index])))
    assert engine.failures == []
    return engine


def of(engine: Engine, detector: str, *, least: str = "warning") -> list[Finding]:
    wanted = ("warning", "critical") if least == "warning" else ("info", "warning", "critical")
    return [each for each in engine.findings if each.id == detector and each.severity in wanted]


def noise(count: int, scale: float, seed: int = 0) -> NDArray[np.float64]:
    return np.exp(scale * np.random.default_rng(seed).normal(size=count))


def learning(
    count: int = 400, floor: float = 0.05, scale: float = 0.1, seed: int = 0
) -> NDArray[np.float64]:
    """A classifier of ten classes that learns."""
    time = np.arange(count)
    return np.asarray((2.3 * np.exp(-time / (0.12 * count)) + floor) * noise(count, scale, seed))


# --- nan_inf --------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 3e15])
@pytest.mark.parametrize("role", ["loss/train", "grad_norm"])
def test_a_non_finite_value_is_one_critical_finding(role: str, value: float) -> None:
    columns = {"loss/train": learning(), "grad_norm": np.ones(400)}
    columns[role][250:] = value
    (finding,) = of(watch(columns, CLASSES), "nan_inf")
    # A norm alone may be a step that a loss scaler skips, so it must last.
    certain = 250 if role == "loss/train" else 252
    said = (finding.severity, finding.onset_step, finding.detected_step)
    assert said == ("critical", 250, certain)
    assert finding.resolved_step is None
    assert finding.series == (role,)
    assert finding.next[0].analysis == "nan_source"
    assert finding.evidence[0].value >= 128


def test_a_nan_in_another_metric_is_no_fault() -> None:
    columns = {
        "loss/train": learning(),
        "auc": np.full(400, np.nan),
        "accuracy/train": np.full(400, np.nan),
    }
    assert of(watch(columns, CLASSES), "nan_inf") == []


def test_steps_that_the_loss_scaler_skips_are_no_fault() -> None:
    norms = np.ones(200)
    norms[::40] = np.inf
    scaled = {"loss/train": learning(200), "grad_norm": norms, "loss_scale": np.full(200, 65536.0)}
    assert of(watch(scaled), "nan_inf") == []
    flagged = {
        "loss/train": learning(200),
        "grad_norm": norms,
        "skipped_step": (norms == np.inf).astype(float),
    }
    assert of(watch(flagged), "nan_inf") == []
    # bfloat16 logs a scale of 1 and skips nothing.
    bf16 = {"loss/train": learning(200), "grad_norm": norms, "loss_scale": np.ones(200)}
    assert len(of(watch(bf16), "nan_inf")) > 0


def test_an_episode_ends_when_values_are_finite_again_and_a_later_one_is_another() -> None:
    loss = learning(300)
    loss[100:105] = np.nan
    loss[200:203] = np.nan
    first, second = of(watch({"loss/train": loss}, CLASSES), "nan_inf")
    assert (first.onset_step, first.resolved_step, first.evidence[0].value) == (100, 105, 5.0)
    assert (second.onset_step, second.resolved_step, second.episode) == (200, 203, 2)


def test_layers_with_non_finite_gradients_are_named() -> None:
    engine = Engine()
    engine.feed_layer_names(LayerNames(names=("stem", "body", "head"), numel=(1, 1, 1)))
    engine.feed_layers(LayerStats(step=10, stats={"grad_nan": np.array([0.0, 0.0, 0.0])}))
    assert of(engine, "nan_inf") == []
    engine.feed_layers(LayerStats(step=20, stats={"grad_nan": np.array([0.0, 3.0, 7.0])}))
    (finding,) = of(engine, "nan_inf")
    assert (finding.onset_step, finding.layers) == (20, ("body", "head"))


def test_a_validation_loss_that_is_not_finite_and_recovers() -> None:
    evals = {
        step: {"loss/val": loss} for step, loss in ((20, 1.0), (40, math.nan), (60, 0.9), (80, 0.8))
    }
    (finding,) = of(watch({"loss/train": learning(100)}, evals=evals), "nan_inf")
    assert (finding.onset_step, finding.resolved_step, finding.series) == (40, 60, ("loss/val",))


def test_what_grew_before_is_told_from_what_came_out_of_the_blue() -> None:
    loss = learning(300)
    loss[200:] = np.nan
    assert (
        "the loss was not growing"
        in of(watch({"loss/train": loss}, CLASSES), "nan_inf")[0].causes[0].because
    )
    loss = learning(300)
    loss[180:] = np.exp(np.arange(120.0))
    assert "diverged" in of(watch({"loss/train": loss}, CLASSES), "nan_inf")[0].causes[0].cause


# --- divergence -----------------------------------------------------------------------------------


def test_a_loss_that_is_lost_for_good_is_a_divergence() -> None:
    loss = learning()
    loss[250:] = 2.4 * noise(150, 0.05)
    (finding,) = of(watch({"loss/train": loss}, CLASSES), "divergence")
    assert finding.severity == "critical"
    assert 240 <= finding.onset_step <= 252
    assert 250 < finding.detected_step <= 270
    assert finding.evidence[0].threshold is not None
    assert finding.evidence[0].value > finding.evidence[0].threshold


def test_a_divergence_that_is_regained_is_resolved() -> None:
    loss = learning()
    loss[200:260] = 1.5
    (finding,) = of(watch({"loss/train": loss}, CLASSES), "divergence")
    assert finding.resolved_step is not None
    assert 260 <= finding.resolved_step <= 300


def test_first_losses_that_leave_upwards_are_seen_at_once() -> None:
    loss = np.concatenate([[2.3, 2.4], 2.4 * 1.6 ** np.arange(8.0), np.full(100, 2.5)])
    (finding, *_) = of(watch({"loss/train": loss}, CLASSES), "divergence")
    assert finding.detected_step <= 8
    assert "from the start" in finding.title


def test_a_spike_is_no_divergence() -> None:
    loss = learning()
    loss[200:206] = 30.0
    assert of(watch({"loss/train": loss}, CLASSES), "divergence") == []


def test_a_warm_restart_is_no_divergence() -> None:
    cycle = np.tile(np.arange(100) / 100, 4)
    lr = 0.05 * 0.5 * (1 + np.cos(np.pi * cycle)) + 1e-4
    loss = learning(400, floor=0.1)
    loss[100:] += 0.8 * np.exp(-cycle[100:] * 6)
    columns = {"loss/train": loss, "lr": lr}
    assert of(watch(columns, CLASSES), "divergence") == []
    assert of(watch(columns, CLASSES), "loss_spike") == []


def test_a_learning_rate_that_jumped_is_named_as_the_cause() -> None:
    loss = learning()
    loss[250:] = 2.6 * noise(150, 0.05)
    lr = np.where(np.arange(400) < 248, 0.01, 0.1)
    (finding,) = of(watch({"loss/train": loss, "lr": lr}, CLASSES), "divergence")
    assert finding.causes[0].cause == "learning rate too high"
    assert "lr rose 10x at step 248" in finding.causes[0].because


def test_an_improving_evaluation_overrules_the_training_loss() -> None:
    loss = learning()
    loss[200:] = 1.6
    evals = {20 * k: {"loss/val": 2.0 - 0.05 * k} for k in range(1, 20)}
    assert all(
        each.resolved_step is not None
        for each in of(watch({"loss/train": loss}, CLASSES, evals), "divergence")
    )
    worse = {20 * k: {"loss/val": 0.2 if k < 10 else 1.9} for k in range(1, 20)}
    (finding,) = of(watch({"loss/train": loss}, CLASSES, worse), "divergence")
    assert finding.resolved_step is None


def test_a_resumed_run_that_starts_low_and_noisy_has_not_diverged() -> None:
    loss = 0.08 * noise(400, 0.5)
    loss[:3] = 0.02
    assert of(watch({"loss/train": loss}, CLASSES), "divergence") == []


def test_a_resume_makes_another_yardstick() -> None:
    engine = Engine()
    for step, loss in enumerate(learning(300, floor=0.5)):
        engine.feed_train(Row(step=step, epoch=None, time=None, values={"loss/train": float(loss)}))
    engine.feed_event(Event(event="resume", step=300))
    for step in range(300, 500):
        engine.feed_train(Row(step=step, epoch=None, time=None, values={"loss/train": 1.4}))
    assert of(engine, "divergence") == []


def test_a_long_noisy_run_has_not_diverged() -> None:
    time = np.arange(30_000)
    loss = (1.8 + 8 * (time + 20.0) ** -0.25) * noise(30_000, 0.05)
    engine = watch({"loss/train": loss, "grad_norm": noise(30_000, 0.5, seed=1)})
    assert [each for each in engine.findings if each.severity != "info"] == []


# --- loss_spike -----------------------------------------------------------------------------------


def test_a_spike_is_found_at_its_step_and_closed() -> None:
    loss = learning()
    loss[250] = 2.0
    (finding,) = of(watch({"loss/train": loss}, CLASSES), "loss_spike")
    assert (finding.onset_step, finding.detected_step, finding.resolved_step) == (250, 250, 251)
    assert finding.evidence[0].value > 10


def test_spikes_close_together_are_one_episode() -> None:
    loss = learning()
    loss[[200, 215, 230, 245]] = 2.0
    (finding,) = of(watch({"loss/train": loss}, CLASSES), "loss_spike")
    assert finding.evidence[1].value == 4
    assert finding.resolved_step == 246
    assert finding.title.startswith("4 loss spikes")


def test_spikes_and_nan_do_not_enter_the_window() -> None:
    loss = learning(600, floor=0.3)
    loss[100:400:20] = np.nan
    loss[110:400:20] = 4.0
    (finding,) = of(watch({"loss/train": loss}, CLASSES), "loss_spike")
    assert finding.evidence[1].value == 15


def test_a_spike_on_a_steep_fall_is_held_to_the_fall() -> None:
    loss = 2.3 * np.exp(-np.arange(200) / 30) * noise(200, 0.02)
    # Against the median of the last 50 records, which were far higher, this is not much.
    loss[60] = 1.25 * loss[10]
    assert [each.onset_step for each in of(watch({"loss/train": loss}, CLASSES), "loss_spike")] == [
        60
    ]


def test_a_level_shift_is_no_row_of_spikes() -> None:
    loss = learning(floor=0.1)
    loss[200:] += 1.0
    (finding,) = of(watch({"loss/train": loss}, CLASSES), "loss_spike")
    assert finding.evidence[1].value == 1
    assert finding.resolved_step is not None


@pytest.mark.parametrize("seed", range(3))
def test_heavy_tailed_small_batches_have_no_spikes(seed: int) -> None:
    loss = learning(1000, floor=0.2, scale=0.6, seed=seed)
    info = RunInfo(task="classification", num_classes=10, batch_size=4, planned_steps=1000)
    assert of(watch({"loss/train": loss}, info), "loss_spike") == []


def test_near_zero_a_few_hard_samples_are_no_spike() -> None:
    loss = learning(floor=0.02)
    loss[350] = 0.02 + 12 / 64
    assert of(watch({"loss/train": loss}, CLASSES), "loss_spike") == []


def test_a_flat_rounded_series_has_no_spikes() -> None:
    loss = np.round(learning(floor=0.4, scale=0.002), 2)
    assert of(watch({"loss/train": loss}, CLASSES), "loss_spike") == []


def test_the_first_records_have_no_past_to_spike_from() -> None:
    loss = np.full(60, 1.0) * noise(60, 0.01)
    loss[10] = 9.0
    engine = watch({"loss/train": loss})
    assert of(engine, "loss_spike") == []
