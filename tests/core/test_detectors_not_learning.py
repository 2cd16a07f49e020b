"""Detectors of runs that learn nothing, too little, or the wrong thing, and their traps."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import numpy as np
import pytest

from detector_driver import Series, learning, noise, of, watch
from traintop.detectors.loss_trend import LossTrend
from traintop.records import LayerNames, LayerStats, RunInfo

MINE = (
    *("not_learning", "plateau", "underfitting", "labels_broken", "wrong_loss"),
    *("class_collapse", "weight_decay_too_high"),
)
CLASSES = RunInfo(task="classification", num_classes=10, batch_size=64, planned_steps=400)
TEXT = RunInfo(task="language_modeling", num_classes=1000, planned_steps=400)
TARGETS = RunInfo(task="regression", planned_steps=400)
UNKNOWN = RunInfo()
GUESSING = math.log(10)


def layer_record(step: int, **stats: list[float]) -> LayerStats:
    return LayerStats(step=step, stats={name: np.array(each) for name, each in stats.items()})


def flat(level: float, count: int = 400, scale: float = 0.02) -> Series:
    return level * noise(count, scale)


def curve(every: int = 25, **columns: Series) -> dict[int, Mapping[str, float]]:
    """Evaluations every so many records; keys have `__` for `/`."""
    count = len(next(iter(columns.values())))
    return {
        every * (index + 1) - 1: {
            name.replace("__", "/"): float(values[index]) for name, values in columns.items()
        }
        for index in range(count)
    }


# --- the trend that they share --------------------------------------------------------------------


def test_a_stretch_has_the_line_of_least_squares() -> None:
    trend = LossTrend()
    values = 2.0 - 0.001 * np.arange(80) + 0.01 * np.random.default_rng(0).normal(size=80)
    for step, value in enumerate(values):
        trend.add(3 * step, float(value), math.nan)
    stretch = trend.since(60, 0.0)
    assert stretch is not None
    steps = 3 * np.arange(20, 80)
    assert stretch.slope == pytest.approx(np.polyfit(steps, values[20:], 1)[0])
    assert stretch.before == pytest.approx(values[20:50].mean())
    assert stretch.after == pytest.approx(values[50:].mean())
    assert trend.start == pytest.approx(values[:8].mean())
    assert trend.since(230, 0.0) is None


def test_a_trend_takes_finite_losses_only_and_forgets_them_on_restart() -> None:
    trend = LossTrend()
    for value in (math.nan, math.inf, 1e300, 2.0):
        trend.add(5, value, 0.1)
    assert (trend.start, trend.first_step, trend.blocks) == (2.0, 5, 1)
    trend.restart()
    assert (trend.first_step, trend.blocks) == (-1, 0)


# --- not_learning ---------------------------------------------------------------------------------


def test_a_loss_that_stays_at_guessing_is_not_learning() -> None:
    (finding,) = of(watch({"loss/train": flat(GUESSING)}, CLASSES), "not_learning")
    assert finding.onset_step == 0
    assert 80 <= finding.detected_step < 170
    assert finding.next[0].analysis == "overfit_one_batch"


def test_a_hindrance_that_the_state_shows_is_said_earlier_and_first() -> None:
    still = watch({"loss/train": flat(GUESSING), "update_ratio": np.zeros(400)}, CLASSES)
    (finding,) = of(still, "not_learning", least="info")
    assert finding.causes[-1].basis == "measured"
    assert finding.detected_step < 100
    assert "optimizer.step()" in finding.fixes[0]


def test_a_late_start_is_resolved() -> None:
    time = np.arange(400)
    loss = np.where(time < 200, GUESSING, GUESSING * np.exp(-(time - 200) / 30.0)) * noise(
        400, 0.02
    )
    (finding,) = of(watch({"loss/train": loss}, CLASSES), "not_learning")
    assert finding.resolved_step is not None
    assert 200 < finding.resolved_step < 260


@pytest.mark.parametrize(
    ("loss", "info", "evals"),
    [
        (learning(), CLASSES, {}),
        # A resumed run begins at its floor: guessing, far above, is the yardstick.
        (flat(0.06), CLASSES, {}),
        # Heavy dropout: the evaluation has learnt.
        (flat(GUESSING), CLASSES, curve(loss__val=np.linspace(2.0, 1.0, 16))),
        # On its way: its slope reaches far below guessing.
        (np.linspace(2.35, 1.7, 400) * noise(400, 0.01), CLASSES, {}),
        # A loss that has been low before has diverged.
        (np.concatenate([learning(100), flat(GUESSING, 300)]), CLASSES, {}),
        # Tokens: ln 1000 is left at once.
        (6.9 * (np.arange(400) + 1.0) ** -0.1 * noise(400, 0.02), TEXT, {}),
        # Accuracy says that it has learnt.
        (flat(1.0, 800), UNKNOWN, curve(50, accuracy__val=np.full(16, 0.9))),
    ],
)
def test_what_is_not_not_learning(
    loss: Series, info: RunInfo, evals: dict[int, Mapping[str, float]]
) -> None:
    assert of(watch({"loss/train": loss}, info, evals), "not_learning") == []


def test_warm_up_does_not_count() -> None:
    time = np.arange(400)
    lr = 0.1 * np.minimum(1.0, (time + 1) / 250)
    loss = np.where(time < 260, GUESSING, GUESSING * np.exp(-(time - 260) / 20.0)) * noise(
        400, 0.02
    )
    assert of(watch({"loss/train": loss, "lr": lr}, CLASSES), "not_learning") == []


def test_a_lowered_learning_rate_makes_it_a_plateau() -> None:
    lr = np.where(np.arange(400) < 40, 0.1, 1e-4)
    engine = watch({"loss/train": flat(2.2), "lr": lr}, CLASSES)
    assert of(engine, "not_learning") == []


def test_where_no_level_is_known_not_learning_is_advice() -> None:
    for info in (TARGETS, UNKNOWN):
        engine = watch({"loss/train": flat(1.0, 800)}, info)
        (finding,) = of(engine, "not_learning", least="info")
        assert finding.severity == "info"


def test_an_open_cause_makes_it_advice() -> None:
    train = {"loss/train": flat(GUESSING), "lr": np.full(400, 1e-3)}
    engine = watch(train, DECAYED, layers=shrinking(0.02))
    assert of(engine, "weight_decay_too_high")
    assert of(engine, "not_learning") == []
    (advice,) = of(engine, "not_learning", least="info")
    assert "weight_decay_too_high" in advice.causes[0].because


# --- plateau and underfitting ---------------------------------------------------------------------


def high(count: int = 400) -> Series:
    """Learns something, and stops at 60 % of guessing."""
    time = np.arange(count)
    return np.asarray((1.4 + 0.9 * np.exp(-time / (0.03 * count))) * noise(count, 0.04))


def test_underfitting_is_a_plateau_of_both_losses() -> None:
    evals = curve(loss__val=np.full(16, 1.42), accuracy__val=np.full(16, 0.45))
    engine = watch({"loss/train": high()}, CLASSES, evals)
    (finding,) = of(engine, "underfitting")
    assert finding.detected_step < 160
    assert finding.resolved_step is None
    assert "model" in finding.causes[0].cause
    # It says more than `plateau`, which is then advice.
    assert of(engine, "plateau") == []


@pytest.mark.parametrize(
    "evals",
    [
        # Smoothed labels or a wrong loss: the accuracy is fine.
        curve(loss__val=np.full(16, 1.42), accuracy__val=np.full(16, 0.96)),
        # A model that fits what it has seen.
        curve(loss__val=np.full(16, 2.0), accuracy__val=np.full(16, 0.45)),
        # Nothing is known of how it does.
        {},
    ],
)
def test_what_is_no_underfitting(evals: dict[int, Mapping[str, float]]) -> None:
    assert of(watch({"loss/train": high()}, CLASSES, evals), "underfitting") == []


def test_a_lowered_learning_rate_is_no_underfitting_but_a_plateau_with_a_fix() -> None:
    lr = np.where(np.arange(400) < 60, 0.01, 1e-4)
    loss = np.where(np.arange(400) < 60, 2.3 - np.arange(400) * 0.01, 1.7) * noise(400, 0.02)
    evals = curve(loss__val=np.full(16, 1.75), accuracy__val=np.full(16, 0.4))
    engine = watch({"loss/train": loss, "lr": lr}, CLASSES, evals)
    assert of(engine, "underfitting") == []
    (finding,) = of(engine, "plateau", least="info")
    assert any("lr fell 100x at step 60" in each.because for each in finding.causes)
    assert "0.0001 -> 0.01" in finding.fixes[0]


def test_a_plateau_of_a_classifier_is_found_by_its_loss_alone() -> None:
    (finding,) = of(watch({"loss/train": high()}, CLASSES), "plateau")
    assert finding.detected_step < 160


def test_a_plateau_under_a_cosine_is_found_while_the_rate_is_high() -> None:
    lr = 0.05 * (1 + np.cos(math.pi * np.arange(400) / 400))
    (finding,) = of(watch({"loss/train": high(), "lr": lr}, CLASSES), "plateau")
    assert finding.detected_step < 200


@pytest.mark.parametrize(
    ("loss", "info"),
    [
        # The power-law tail of a language model, and one at the entropy of its text.
        ((1.7 + 8 * (np.arange(4000) + 20.0) ** -0.3) * noise(4000, 0.02), TEXT),
        (flat(4.0, 4000), TEXT),
        # The noise of a regression.
        (1.0 * np.exp(-np.arange(400) / 20) + flat(0.6), TARGETS),
        # A resumed run.
        (flat(0.9), TARGETS),
        (flat(0.06), CLASSES),
    ],
)
def test_what_is_no_plateau(loss: Series, info: RunInfo) -> None:
    info = msgspec.structs.replace(info, planned_steps=len(loss))
    assert of(watch({"loss/train": loss}, info), "plateau") == []


def test_an_unknown_run_with_a_low_accuracy_has_a_plateau() -> None:
    loss = np.asarray((0.8 + 0.4 * np.exp(-np.arange(800) / 20.0)) * noise(800, 0.02))
    evals = curve(50, accuracy__val=np.full(16, 0.4))
    assert of(watch({"loss/train": loss}, UNKNOWN, evals), "plateau")
    assert of(watch({"loss/train": loss}, UNKNOWN), "plateau") == []


# --- labels_broken --------------------------------------------------------------------------------


def by_heart(count: int = 400) -> Series:
    return np.asarray(np.linspace(2.32, 1.9, count) * noise(count, 0.02))


def test_learning_by_heart_alone_says_that_labels_are_broken() -> None:
    evals = curve(loss__val=np.linspace(2.3, 2.6, 16), accuracy__val=np.full(16, 0.1))
    (finding,) = of(watch({"loss/train": by_heart()}, CLASSES, evals), "labels_broken")
    assert finding.detected_step < 130
    assert finding.next[0].analysis == "data"


def test_training_accuracy_shows_it_earlier() -> None:
    evals = curve(loss__val=np.full(16, 2.31), accuracy__val=np.full(16, 0.09))
    accuracy = np.linspace(0.1, 0.4, 400)
    loss = np.linspace(2.31, 2.27, 400) * noise(400, 0.02)
    engine = watch({"loss/train": loss, "accuracy/train": accuracy}, CLASSES, evals)
    (finding,) = of(engine, "labels_broken")
    assert any("training accuracy" in each.what for each in finding.evidence)


def layered(count: int = 400, first: float = 1.0) -> dict[int, LayerStats]:
    return {
        index: layer_record(
            index, grad_norm=[first, 1.0], weight_norm=[5.0, 5.0], update_ratio=[1e-3, 1e-3]
        )
        for index in range(0, count, 10)
    }


NAMES = LayerNames(names=("first", "last"), numel=(100, 100), requires_grad=(True, True))


def stuck(
    update: float = 2e-3,
    majority: float = 0.4,
    first: float = 1.0,
    info: RunInfo = CLASSES,
    **columns: float,
) -> list[str]:
    """The findings of a run that learns nothing though all is well, but for what is given."""
    evals = curve(
        loss__val=np.full(16, columns.get("val", 2.31)),
        accuracy__val=np.full(16, 0.1),
        majority_pred_fraction=np.full(16, majority),
    )
    train = {"loss/train": flat(GUESSING), "update_ratio": np.full(400, update)}
    engine = watch(train, info, evals, layered(first=first), names=NAMES)
    return [each.id for each in engine.findings if each.severity != "info"]


def test_nothing_learnt_with_healthy_updates_says_it_too() -> None:
    assert "labels_broken" in stuck()


@pytest.mark.parametrize(
    "change",
    [
        {"update": 2e-5},
        {"update": 0.0},
        {"majority": 1.0},
        {"first": 1e-5},
        {"info": msgspec.structs.replace(CLASSES, grad_clip=1e-3), "update": 4e-4},
        {"val": 1.9},
    ],
)
def test_whatever_else_explains_it_keeps_labels_out(change: dict[str, float]) -> None:
    assert "labels_broken" not in stuck(**change)  # type: ignore[arg-type] # one is a RunInfo


@pytest.mark.parametrize(
    ("loss", "val", "accuracy"),
    [
        # It learns slowly, on both sets.
        (np.linspace(2.31, 2.15, 400), np.linspace(2.31, 2.16, 16), 0.2),
        # It learns, and then overfits.
        (learning(), np.linspace(1.5, 4.0, 16), 0.5),
        # Data in an order: fitted within the first epoch, before anything came twice.
        (learning(), np.linspace(2.6, 3.5, 16), 0.1),
    ],
)
def test_labels_are_not_broken(loss: Series, val: Series, accuracy: float) -> None:
    evals = curve(loss__val=val, accuracy__val=np.full(16, accuracy))
    assert of(watch({"loss/train": loss}, CLASSES, evals), "labels_broken") == []


def test_a_regression_is_judged_by_its_first_losses() -> None:
    loss = np.linspace(1.1, 0.6, 400) * noise(400, 0.02)
    broken = watch({"loss/train": loss}, TARGETS, curve(loss__val=np.linspace(1.0, 1.2, 16)))
    assert of(broken, "labels_broken")
    learns = watch({"loss/train": loss}, TARGETS, curve(loss__val=np.linspace(1.0, 0.7, 16)))
    assert of(learns, "labels_broken") == []


# --- wrong_loss -----------------------------------------------------------------------------------

FLOOR = math.log(1 + 9 / math.e)
LEARNT = np.minimum(0.97, 0.1 + np.arange(400) / 100)


def test_softmax_twice_lies_on_its_line() -> None:
    train = {"loss/train": FLOOR + 1.0 - LEARNT + 0.02, "accuracy/train": LEARNT}
    (finding,) = of(watch(train, CLASSES), "wrong_loss")
    assert finding.detected_step < 140
    assert "softmax" in finding.fixes[0]
    assert finding.next[0].analysis == "loss_function"


def test_softmax_twice_is_seen_in_evaluations_alone() -> None:
    accuracy = np.linspace(0.88, 0.95, 16)
    evals = curve(loss__val=FLOOR + 1.0 - accuracy + 0.02, accuracy__val=accuracy)
    loss = FLOOR + 1.0 - LEARNT + 0.02
    assert of(watch({"loss/train": loss}, CLASSES, evals), "wrong_loss")


def test_a_loss_below_zero_is_no_cross_entropy() -> None:
    engine = watch({"loss/train": -np.linspace(0.1, 0.9, 400)}, CLASSES)
    (finding,) = of(engine, "wrong_loss")
    assert "log_softmax" in finding.fixes[0]
    assert of(watch({"loss/train": -np.linspace(0.1, 0.9, 400)}, TARGETS), "wrong_loss") == []


@pytest.mark.parametrize(
    ("loss", "accuracy", "info"),
    [
        # Logits that are sure.
        (learning(), LEARNT, CLASSES),
        # Logits at a low learning rate: not sure yet, through the line.
        (2.3 - 0.9 * np.arange(400) / 400, np.minimum(0.92, 0.1 + np.arange(400) / 300), CLASSES),
        # Smoothed labels: high, but below the line.
        (0.9 + 0 * LEARNT, LEARNT, CLASSES),
        # Two classes: the line lies where good models do.
        (
            math.log(1 + 1 / math.e) + 1.0 - LEARNT,
            LEARNT,
            msgspec.structs.replace(CLASSES, num_classes=2),
        ),
        # The number of classes is not known.
        (FLOOR + 1.0 - LEARNT, LEARNT, UNKNOWN),
    ],
)
def test_what_is_no_wrong_loss(loss: Series, accuracy: Series, info: RunInfo) -> None:
    engine = watch({"loss/train": loss, "accuracy/train": accuracy}, info)
    assert of(engine, "wrong_loss") == []


# --- class_collapse -------------------------------------------------------------------------------


def collapsed(count: int = 16, **change: Series) -> dict[int, Mapping[str, float]]:
    columns: dict[str, Series] = {
        "loss__val": np.full(count, 0.2),
        "accuracy__val": np.full(count, 0.95),
        "balanced_accuracy": np.full(count, 0.1),
        "majority_pred_fraction": np.full(count, 1.0),
    }
    return curve(**(columns | change))


def test_one_class_for_several_evaluations_is_class_collapse() -> None:
    (finding,) = of(watch({"loss/train": flat(0.2)}, CLASSES, collapsed()), "class_collapse")
    assert (finding.onset_step, finding.detected_step) == (24, 74)
    assert "19 times" in finding.fixes[0]
    assert finding.causes[0].basis == "measured"


def test_balanced_accuracy_alone_is_enough_where_the_classes_are_known() -> None:
    evals = {
        index: {key: value for key, value in each.items() if "majority" not in key}
        for index, each in collapsed().items()
    }
    assert of(watch({"loss/train": flat(0.2)}, CLASSES, evals), "class_collapse")
    assert of(watch({"loss/train": flat(0.2)}, UNKNOWN, evals), "class_collapse") == []


@pytest.mark.parametrize(
    "change",
    [
        # Rare classes are learnt a little later than the common one.
        {
            "balanced_accuracy": np.where(np.arange(16) < 2, 0.1, 0.8),
            "majority_pred_fraction": np.where(np.arange(16) < 2, 1.0, 0.9),
        },
        # Equal classes and nothing learnt: another ailment.
        {"accuracy__val": np.full(16, 0.1)},
        # Rare classes are missed, the others are not.
        {"balanced_accuracy": np.full(16, 0.6), "majority_pred_fraction": np.full(16, 0.5)},
    ],
)
def test_what_is_no_class_collapse(change: dict[str, Series]) -> None:
    engine = watch({"loss/train": flat(0.2)}, CLASSES, collapsed(**change))
    assert of(engine, "class_collapse") == []


def test_a_collapse_that_ends_is_resolved() -> None:
    share = np.where(np.arange(16) < 8, 1.0, 0.5)
    evals = collapsed(majority_pred_fraction=share)
    (finding,) = of(watch({"loss/train": flat(0.2)}, CLASSES, evals), "class_collapse")
    assert finding.resolved_step == 224


# --- weight_decay_too_high ------------------------------------------------------------------------


def shrinking(rate: float, count: int = 400) -> dict[int, LayerStats]:
    """Two weights that shrink by so much a step, and a bias that began at 0."""
    return {
        index: layer_record(
            index,
            weight_norm=[10 * (1 - rate) ** index, 4 * (1 - rate) ** index, 0.01 * index],
        )
        for index in range(0, count, 10)
    }


DECAYED = msgspec.structs.replace(CLASSES, weight_decay=20.0)


def test_weights_that_shrink_fast_with_a_high_loss_are_decayed_too_much() -> None:
    train = {"loss/train": flat(2.0), "lr": np.full(400, 1e-3)}
    (finding,) = of(watch(train, DECAYED, layers=shrinking(0.02)), "weight_decay_too_high")
    assert finding.detected_step <= 50
    assert finding.causes[0].basis == "measured"
    assert finding.fixes[0] == "weight decay 20 -> 2"
    assert finding.next[0].analysis == "weights"


def test_what_the_run_says_of_itself_is_enough_without_layers() -> None:
    train = {"loss/train": flat(2.0), "lr": np.full(400, 1e-3)}
    (finding,) = of(watch(train, DECAYED), "weight_decay_too_high")
    assert 200 <= finding.detected_step < 230


def test_weights_that_never_shrank_do_not_end_and_reopen_what_the_run_says_of_itself() -> None:
    train = {"loss/train": flat(2.0), "lr": np.full(400, 1e-3)}
    engine = watch(train, DECAYED, layers=shrinking(0.0))
    (finding,) = of(engine, "weight_decay_too_high")
    assert finding.resolved_step is None


@pytest.mark.parametrize(
    ("loss", "rate", "info"),
    [
        # Weights that fit are none of our business.
        (learning(), 0.006, DECAYED),
        # Slowly, as behind normalisation.
        (flat(2.0), 5e-4, RunInfo(task="classification", num_classes=10)),
        # Weights that were blown up and shrink back: the decay is as usual.
        (flat(2.0), 0.02, msgspec.structs.replace(CLASSES, weight_decay=1e-4)),
    ],
)
def test_what_is_no_weight_decay(loss: Series, rate: float, info: RunInfo) -> None:
    train = {"loss/train": loss, "lr": np.full(400, 1e-3)}
    engine = watch(train, info, layers=shrinking(rate, 1200))
    assert of(engine, "weight_decay_too_high") == []


# --- what holds for all ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "loss",
    [
        [1.0],
        [2.0] * 400,
        [0.0] * 400,
        [math.nan] * 400,
        [math.nan, 1.0] * 200,
        [1e300] * 400,
        [-3.0] * 400,
        [1e-30, 1e14] * 200,
    ],
)
@pytest.mark.parametrize("info", [UNKNOWN, TARGETS, TEXT, CLASSES])
def test_strange_series_are_taken_without_an_error(loss: list[float], info: RunInfo) -> None:
    count = len(loss)
    train = dict.fromkeys(("loss/train", "accuracy/train", "update_ratio", "lr"), loss)
    value = loss[0]
    keys = ("loss/val", "accuracy/val", "balanced_accuracy", "majority_pred_fraction")
    evals = {index: dict.fromkeys(keys, value) for index in range(0, count, 20)}
    layers = {index: layer_record(index, weight_norm=[value, 0.0]) for index in range(0, count, 10)}
    watch(train, info, evals, layers)


def test_a_healthy_run_gets_nothing() -> None:
    accuracy = np.minimum(0.97, 0.1 + np.arange(400) / 80)
    evals = curve(
        loss__val=np.linspace(1.0, 0.1, 16),
        accuracy__val=np.linspace(0.6, 0.97, 16),
        balanced_accuracy=np.linspace(0.6, 0.97, 16),
        majority_pred_fraction=np.full(16, 0.12),
    )
    train = {"loss/train": learning(), "accuracy/train": accuracy, "lr": np.full(400, 0.01)}
    engine = watch(train, CLASSES, evals, layered())
    assert [each for each in engine.findings if each.id in MINE] == []
    assert {each.id for each in engine.not_judged()} & set(MINE) == set()


def test_what_could_not_be_judged_is_said_with_how_to_record_it() -> None:
    entries = {
        each.id: each for each in watch({"loss/train": learning(1200)}, UNKNOWN).not_judged()
    }
    for name in MINE[3:]:
        assert entries[name].record, name
    assert {"not_learning", "plateau", "underfitting"} & set(entries) == set()


def test_a_resumed_run_on_another_scale_begins_anew() -> None:
    engine = watch({"loss/train": high(200)}, CLASSES)
    assert engine.context.trend.first_step == 0
    engine = watch({"loss/train": high(200), "batch_size": np.repeat([8.0, 64.0], 100)}, CLASSES)
    assert engine.context.trend.first_step == 101
