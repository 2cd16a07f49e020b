"""The detectors of gradients, precision and bad starts: a true case each, and every trap."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from detector_driver import blind, learning, noise, of, watch
from traintop.detectors.engine import Engine
from traintop.detectors.registry import DETECTORS
from traintop.records import Event, LayerNames, LayerStats, Row, RunInfo

Floats = NDArray[np.float64]
CLASSES = RunInfo(task="classification", num_classes=10, batch_size=64, planned_steps=400)
AMP = RunInfo(amp=True, planned_steps=400)
LN10 = math.log(10)


def layers_at(records: Mapping[int, Mapping[str, Sequence[float]]]) -> dict[int, LayerStats]:
    """Record -> statistic -> a value a layer, as layer records."""
    return {
        at: LayerStats(step=at, stats={name: np.array(each, float) for name, each in stats.items()})
        for at, stats in records.items()
    }


# --- amp_overflow ---------------------------------------------------------------------------------


def scaled(
    skipped: list[int], start: float = 65536.0, interval: int = 100, count: int = 400
) -> dict[str, Floats]:
    """Columns of a run whose loss scaler skips these records, and doubles its scale otherwise."""
    scale, since = start, 0
    scales = np.empty(count)
    for index in range(count):
        scales[index] = scale
        since = 0 if index in skipped else since + 1
        scale = scale / 2 if index in skipped else scale * 2 if since % interval == 0 else scale
    flags = np.isin(np.arange(count), skipped)
    return {
        "loss/train": learning(count),
        "grad_norm": np.where(flags, np.inf, 1.0),
        "loss_scale": scales,
        "skipped_step": flags.astype(float),
    }


@pytest.mark.parametrize("without", ["", "skipped_step", "loss_scale"])
def test_steps_skipped_in_a_row_are_an_overflow(without: str) -> None:
    columns = scaled(list(range(200, 400)))
    columns.pop(without, None)
    engine = watch(columns, AMP)
    (finding,) = of(engine, "amp_overflow")
    assert finding.severity == "critical"
    assert 200 <= finding.onset_step <= 201
    assert finding.detected_step <= 212
    assert "bfloat16" in finding.fixes[0]
    assert finding.next[0].analysis == "nan_source"
    assert of(engine, "nan_inf") == []
    assert not blind(engine, "amp_overflow")


def test_with_mixed_precision_declared_norms_alone_tell() -> None:
    columns = scaled(list(range(200, 400)))
    norms = {name: columns[name] for name in ("loss/train", "grad_norm")}
    engine = watch(norms, AMP)
    (finding,) = of(engine, "amp_overflow")
    assert finding.onset_step == 200
    # It explains what else these norms look like.
    assert of(engine, "masked_nan") == []


def test_single_steps_too_often_are_an_overflow_and_good_again_is_good() -> None:
    (finding,) = of(watch(scaled(list(range(60, 200, 5)), interval=4), AMP), "amp_overflow")
    assert finding.severity == "warning"
    assert 60 <= finding.onset_step <= finding.detected_step < 110
    assert finding.resolved_step is not None
    assert 200 < finding.resolved_step < 260
    assert "growth_interval" in finding.fixes[1]


def test_a_loss_that_is_not_finite_names_the_forward_pass() -> None:
    columns = scaled(list(range(200, 400)))
    columns["loss/train"][200:] = np.nan
    engine = watch(columns, AMP)
    (finding,) = of(engine, "amp_overflow")
    assert finding.causes[0].basis == "measured"
    assert "forward pass" in finding.causes[0].cause
    assert [each.onset_step for each in of(engine, "nan_inf")] == [200]


@pytest.mark.parametrize(
    "skipped",
    [list(range(16)), list(range(30)), [100, 200, 300], [100, 101, 102], list(range(30, 400, 20))],
    ids=["first search", "search from 2^32", "now and then", "three in a row", "every 20"],
)
def test_the_search_for_the_scale_is_healthy(skipped: list[int]) -> None:
    start = 2.0**32 if skipped == list(range(30)) else 65536.0
    engine = watch(scaled(skipped, start=start, interval=19), AMP)
    assert of(engine, "amp_overflow") == []
    assert of(engine, "nan_inf") == []


def test_a_scale_that_never_scales_is_none() -> None:
    columns = {"loss/train": learning(), "loss_scale": np.full(400, 0.5)}
    assert of(watch(columns), "amp_overflow") == []
    columns["loss_scale"] = np.ones(400)
    assert of(watch(columns), "amp_overflow") == []


def test_a_collapsed_scale_needs_no_flag() -> None:
    scale = np.where(np.arange(400) < 100, 1024.0, 0.25)
    (finding,) = of(watch({"loss/train": learning(), "loss_scale": scale}, AMP), "amp_overflow")
    assert (finding.severity, finding.onset_step) == ("critical", 100)


def test_overflow_is_not_judged_without_the_scaler() -> None:
    assert blind(watch({"loss/train": learning()}), "amp_overflow")
    assert not blind(watch({"loss/train": learning()}, RunInfo(amp=False)), "amp_overflow")


# --- nan_inf, where mixed precision may be at work ------------------------------------------------


def test_one_norm_that_is_not_finite_is_advice_and_three_are_not() -> None:
    norms = np.ones(400)
    norms[[100, 200, 201]] = np.inf
    columns = {"loss/train": learning(), "grad_norm": norms}
    assert of(watch(columns), "nan_inf") == []
    assert len(of(watch(columns), "nan_inf", least="info")) == 2
    assert len(of(watch(columns, RunInfo(amp=False)), "nan_inf")) == 2
    norms[300:303] = np.nan
    (finding,) = of(watch(columns), "nan_inf")
    assert (finding.onset_step, finding.detected_step) == (300, 302)


def test_a_loss_that_is_not_finite_in_a_skipped_step_must_last() -> None:
    columns = scaled([100, 200])
    columns["loss/train"][[100, 200]] = np.nan
    assert of(watch(columns, AMP), "nan_inf") == []


def test_a_nan_comes_with_values_to_change() -> None:
    lr = np.where(np.arange(400) < 200, 1e-3, 0.1)
    loss = learning()
    loss[205:] = np.nan
    columns = {"loss/train": loss, "lr": lr, "grad_norm": np.full(400, 0.7)}
    (finding,) = of(watch(columns, CLASSES), "nan_inf")
    assert finding.fixes[:2] == (
        "lr 0.1 -> 0.001, as before the jump",
        "clip gradients, at no more than 0.7: the last finite norm",
    )
    columns["lr"][:] = 1e-3
    (finding,) = of(watch(columns, CLASSES), "nan_inf")
    assert any("batch of step 205" in each for each in finding.fixes)


# --- masked_nan -----------------------------------------------------------------------------------


def test_a_loss_that_drops_to_exactly_0_hides_a_nan() -> None:
    loss = learning(floor=0.5)
    loss[200:] = 0.0
    (finding,) = of(watch({"loss/train": loss}, CLASSES), "masked_nan")
    assert (finding.severity, finding.onset_step) == ("critical", 200)
    assert finding.detected_step <= 210
    assert finding.resolved_step is None


def test_a_finite_loss_beside_a_norm_that_is_nan_hides_one_until_it_is_finite_again() -> None:
    norm = np.ones(400)
    norm[200:300] = np.nan
    (finding,) = of(watch({"loss/train": learning(), "grad_norm": norm}), "masked_nan")
    assert (finding.onset_step, finding.resolved_step) == (200, 300)


def zeros(before: Floats) -> Floats:
    return np.concatenate([before, np.zeros(100)])


@pytest.mark.parametrize(
    "loss",
    [
        np.round(2.3 * np.exp(-np.arange(400) / 30), 4),
        zeros(np.maximum(0.0, np.linspace(1.0, 0.0, 300))),
        zeros(np.zeros(50)),
        zeros(np.tile([2.0, 0.01, 0.5], 100)),
    ],
    ids=["rounding", "hinge", "0 from the start", "batches of one"],
)
def test_a_task_that_reaches_0_is_healthy(loss: Floats) -> None:
    assert of(watch({"loss/train": loss}), "masked_nan") == []


def test_a_gradient_proves_a_loss_of_0_real() -> None:
    loss = zeros(np.full(300, 1.0))
    norm = np.full(400, 1e-7)
    assert of(watch({"loss/train": loss, "grad_norm": norm}), "masked_nan") == []


def test_four_zeros_are_not_enough_and_no_loss_is_not_judged() -> None:
    loss = np.ones(300)
    loss[100:104] = 0.0
    assert of(watch({"loss/train": loss}), "masked_nan") == []
    assert blind(watch({"lr": np.ones(9)}), "masked_nan")


# --- zero_grad_missing ----------------------------------------------------------------------------


def piled(
    count: int = 60, width: int = 200, common: float = 1.0, seed: int = 0, every: int = 10**9
) -> dict[str, Floats]:
    """Norms and cosines of gradients that are summed, and cleared every so many records."""
    random = np.random.default_rng(seed)
    mean = random.normal(size=width)
    total, before = np.zeros(width), None
    norms, cosines = [], []
    for index in range(count):
        total = total * (index % every != 0) + common * mean + random.normal(size=width)
        norms.append(float(np.linalg.norm(total)))
        size = 0.0 if before is None else float(np.linalg.norm(before)) * norms[-1]
        cosines.append(float(before @ total) / size if before is not None else math.nan)
        before = total.copy()
    loss = 2.3 * noise(count, 0.05, seed)
    return {"loss/train": loss, "grad_norm": np.array(norms), "grad_cos": np.array(cosines)}


def harmed(columns: dict[str, Floats]) -> dict[str, Floats]:
    columns["loss/train"][25:] *= 8.0
    return columns


def growing(*factors: float) -> dict[int, dict[str, list[float]]]:
    """Two layer records, whose norms grow by these factors."""
    updates = [1e-3] * len(factors)
    return {
        0: {"grad_norm": [1.0] * len(factors), "update_ratio": updates},
        10: {"grad_norm": list(factors), "update_ratio": updates},
    }


@pytest.mark.parametrize("common", [0.3, 1.0, 3.0])
def test_gradients_that_pile_up_in_all_layers_are_found_within_20_steps(common: float) -> None:
    engine = watch(piled(common=common), CLASSES, layers=layers_at(growing(6.0, 5.0)))
    (finding,) = of(engine, "zero_grad_missing")
    assert finding.onset_step == 0
    assert finding.detected_step <= 30
    assert "zero_grad" in finding.fixes[0]


def test_without_layers_the_loss_must_suffer() -> None:
    assert of(watch(piled(), CLASSES), "zero_grad_missing") == []
    (finding,) = of(watch(harmed(piled()), CLASSES), "zero_grad_missing")
    assert finding.detected_step < 60


def test_a_resumed_run_is_judged_anew_and_has_one_open_episode_at_most() -> None:
    columns = {name: np.concatenate([each, each]) for name, each in harmed(piled()).items()}
    engine = Engine(CLASSES)
    for index, values in enumerate(zip(*columns.values(), strict=True)):
        if index == 60:
            engine.feed_event(Event(event="resume", step=0))
        given = dict(zip(columns, map(float, values), strict=True))
        engine.feed_train(Row(step=index % 60, epoch=None, time=None, values=given))
    assert engine.failures == []
    first, *later = of(engine, "zero_grad_missing", least="info")
    assert first.resolved_step == 0
    assert sum(each.resolved_step is None for each in later) <= 1


def test_without_cosines_a_linear_growth_is_one() -> None:
    columns = harmed(piled())
    del columns["grad_cos"]
    assert len(of(watch(columns, CLASSES), "zero_grad_missing")) == 1
    columns["grad_norm"] = np.asarray(1.5 ** np.arange(60), np.float64)
    assert of(watch(columns, CLASSES), "zero_grad_missing") == []


def test_layers_that_nobody_updates_pile_up_in_peace() -> None:
    layers = growing(1.1, 12.0)
    for each in layers.values():
        each["update_ratio"] = [1e-3, 0.0]
    assert of(watch(harmed(piled()), CLASSES, layers=layers_at(layers)), "zero_grad_missing") == []


@pytest.mark.parametrize("every", [2, 8, 16])
def test_accumulation_on_purpose_is_healthy(every: int) -> None:
    columns = harmed(piled(every=every))
    columns["update_ratio"] = np.where(np.arange(60) % every == every - 1, 1e-3, 0.0)
    assert of(watch(columns, CLASSES), "zero_grad_missing") == []
    del columns["update_ratio"]
    info = RunInfo(grad_accumulation=every)
    assert of(watch(columns, info), "zero_grad_missing") == []


def test_large_batches_on_their_way_out_of_a_flat_region_are_healthy() -> None:
    norms = 0.1 * np.exp(np.arange(60) / 12)
    columns = harmed({"loss/train": np.full(60, 2.3), "grad_norm": norms})
    columns["grad_cos"] = np.full(60, 0.98)
    layers = growing(2.3, 2.3)
    assert of(watch(columns, CLASSES, layers=layers_at(layers)), "zero_grad_missing") == []


def test_epoch_means_need_a_loss_that_suffers() -> None:
    info = RunInfo(cadence="epoch", task="classification", num_classes=10)
    columns = {
        "loss/train": np.array([1.9, 2.8, 2.9, 4.4, 7.0]),
        "grad_norm": np.array([10.0, 100.0, 107.0, 108.0, 108.0]),
        "grad_cos": np.array([0.97, 0.95, 0.99, 0.99, 1.0]),
    }
    (finding,) = of(watch(columns, info, stride=30), "zero_grad_missing")
    assert finding.detected_step == 60
    columns["loss/train"] = np.array([1.9, 1.0, 0.5, 0.4, 0.3])
    assert of(watch(columns, info, stride=30), "zero_grad_missing") == []


@pytest.mark.parametrize(("stride", "frozen", "found"), [(30, 1e-3, 1), (1, 1e-3, 0), (30, 0.0, 0)])
def test_a_cosine_near_1_over_whole_epochs_is_enough(
    stride: int, frozen: float, found: int
) -> None:
    info = RunInfo(cadence="epoch", task="classification", num_classes=2)
    columns = {
        "loss/train": np.array([0.68, 0.57, 0.49, 0.43]),
        "grad_norm": np.array([18.8, 26.5, 30.9, 33.4]),
        "grad_cos": np.array([0.995, 0.999, 0.999, 0.999]),
    }
    stats = {"update_ratio": [1e-3, frozen], "grad_norm": [10.0, 10.0]}
    layers = layers_at(dict.fromkeys(range(4), stats))
    engine = watch(columns, info, layers=layers, stride=stride)
    assert len(of(engine, "zero_grad_missing")) == found


# --- noisy_gradients ------------------------------------------------------------------------------


def noisy(count: int = 400, level: float = 1.5, scale: float = 1.2) -> dict[str, Floats]:
    random = np.random.default_rng(1)
    return {
        "loss/train": level * noise(count, scale) / math.exp(scale**2 / 2),
        "grad_cos": random.normal(0, 0.1, count),
        "update_ratio": 0.04 * noise(count, 0.5, 2),
    }


TINY = RunInfo(task="classification", num_classes=10, batch_size=2, planned_steps=400)


def test_orthogonal_gradients_with_large_steps_and_a_high_loss() -> None:
    columns = noisy() | {"lr": np.full(400, 0.2)}
    (finding,) = of(watch(columns, TINY), "noisy_gradients")
    assert finding.detected_step < 160
    assert finding.fixes == (
        "batch size 2 -> 32, or accumulate gradients over 16 steps",
        "lr 0.2 -> 0.02",
    )
    assert finding.next[0].analysis == "batch_size"


def test_the_batch_size_stands_in_for_the_cosine() -> None:
    columns = {"loss/train": noisy()["loss/train"]}
    assert len(of(watch(columns, TINY), "noisy_gradients")) == 1
    assert of(watch(columns), "noisy_gradients") == []
    assert blind(watch(columns), "noisy_gradients")


def test_without_metadata_the_cosine_is_enough() -> None:
    columns = noisy()
    columns["loss/train"][0] = 2.3
    assert len(of(watch(columns), "noisy_gradients")) == 1


def test_it_ends_when_the_loss_falls() -> None:
    columns = noisy(800)
    columns["loss/train"][400:] *= 0.02
    (finding,) = of(watch(columns, TINY), "noisy_gradients")
    assert finding.resolved_step is not None
    assert 400 < finding.resolved_step < 520


@pytest.mark.parametrize(
    "change",
    [
        {"level": 0.2},
        {"update_ratio": 2e-3, "batch": 12},
        {"grad_cos": 0.3},
        {"falls": 1.0},
        {"evals": 1.0},
        {"batch": 64},
    ],
    ids=lambda change: next(iter(change)),
)
def test_noise_that_does_no_harm_is_healthy(change: dict[str, float]) -> None:
    columns = noisy(level=change.get("level", 1.5), scale=0.8)
    columns["loss/train"][0] = 2.3
    for name in ("update_ratio", "grad_cos"):
        if name in change:
            columns[name] = columns[name] * 0.01 + change[name]
    if "falls" in change:
        columns["loss/train"] = columns["loss/train"] * np.exp(-np.arange(400) / 100)
    evals = {at: {"loss/val": 1.4} for at in (20, 40, 60, 90)} if "evals" in change else None
    info = RunInfo(task="classification", num_classes=10, batch_size=int(change.get("batch", 2)))
    assert of(watch(columns, info, evals), "noisy_gradients") == []


# --- grad_clip_too_tight --------------------------------------------------------------------------

CLIPPED = RunInfo(task="classification", num_classes=10, planned_steps=400, grad_clip=1e-3)


def clipped(loss: Floats, norm: float = 0.4, update: float = 1e-4) -> dict[str, Floats]:
    count = len(loss)
    norms = norm * noise(count, 0.2, 3)
    return {
        "loss/train": loss,
        "grad_norm": norms,
        "update_ratio": np.full(count, update),
        "lr": np.full(count, 0.01),
    }


STILL = LN10 * noise(400, 0.02)


def test_clipping_that_leaves_nothing_holds_the_run_back() -> None:
    (finding,) = of(watch(clipped(STILL), CLIPPED), "grad_clip_too_tight")
    assert finding.detected_step < 60
    assert finding.causes[0].basis == "measured"
    assert finding.fixes[0].startswith("clip at 0.3")


def test_the_norm_after_clipping_stands_in_for_the_limit() -> None:
    columns = clipped(STILL) | {"grad_norm_clipped": np.full(400, 1e-3)}
    info = RunInfo(task="classification", num_classes=10, planned_steps=400)
    assert len(of(watch(columns, info), "grad_clip_too_tight")) == 1
    assert len(of(watch(columns), "grad_clip_too_tight")) == 1


def test_a_fall_that_is_too_slow_for_the_plan_counts() -> None:
    slow = LN10 * (1 - 0.25 * np.arange(400) / 400) * noise(400, 0.02)
    (finding,) = of(watch(clipped(slow), CLIPPED), "grad_clip_too_tight")
    assert finding.detected_step < 100


@pytest.mark.parametrize(
    ("columns", "limit"),
    [
        (clipped(learning()), 1e-3),
        (clipped(STILL, update=5e-3), 1e-3),
        (clipped(STILL), 1.0),
        (clipped(STILL, norm=5.0), 1.0),
    ],
    ids=["learns all the same (Adam)", "steps are large", "hardly ever clips", "clips to a fifth"],
)
def test_clipping_without_a_consequence_is_at_most_advice(
    columns: dict[str, Floats], limit: float
) -> None:
    info = RunInfo(task="classification", num_classes=10, planned_steps=400, grad_clip=limit)
    assert of(watch(columns, info), "grad_clip_too_tight") == []


def test_a_warm_up_is_waited_for() -> None:
    columns = clipped(STILL) | {"lr": np.linspace(1e-6, 1e-3, 400)}
    assert of(watch(columns, CLIPPED), "grad_clip_too_tight") == []


def test_it_ends_with_the_first_progress_and_needs_both_norms() -> None:
    loss = np.where(np.arange(800) < 400, LN10, LN10 * np.exp(-(np.arange(800) - 400) / 100))
    info = RunInfo(task="classification", num_classes=10, planned_steps=800, grad_clip=1e-3)
    (finding,) = of(watch(clipped(loss), info), "grad_clip_too_tight")
    assert finding.resolved_step is not None
    assert 400 < finding.resolved_step < 500
    assert blind(watch({"loss/train": loss, "grad_norm": loss}), "grad_clip_too_tight")


# --- bad starts: bad_initialization, input_not_normalized, exploding_gradients --------------------

NAMES = LayerNames(
    names=("a", "b"), act_names=("act.0", "act.1", "act.2"), act_kinds=("relu", "relu", "relu")
)
TANH = LayerNames(
    names=("a", "b", "c"),
    numel=(64, 64, 64),
    act_names=("act.0", "act.1", "act.2"),
    act_kinds=("tanh", "tanh", "tanh"),
)


def start(
    spread: list[float],
    loss: float,
    norm: float,
    info: RunInfo = CLASSES,
    names: LayerNames = NAMES,
    at: int = 0,
    **stats: list[float],
) -> Engine:
    time = np.arange(200)
    columns = {
        "loss/train": loss * 0.8**time + 0.1,
        "grad_norm": norm * 0.9**time + 0.1,
    }
    return watch(columns, info, layers=layers_at({at: {"act_std": spread, **stats}}), names=names)


def test_activations_that_grow_name_the_initialisation() -> None:
    engine = start([2.0, 9.0, 40.0], 90.0, 300.0)
    (finding,) = of(engine, "exploding_gradients")
    assert (finding.onset_step, finding.detected_step) == (0, 1)
    assert finding.causes[0].basis == "measured"
    assert "20x" in finding.causes[0].because
    assert "kaiming" in finding.fixes[0]
    # One root, one alert: the initialisation is its cause.
    (advice,) = of(engine, "bad_initialization", least="info")
    assert advice.severity == "info"


@pytest.mark.parametrize(("gain", "update", "found"), [(6.0, 0.1, 1), (1.4, 0.1, 0), (6.0, 9.0, 0)])
def test_weights_that_are_too_large_behind_a_norm(gain: float, update: float, found: int) -> None:
    names = LayerNames(names=("a", "b"), numel=(1024, 1024), act_names=("act.0", "act.1"))
    engine = start(
        [4.0, 4.0],
        13.0,
        40.0,
        RunInfo(task="language_modeling"),
        names,
        weight_norm=[gain * 32**0.5, gain * 32**0.5],
        update_ratio=[update, update],
    )
    raised = of(engine, "exploding_gradients")
    assert len(raised) == found
    if found:
        assert "gain" in raised[0].causes[0].because


def test_regression_has_no_loss_of_guessing_and_is_judged_by_its_activations() -> None:
    info = RunInfo(task="regression")
    assert len(of(start([2.0, 9.0, 40.0], 1e4, 300.0, info), "exploding_gradients")) == 1
    assert of(start([0.5, 0.4, 0.4], 1e4, 300.0, info), "exploding_gradients") == []


def test_without_norms_the_first_loss_is_the_consequence() -> None:
    columns = {"loss/train": 90.0 * 0.8 ** np.arange(200)}
    engine = watch(
        columns, CLASSES, layers=layers_at({0: {"act_std": [2.0, 9.0, 40.0]}}), names=NAMES
    )
    (finding,) = of(engine, "bad_initialization")
    assert finding.title == "Initial weights are too large"
    assert finding.resolved_step is not None


def test_a_signal_that_is_lost_on_its_way_needs_a_loss_that_stands_still() -> None:
    layers = layers_at({0: {"act_std": [0.5, 0.02, 0.001]}})
    still = {"loss/train": LN10 * noise(400, 0.01)}
    (finding,) = of(watch(still, CLASSES, layers=layers, names=NAMES), "bad_initialization")
    assert finding.title == "Initial weights are too small"
    learns = {"loss/train": learning()}
    assert of(watch(learns, CLASSES, layers=layers, names=NAMES), "bad_initialization") == []


def test_inputs_that_are_far_too_large() -> None:
    engine = start([60.0, 25.0, 10.0], 12.0, 150.0)
    (finding,) = of(engine, "input_not_normalized")
    assert (finding.onset_step, finding.layers) == (0, ("act.0",))
    assert finding.detected_step <= 8
    assert finding.resolved_step is not None
    assert finding.next[0].analysis == "data"
    assert of(engine, "bad_initialization") == []
    assert of(engine, "exploding_gradients")[0].causes[0].cause == "inputs are not normalised"


def test_saturated_first_layers_tell_inputs_from_weights() -> None:
    spread = [0.98, 0.5, 0.4]
    inputs = start(spread, 12.0, 150.0, names=TANH, act_sat_frac=[0.95, 0.05, 0.02])
    assert len(of(inputs, "input_not_normalized")) == 1
    weights = start([1.0, 1.0, 1.0], 12.0, 150.0, names=TANH, act_sat_frac=[0.95, 0.9, 0.9])
    assert of(weights, "input_not_normalized") == []
    assert "weights" in of(weights, "exploding_gradients")[0].causes[0].cause


@pytest.mark.parametrize(
    ("spread", "loss", "norm", "at"),
    [
        ([0.5, 0.2, 0.1], 2.3, 1.0, 0),
        ([1.2, 1.9, 2.4], 0.1, 1.0, 0),
        ([60.0, 25.0, 10.0], 2.3, 1.0, 0),
        ([60.0, 25.0, 10.0], 12.0, 30.0, 25),
        ([math.nan, math.nan, math.nan], 12.0, 30.0, 0),
        ([0.0, 0.0, 0.0], 12.0, 30.0, 0),
    ],
    ids=["healthy", "resumed", "normalised behind it", "late record", "not measured", "dead"],
)
def test_starts_that_say_nothing(spread: list[float], loss: float, norm: float, at: int) -> None:
    engine = start(spread, loss, norm, at=at)
    for detector in ("input_not_normalized", "bad_initialization", "exploding_gradients"):
        assert of(engine, detector) == []


def test_epoch_logs_have_no_start() -> None:
    info = RunInfo(task="classification", num_classes=10, cadence="epoch")
    engine = start([60.0, 25.0, 10.0], 12.0, 50.0, info)
    assert of(engine, "input_not_normalized") == []
    assert blind(engine, "input_not_normalized")
    assert blind(engine, "bad_initialization")


def test_exploding_gradients_come_with_values_to_change() -> None:
    norm = noise(400, 0.2, 4)
    norm[300:330] = 60.0
    loss = np.where(np.arange(400) < 305, learning(), 2.6)
    lr = np.where(np.arange(400) < 299, 1e-3, 0.1)
    columns = {"loss/train": loss, "grad_norm": norm, "lr": lr}
    (finding,) = of(watch(columns, CLASSES), "exploding_gradients")
    assert finding.fixes[0] == "lr 0.1 -> 0.001, as before step 299"
    assert finding.fixes[1].startswith("clip at 2")


# --- loss_scaled_by_accumulation ------------------------------------------------------------------


def accumulated(factor: float, count: int, ratio: float = 1.0) -> Engine:
    loss = learning(floor=0.5)
    info = RunInfo(task="classification", num_classes=10, grad_accumulation=count)
    evals = {at: {"loss/val": float(loss[at - 7]) * ratio} for at in range(50, 400, 50)}
    return watch({"loss/train": factor * loss, "lr": np.full(400, 0.01)}, info, evals)


@pytest.mark.parametrize(("factor", "count"), [(4.0, 4), (0.25, 4), (8.0, 8), (0.125, 8)])
def test_a_loss_that_is_n_times_the_evaluation_from_the_start(factor: float, count: int) -> None:
    (finding,) = of(accumulated(factor, count), "loss_scaled_by_accumulation")
    assert (finding.onset_step, finding.detected_step) == (50, 150)
    assert str(count) in finding.fixes[0]


@pytest.mark.parametrize(
    ("factor", "count", "ratio"),
    [(1.0, 4, 1.0), (4.0, 1, 1.0), (4.0, 8, 1.0), (1.0, 4, 4.0), (1.0, 2, 0.5), (2.6, 2, 1.0)],
    ids=["right", "no accumulation", "not N", "overfit", "easy evaluation", "auxiliary loss"],
)
def test_other_ratios_are_not_accumulation(factor: float, count: int, ratio: float) -> None:
    assert of(accumulated(factor, count, ratio), "loss_scaled_by_accumulation") == []


def test_the_number_of_batches_must_be_known() -> None:
    assert blind(watch({"loss/train": learning()}), "loss_scaled_by_accumulation")
    info = RunInfo(grad_accumulation=1)
    assert not blind(watch({"loss/train": learning()}, info), "loss_scaled_by_accumulation")


# --- loss_spike -----------------------------------------------------------------------------------


def test_a_spike_with_its_gradient_is_a_batch_unlike_the_others() -> None:
    loss, norm = learning(floor=0.5), noise(400, 0.1, 5)
    loss[300], norm[300], norm[299] = 5.0, 30.0, 1.0
    (finding,) = of(watch({"loss/train": loss, "grad_norm": norm}, CLASSES), "loss_spike")
    assert finding.causes[0].cause == "a batch unlike the others"
    assert finding.fixes[0] == "clip at 2, twice the gradient norm before it"


@pytest.mark.parametrize("seed", range(4))
def test_heavy_tailed_rounded_and_windowed_losses_have_no_spikes(seed: int) -> None:
    random = np.random.default_rng(seed)
    level = 3.0 + 5.0 * (np.arange(3000) + 10.0) ** -0.3
    tailed = level * np.exp(0.06 * random.standard_t(10, 3000))
    assert of(watch({"loss/train": tailed}), "loss_spike") == []
    assert of(watch({"loss/train": np.round(tailed, 1)}), "loss_spike") == []
    windows = tailed.reshape(-1, 10).mean(axis=1)
    assert of(watch({"loss/train": windows}, stride=10), "loss_spike") == []


def test_a_small_spike_must_be_a_clear_one() -> None:
    loss = 3.0 * noise(400, 0.02)
    loss[300] = 4.2
    assert len(of(watch({"loss/train": loss}), "loss_spike")) == 1


# --- bad input, all of them -----------------------------------------------------------------------

MINE = (
    *("amp_overflow", "masked_nan", "zero_grad_missing", "noisy_gradients", "grad_clip_too_tight"),
    *("bad_initialization", "input_not_normalized", "loss_scaled_by_accumulation"),
)
ALL_MINE = (*MINE, "nan_inf", "exploding_gradients", "loss_spike")


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, math.nan, math.inf, 1e300, 1e-300])
@pytest.mark.parametrize("count", [1, 300])
@pytest.mark.parametrize("info", [RunInfo(), RunInfo(amp=True, grad_clip=1.0, batch_size=1)])
def test_constants_carry_no_finding(value: float, count: int, info: RunInfo) -> None:
    roles = ("loss/train", "grad_norm", "update_ratio", "grad_cos", "grad_norm_clipped", "lr")
    column = np.full(count, value)
    engine = watch(
        dict.fromkeys(roles, column) | {"skipped_step": np.zeros(count)},
        info,
        evals={0: {"loss/val": value}},
        layers=layers_at({0: {"act_std": [value, value], "grad_norm": [value, value]}}),
    )
    raised = {each.id for each in engine.findings if each.severity != "info"}
    assert not raised & set(MINE)


@pytest.mark.parametrize("seed", range(4))
def test_no_numbers_make_one_of_them_fail(seed: int) -> None:
    random = np.random.default_rng(seed)
    odd = [0.0, 1.0, -1.0, 1e300, -1e300, 5e-324, math.nan, math.inf, 1e14, 3.0]
    roles = (
        *("loss/train", "grad_norm", "update_ratio", "grad_cos", "grad_norm_clipped", "lr"),
        *("loss_scale", "skipped_step"),
    )
    columns = {role: random.choice(odd, 300) for role in roles}
    stats = ("act_std", "act_sat_frac", "grad_norm", "weight_norm", "update_ratio")
    layers = {
        at: {name: list(random.choice(odd, 3)) for name in stats} for at in (0, 1, 10, 20, 100)
    }
    evals = {at: {"loss/val": float(random.choice(odd))} for at in range(0, 300, 20)}
    info = RunInfo(task="classification", num_classes=3, batch_size=1, grad_accumulation=2)
    engine = Engine(info, detectors=[each for each in DETECTORS if each.id in ALL_MINE])
    engine.feed_layer_names(TANH)
    for at in range(300):
        values = {role: float(column[at]) for role, column in columns.items()}
        engine.feed_train(Row(step=at, epoch=None, time=None, values=values))
        if at in layers:
            engine.feed_layers(layers_at(layers)[at])
        if at in evals:
            engine.feed_eval(Row(step=at, epoch=None, time=None, values=evals[at]))
    assert engine.failures == []
