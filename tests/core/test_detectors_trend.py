"""The detectors that read long stretches of losses, plateau and overfitting, and their traps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from traintop.detectors.engine import Engine
from traintop.records import Finding, Row, RunInfo

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


# --- plateau --------------------------------------------------------------------------------------


def test_a_high_flat_loss_is_a_plateau_with_a_cause() -> None:
    lr = np.where(np.arange(400) < 60, 0.01, 1e-4)
    loss = np.where(np.arange(400) < 60, 2.3 - np.arange(400) * 0.01, 1.7) * noise(400, 0.02)
    # The learning rate is a finding of its own, which makes this advice.
    (finding,) = of(watch({"loss/train": loss, "lr": lr}, CLASSES), "plateau", least="info")
    assert 55 <= finding.onset_step <= 100
    assert finding.onset_step < finding.detected_step < 260
    assert any("lr fell 100x at step 60" in each.because for each in finding.causes)


def test_a_plateau_that_falls_again_is_resolved() -> None:
    time = np.arange(800)
    loss = np.where(time < 500, 1.7, 1.7 * np.exp(-(time - 500) / 100)) * noise(800, 0.02)
    info = RunInfo(task="classification", num_classes=10, planned_steps=800)
    (finding,) = of(watch({"loss/train": loss}, info), "plateau")
    assert finding.resolved_step is not None
    assert 500 < finding.resolved_step < 600


def test_a_run_that_has_converged_is_no_plateau() -> None:
    assert of(watch({"loss/train": learning()}, CLASSES), "plateau") == []
    smoothed = learning(floor=0.55, scale=0.03)
    evals = {40 * k: {"loss/val": 0.2, "accuracy/val": 0.97} for k in range(1, 10)}
    assert of(watch({"loss/train": smoothed}, CLASSES, evals), "plateau") == []


def test_the_power_law_tail_of_a_language_model_is_no_plateau() -> None:
    time = np.arange(20_000)
    loss = (1.7 + 8 * (time + 20.0) ** -0.3) * noise(20_000, 0.02)
    assert (
        of(watch({"loss/train": loss}, RunInfo(planned_steps=20_000)), "plateau", least="info")
        == []
    )


def test_an_evaluation_that_improves_overrules_a_plateau() -> None:
    loss = 1.9 * noise(400, 0.02)
    evals = {20 * k: {"loss/val": 2.0 * 0.97**k} for k in range(1, 20)}
    assert of(watch({"loss/train": loss}, CLASSES, evals), "plateau") == []


def test_the_end_of_a_schedule_is_no_plateau() -> None:
    time = np.arange(400)
    lr = np.where(time < 250, 0.1, 1e-3)
    loss = np.where(time < 250, 2.3 * 0.996**time, 0.85) * noise(400, 0.01)
    assert of(watch({"loss/train": loss, "lr": lr}, CLASSES), "plateau") == []


def test_where_no_level_is_known_a_plateau_is_advice() -> None:
    loss = (0.9 + 0.4 * np.exp(-np.arange(800) / 10)) * noise(800, 0.1)
    engine = watch({"loss/train": loss})
    assert [each.severity for each in of(engine, "plateau", least="info")] == ["info"]


# --- overfitting ----------------------------------------------------------------------------------


def curve(values: Series, every: int = 20, **more: Series) -> dict[int, dict[str, float]]:
    return {
        every * (index + 1) - 1: {"loss/val": float(value)}
        | {name.replace("__", "/"): float(column[index]) for name, column in more.items()}
        for index, value in enumerate(values)
    }


def memorising(count: int = 400) -> NDArray[np.float64]:
    """A training loss that goes on falling."""
    return np.asarray(2.3 * np.exp(-np.arange(count) / 120) * noise(count, 0.1))


FALLS = np.concatenate([np.linspace(2.2, 0.5, 10), np.linspace(0.52, 0.95, 10)])


def test_a_validation_loss_that_rises_while_training_falls_is_overfitting() -> None:
    (finding,) = of(watch({"loss/train": memorising()}, CLASSES, curve(FALLS)), "overfitting")
    assert 179 <= finding.onset_step <= 219
    assert finding.detected_step <= 319
    assert finding.next[0].analysis == "predictions"
    assert finding.resolved_step is None


def test_rising_accuracy_is_said_to_be_over_confidence() -> None:
    accuracy = np.linspace(0.5, 0.9, 20)
    engine = watch({"loss/train": memorising()}, CLASSES, curve(FALLS, accuracy__val=accuracy))
    (finding,) = of(engine, "overfitting")
    assert any("over-confident" in each.what for each in finding.evidence)


def test_overfitting_that_is_undone_is_resolved() -> None:
    values = np.concatenate([FALLS[:17], np.linspace(0.6, 0.3, 10)])
    (finding,) = of(watch({"loss/train": memorising(540)}, CLASSES, curve(values)), "overfitting")
    assert finding.resolved_step is not None


def test_a_gap_of_constant_size_is_no_overfitting() -> None:
    train = memorising()
    gap = [float(train[20 * k : 20 * k + 20].mean()) + 0.4 for k in range(20)]
    assert of(watch({"loss/train": train}, CLASSES, curve(gap)), "overfitting") == []


def test_a_tiny_noisy_validation_set_is_no_overfitting() -> None:
    values = (0.3 + 1.9 * np.exp(-np.arange(40) / 5)) * noise(40, 0.15, seed=5)
    assert of(watch({"loss/train": memorising(800)}, CLASSES, curve(values)), "overfitting") == []


def test_both_losses_rising_is_no_overfitting() -> None:
    train = learning()
    train[200:] = np.linspace(0.3, 2.5, 200)
    assert of(watch({"loss/train": train}, CLASSES, curve(FALLS)), "overfitting") == []


def test_too_few_evaluations_are_not_judged() -> None:
    engine = watch({"loss/train": learning(60)}, CLASSES, curve([2.0, 1.0, 3.0]))
    assert "overfitting" in {each.id for each in engine.not_judged()}
