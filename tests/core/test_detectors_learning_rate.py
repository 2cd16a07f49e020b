"""The detectors of learning rates and step sizes, and their traps."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from detector_driver import Series, learning, noise, of, watch
from traintop.detectors.context import Context
from traintop.detectors.lr_reduced_too_early import trend
from traintop.detectors.oscillation import turning_points
from traintop.detectors.step_size import usual_lr
from traintop.records import LayerNames, LayerStats, Row, RunInfo

TIME = np.arange(400)
MINE = (
    *("lr_too_high", "lr_too_low", "lr_reduced_too_early", "lr_schedule_mismatch"),
    *("oscillation", "update_ratio_off"),
)
CLASSES = RunInfo(task="classification", num_classes=10, batch_size=64, planned_steps=400)
LANGUAGE = RunInfo(task="language_modeling", num_classes=65, planned_steps=400)
ANOTHER = RunInfo(task="regression", planned_steps=400)


def constant(value: float, count: int = 400) -> NDArray[np.float64]:
    return np.full(count, value)


def thrown_back(at: int, level: float = 2.4, count: int = 400) -> NDArray[np.float64]:
    """A classifier that learns until `at`, and is thrown back to a level then."""
    time = np.arange(count)
    return np.where(time < at, learning(count), level * noise(count, 0.02))


# --- lr_too_high ----------------------------------------------------------------------------------


def test_a_jump_that_throws_the_loss_back_is_told_at_once_with_the_rate_to_go_back_to() -> None:
    lr = np.where(TIME < 200, 0.01, 1.0)
    engine = watch({"loss/train": thrown_back(200), "lr": lr}, CLASSES)
    (finding,) = of(engine, "lr_too_high")
    assert finding.onset_step == 200
    assert finding.detected_step <= 208
    assert finding.causes[0].basis == "measured"
    assert "lr 1 -> 0.01" in finding.fixes[0]
    assert finding.next[0].analysis == "lr_find"
    assert of(engine, "lr_too_low") == []


def test_a_jump_in_epoch_means_is_told_with_its_own_record() -> None:
    loss = np.concatenate([np.linspace(2.2, 0.2, 10), [9.0, 2.4, 2.4]])
    lr = np.concatenate([constant(0.01, 10), constant(1.0, 3)])
    info = RunInfo(task="classification", num_classes=10, cadence="epoch", planned_steps=500)
    (finding,) = of(watch({"loss/train": loss, "lr": lr}, info, stride=40), "lr_too_high")
    assert finding.detected_step == 400


def test_steps_that_replace_the_weights_and_learn_nothing() -> None:
    loss = 2.36 * noise(400, 0.02)
    update = 0.3 * np.exp(-TIME / 60)
    lr = constant(1.5)
    engine = watch({"loss/train": loss, "update_ratio": update, "lr": lr}, CLASSES)
    (finding,) = of(engine, "lr_too_high")
    assert finding.onset_step <= 24
    assert finding.detected_step <= 40
    assert finding.severity == "critical"
    assert finding.resolved_step is None


def test_large_steps_that_throw_the_loss_back_and_recover_are_over() -> None:
    loss = np.where((TIME >= 100) & (TIME < 130), 2.5, learning())
    update = np.where(TIME < 130, 0.08, 0.005)
    engine = watch({"loss/train": loss, "update_ratio": update}, CLASSES)
    (finding,) = of(engine, "lr_too_high")
    assert 90 <= finding.onset_step <= 108
    assert finding.resolved_step is not None
    assert finding.resolved_step < 200


def test_a_rate_that_rises_further_than_the_loss_bears() -> None:
    lr = 0.01 * np.exp(TIME / 80)
    loss = np.where(TIME < 150, learning(), 0.06 * np.exp((TIME - 150) / 60)) * noise(400, 0.05)
    (finding,) = of(watch({"loss/train": loss, "lr": lr}, CLASSES), "lr_too_high")
    assert 150 < finding.onset_step < 260
    assert finding.detected_step < 280
    assert "peak at" in finding.fixes[0]


def test_nan_after_a_step_that_replaced_the_weights() -> None:
    loss = np.concatenate([[2.3, 1e9], constant(math.nan, 30)])
    update = np.concatenate([[1e5, 1e8], constant(math.nan, 30)])
    engine = watch({"loss/train": loss, "update_ratio": update}, CLASSES)
    (finding,) = of(engine, "lr_too_high")
    assert "overflow" in finding.title


HEALTHY_RATES: dict[str, Mapping[str, Series]] = {
    "large steps that learn": {"loss/train": learning(), "update_ratio": constant(0.05)},
    "a warm restart": {
        "loss/train": np.where((TIME > 200) & (TIME < 230), 0.35, learning()),
        "lr": 0.05 * (0.55 + 0.45 * np.cos(np.pi * (TIME % 200) / 200)),
    },
    "a jump that the loss does not mind": {
        "loss/train": learning(),
        "lr": np.where(TIME < 100, 0.001, 0.01),
        "update_ratio": constant(0.003),
    },
    "one cycle": {
        "loss/train": learning(),
        "lr": 0.02 * np.exp(-(((TIME - 120) / 70) ** 2)) + 1e-5,
        "update_ratio": 0.01 * np.exp(-(((TIME - 120) / 70) ** 2)) + 1e-5,
    },
    "spikes at usual steps": {
        "loss/train": np.where(TIME % 50 == 49, 2.5, learning()),
        "update_ratio": constant(0.004),
    },
    "a long warm-up": {
        "loss/train": learning(),
        "lr": 0.01 * np.minimum(1.0, (TIME + 1) / 150),
        "update_ratio": 0.004 * np.minimum(1.0, (TIME + 1) / 150),
    },
    "step decays": {
        "loss/train": learning(floor=0.02),
        "lr": np.where(TIME < 200, 0.1, np.where(TIME < 300, 0.01, 0.001)),
        "update_ratio": np.where(TIME < 200, 0.01, np.where(TIME < 300, 1e-3, 1e-4)),
    },
    "an early step decay of a loss that had flattened out": {
        "loss/train": learning(floor=0.15),
        "lr": np.where(TIME < 120, 0.1, 0.01),
    },
    "batches of noise": {"loss/train": 0.3 * noise(400, 0.8), "update_ratio": constant(0.004)},
    "a cosine to zero": {
        "loss/train": learning(),
        "lr": 0.5e-3 * (1 + np.cos(np.pi * TIME / 399)),
    },
}


@pytest.mark.parametrize("name", HEALTHY_RATES)
@pytest.mark.parametrize("info", [CLASSES, None], ids=["known", "unknown"])
def test_a_healthy_run_gets_no_finding(name: str, info: RunInfo | None) -> None:
    engine = watch(HEALTHY_RATES[name], info)
    assert [each for each in engine.findings if each.id in MINE and each.severity != "info"] == []


# --- lr_too_low -----------------------------------------------------------------------------------


def crawling(fall: float = 0.1, level: float = 2.3, count: int = 400) -> NDArray[np.float64]:
    time = np.arange(count)
    return np.asarray(level * (1.0 - fall * time / count) * noise(count, 0.01))


def cosine(mean: float, count: int = 400) -> NDArray[np.float64]:
    return mean + 0.12 * np.random.default_rng(1).normal(size=count)


def low(
    info: RunInfo, loss: Series | None = None, cos: float = 0.45, update: float = 2e-5
) -> dict[str, Series]:
    level = math.log(info.num_classes) if info.num_classes else 1.0
    return {
        "loss/train": crawling(level=level) if loss is None else loss,
        "update_ratio": constant(update),
        "grad_cos": cosine(cos),
        "lr": constant(2e-5),
    }


@pytest.mark.parametrize("info", [CLASSES, LANGUAGE, ANOTHER], ids=lambda each: each.task)
def test_tiny_steps_downhill_are_told_within_a_few_dozen(info: RunInfo) -> None:
    (finding,) = of(watch(low(info), info), "lr_too_low")
    assert finding.severity == "warning"
    assert finding.onset_step == 0
    assert finding.detected_step <= 40
    assert finding.fixes[0].startswith("lr 2e-05 -> 0.001")
    assert finding.evidence[0].what.startswith("way of the weights")


def test_a_rate_that_is_mildly_too_low_needs_a_share_of_the_run() -> None:
    engine = watch(low(CLASSES, crawling(0.2), update=4e-4), CLASSES)
    (finding,) = of(engine, "lr_too_low")
    assert 47 <= finding.detected_step <= 100


def test_without_a_cosine_the_trend_must_be_sure() -> None:
    columns = low(CLASSES)
    del columns["grad_cos"]
    (finding,) = of(watch(columns, CLASSES), "lr_too_low")
    assert finding.detected_step < 200
    columns["loss/train"] = 2.3 * noise(400, 0.01)
    assert of(watch(columns, CLASSES), "lr_too_low", least="info") == []


def test_epoch_means_need_three() -> None:
    info = RunInfo(task="classification", num_classes=10, cadence="epoch", planned_steps=800)
    columns = {
        "loss/train": np.linspace(2.3, 2.15, 20),
        "update_ratio": constant(3e-5, 20),
        "grad_cos": cosine(0.5, 20),
        "lr": constant(1e-5, 20),
    }
    (finding,) = of(watch(columns, info, stride=40), "lr_too_low")
    assert finding.detected_step <= 160


@pytest.mark.parametrize(
    ("columns", "info"),
    [
        pytest.param(low(CLASSES, cos=0.0), CLASSES, id="no gradient to speak of"),
        pytest.param(low(CLASSES, crawling(level=1.2)), CLASSES, id="pre-trained"),
        pytest.param(low(LANGUAGE, crawling(level=2.0)), LANGUAGE, id="a fine-tuned model"),
        pytest.param(low(CLASSES, update=1e-3), CLASSES, id="usual steps, a late start"),
        pytest.param(low(CLASSES, learning()), CLASSES, id="wide: small steps that learn"),
        pytest.param(
            low(CLASSES),
            RunInfo(task="classification", num_classes=10, planned_steps=100_000),
            id="a long plan",
        ),
        pytest.param(
            low(CLASSES),
            RunInfo(task="classification", num_classes=10, planned_steps=400, pretrained=True),
            id="said to be pre-trained",
        ),
    ],
)
def test_small_steps_alone_are_no_finding(columns: dict[str, Series], info: RunInfo) -> None:
    assert of(watch(columns, info), "lr_too_low", least="info") == []


def test_where_guessing_is_not_known_small_steps_are_advice() -> None:
    engine = watch(low(RunInfo(), cos=0.25), RunInfo(planned_steps=400))
    assert [each.severity for each in of(engine, "lr_too_low", least="info")] == ["info"]


def test_it_is_over_when_the_loss_falls_after_all() -> None:
    loss = np.where(TIME < 150, crawling(), 2.2 * np.exp(-(TIME - 150) / 60))
    update = np.where(TIME < 150, 2e-5, 5e-3)
    columns = {**low(CLASSES, loss), "update_ratio": update}
    (finding,) = of(watch(columns, CLASSES), "lr_too_low")
    assert finding.resolved_step is not None
    assert finding.resolved_step < 260


# --- lr_reduced_too_early -------------------------------------------------------------------------


def stopped(at: int, scale: float = 0.02) -> NDArray[np.float64]:
    """A classifier whose loss falls steeply until `at` and stands from there on."""
    falls = 2.3 - 0.02 * np.minimum(TIME, at)
    return np.asarray(falls * noise(400, scale))


def test_a_drop_on_a_steep_slope_is_told_when_the_loss_stands() -> None:
    lr = np.where(TIME < 60, 0.02, 2e-4)
    (finding,) = of(watch({"loss/train": stopped(60), "lr": lr}, CLASSES), "lr_reduced_too_early")
    assert finding.onset_step == 60
    assert finding.detected_step <= 90
    assert "keep lr at 0.02" in finding.fixes[0]
    assert "step 200 or later" in finding.fixes[0]


def test_a_drop_in_epoch_means() -> None:
    loss = np.concatenate([[2.27, 2.16, 1.96, 1.69], constant(1.64, 20)])
    lr = np.where(np.arange(24) < 3, 3e-4, 1e-6)
    info = RunInfo(task="classification", num_classes=10, cadence="epoch", planned_steps=480)
    columns = {"loss/train": loss, "lr": lr}
    (finding,) = of(watch(columns, info, stride=20), "lr_reduced_too_early")
    assert finding.detected_step <= 100


def test_without_a_plan_only_a_drop_that_ends_all_learning_counts() -> None:
    hard = np.where(TIME < 60, 0.02, 2e-4)
    assert of(watch({"loss/train": stopped(60), "lr": hard}), "lr_reduced_too_early")
    mild = np.where(TIME < 60, 0.02, 2e-3)
    assert of(watch({"loss/train": stopped(60), "lr": mild}), "lr_reduced_too_early") == []


@pytest.mark.parametrize(
    ("loss", "lr"),
    [
        pytest.param(stopped(250), np.where(TIME < 250, 0.02, 2e-4), id="late"),
        pytest.param(stopped(60), np.where(TIME < 60, 0.02, 0.01), id="halved"),
        pytest.param(stopped(110), np.where(TIME < 110, 0.02, 0.002), id="a usual step at 28 %"),
        pytest.param(
            np.where(TIME < 60, stopped(60), np.maximum(0.05, 1.0 - 0.007 * (TIME - 60))),
            np.where(TIME < 60, 0.02, 2e-3),
            id="goes on falling, and fell with the drop",
        ),
        pytest.param(
            np.where(TIME < 60, 2.3, stopped(0)), np.where(TIME < 60, 0.02, 2e-3), id="flat before"
        ),
        pytest.param(
            stopped(105), np.where((TIME >= 60) & (TIME < 64), 0.2, 0.02), id="end of a pulse"
        ),
        pytest.param(stopped(105), 0.02 * 0.97**TIME, id="smooth decay"),
    ],
)
def test_other_drops_are_no_finding(loss: Series, lr: Series) -> None:
    assert of(watch({"loss/train": loss, "lr": lr}, CLASSES), "lr_reduced_too_early") == []


def test_it_is_over_when_the_loss_moves_on() -> None:
    loss = np.where(TIME < 200, stopped(60), np.maximum(0.1, 1.1 - 0.02 * (TIME - 200)))
    lr = np.where((TIME < 60) | (TIME >= 200), 0.02, 2e-4)
    (finding,) = of(watch({"loss/train": loss, "lr": lr}, CLASSES), "lr_reduced_too_early")
    assert finding.resolved_step is not None
    assert finding.resolved_step <= 240


def test_the_slope_is_that_of_numpy() -> None:
    points = [(3 * index, float(value)) for index, value in enumerate(learning(30))]
    slope, error, end = trend(points)
    steps = np.array([step for step, _ in points], float)
    values = np.array([value for _, value in points])
    (first, second), covariance = np.polyfit(steps, values, 1, cov=True)
    assert slope == pytest.approx(first)
    assert error == pytest.approx(math.sqrt(covariance[0][0]))
    assert end == pytest.approx(first * steps[-1] + second)


# --- oscillation ----------------------------------------------------------------------------------


def evaluations(values: Series, every: int = 10) -> dict[int, dict[str, float]]:
    return {every * (index + 1) - 1: {"loss/val": value} for index, value in enumerate(values)}


def test_a_validation_loss_that_swings_to_and_fro() -> None:
    swings = [2.0, 0.5, 2.2, 0.6, 1.9, 0.5, 2.4, 0.6, 2.0, 0.7, 2.2, 0.6]
    columns = {"loss/train": 0.8 * noise(400, 0.1), "update_ratio": constant(0.02)}
    columns["lr"] = constant(0.2)
    (finding,) = of(watch(columns, CLASSES, evaluations(swings)), "oscillation")
    assert finding.detected_step <= 120
    assert finding.fixes[0].startswith("lr 0.2 -> 0.01")


def test_a_training_loss_that_swings_slowly_and_gets_nowhere() -> None:
    loss = (1.2 + 0.7 * np.sin(TIME / 6)) * noise(400, 0.1)
    (finding,) = of(watch({"loss/train": loss}, CLASSES), "oscillation")
    assert finding.series == ("loss/train",)
    assert finding.resolved_step is None


def test_a_fix_never_goes_against_its_cause() -> None:
    """A rate that is too high is not raised, though its updates are smaller than is usual."""
    context = Context()
    context.lr = 0.01
    lowered = usual_lr(context, 1e-4, lower=True)
    assert lowered is not None
    assert lowered.startswith("lr 0.01 -> 0.003:")
    raised = usual_lr(context, 5e-3, lower=False)
    assert raised is not None
    assert raised.startswith("lr 0.01 -> 0.03:")


def test_the_jump_that_explains_is_the_one_that_is_undone() -> None:
    context = Context()
    for step, lr in enumerate([0.1] * 30 + [1.0] * 5 + [0.01] * 5):
        context.observe(Row(step=step, epoch=None, time=None, values={"lr": lr}))
    jump = context.lr_jump_up(36, 20)
    assert jump is not None
    assert (jump.step, jump.before, jump.after) == (30, 0.1, 1.0)
    assert context.lr_rise(36, 20) is not None
    assert context.lr_rise(200, 20) is None


def test_oscillation_that_calms_down_is_over() -> None:
    loss = np.where(TIME < 250, 1.2 + 0.7 * np.sin(TIME / 6), 0.5) * noise(400, 0.05)
    (finding,) = of(watch({"loss/train": loss}, CLASSES), "oscillation")
    assert finding.resolved_step is not None
    assert 250 < finding.resolved_step < 380


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param(1.2 * noise(400, 0.9), id="noise of batches"),
        pytest.param(0.02 * (1 + 0.9 * np.sin(TIME / 6)), id="a loss of nearly 0"),
        pytest.param((2.5 - TIME / 180) * (1 + 0.3 * np.sin(TIME / 6)), id="gets on"),
        pytest.param(np.where(TIME % 60 == 0, 5.0, 0.5), id="spikes"),
    ],
)
def test_other_swings_are_no_oscillation(loss: Series) -> None:
    assert of(watch({"loss/train": loss}, CLASSES), "oscillation", least="info") == []


def test_a_loss_that_swings_with_its_learning_rate_does_so_by_design() -> None:
    swing = 1 + np.sin(TIME / 6)
    columns = {"loss/train": 0.5 + 0.7 * swing, "lr": 1e-3 + 0.1 * swing}
    assert of(watch(columns, CLASSES), "oscillation", least="info") == []


def test_turning_points() -> None:
    assert turning_points([3.0, 2.0, 1.0, 0.0], 1.0) == []
    assert turning_points([0.0, 3.0, 0.0, 3.0, 2.5, 3.1], 1.0) == [2, 3]
    assert turning_points([1.0], 0.5) == []


# --- update_ratio_off -----------------------------------------------------------------------------


@pytest.mark.parametrize(("update", "word"), [(0.3, "large"), (1e-7, "small")])
def test_updates_out_of_range_are_advice(update: float, word: str) -> None:
    columns = {
        "loss/train": learning(),
        "update_ratio": constant(update),
        "lr": constant(0.1),
    }
    (finding,) = of(watch(columns, CLASSES), "update_ratio_off", least="info")
    assert finding.severity == "info"
    assert word in finding.title


def test_the_end_of_a_schedule_has_small_updates_by_design() -> None:
    decay = np.where(TIME < 200, 1.0, 1e-5)
    columns = {"loss/train": learning(), "update_ratio": 1e-3 * decay, "lr": 0.1 * decay}
    assert of(watch(columns, CLASSES), "update_ratio_off", least="info") == []


def test_a_layer_far_off_the_others_is_named() -> None:
    names = LayerNames(names=("a", "b", "c", "bias"), numel=(4096, 4096, 4096, 8))
    columns = {"loss/train": learning(200), "update_ratio": constant(1e-3, 200)}

    def layers(until: int) -> dict[int, LayerStats]:
        ratios = {10 * k: 0.4 if 10 * k < until else 1e-3 for k in range(1, 12)}
        return {
            step: LayerStats(step=step, stats={"update_ratio": np.array([1e-3, ratio, 1e-3, 9.0])})
            for step, ratio in ratios.items()
        }

    engine = watch(columns, CLASSES, layers=layers(200), names=names)
    (finding,) = of(engine, "update_ratio_off", least="info")
    assert finding.layers == ("b",)
    engine = watch(columns, CLASSES, layers=layers(80), names=names)
    (finding,) = of(engine, "update_ratio_off", least="info")
    assert finding.resolved_step == 80


# --- what is missing ------------------------------------------------------------------------------


def test_what_cannot_be_judged_is_said() -> None:
    blind = {each.id for each in watch({"loss/train": learning()}).not_judged()}
    assert blind >= set(MINE) - {"oscillation"}
    columns = {"loss/train": learning(), "update_ratio": constant(1e-3), "lr": constant(0.1)}
    assert not {each.id for each in watch(columns, CLASSES).not_judged()} & set(MINE)


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param([1.0], id="one point"),
        pytest.param([0.0] * 100, id="zeros"),
        pytest.param([1.0] * 100, id="constant"),
        pytest.param([math.nan] * 100, id="nan"),
        pytest.param([1e300] * 100, id="1e300"),
        pytest.param([1.0, math.inf] * 50, id="infinite"),
        pytest.param([-3.0] * 100, id="negative"),
    ],
)
@pytest.mark.parametrize("value", [0.0, 1e300, math.nan, math.inf, -1.0])
def test_odd_values_raise_nothing_and_are_no_finding(loss: list[float], value: float) -> None:
    odd = [value] * len(loss)
    columns = {"loss/train": loss, "lr": odd, "update_ratio": odd, "grad_cos": odd}
    found = watch(columns, RunInfo(planned_steps=100)).findings
    assert {each.id for each in found if each.severity != "info"} & set(MINE) <= {
        "lr_schedule_mismatch" if value == 0.0 else "lr_too_high"
    }
