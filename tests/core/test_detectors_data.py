"""The detectors of the data: leakage into the validation set, order of the samples."""

from __future__ import annotations

import numpy as np
import pytest

from detector_driver import blind, learning, noise, of, watch
from traintop.records import RunInfo

INFO = RunInfo(steps_per_epoch=40, planned_steps=400)
STEPS = np.arange(400)
ENDS = range(39, 400, 40)


# --- val_leakage -------------------------------------------------------------------------------


def means(loss: np.ndarray) -> dict[int, dict[str, float]]:
    return {end: {"loss/val": float(loss[end - 39 : end + 1].mean())} for end in ENDS}


def test_an_evaluation_that_logs_the_training_loss() -> None:
    loss = learning()
    (finding,) = of(watch({"loss/train": loss}, INFO, means(loss)), "val_leakage")
    assert finding.onset_step == 39
    assert finding.detected_step == 119
    assert finding.next[0].analysis == "data"


def test_an_evaluation_on_the_next_training_batch() -> None:
    loss = learning()
    evals = {end: {"loss/val": float(loss[end + 1])} for end in ENDS if end + 1 < 400}
    assert of(watch({"loss/train": loss}, INFO, evals), "val_leakage")


def test_losses_of_their_own_are_none_even_if_close() -> None:
    loss = learning()
    evals = {end: {"loss/val": 1.001 * value["loss/val"]} for end, value in means(loss).items()}
    engine = watch({"loss/train": loss}, INFO, evals)
    assert not of(engine, "val_leakage", least="info")
    assert not blind(engine, "val_leakage")


def test_constants_and_losses_of_two_digits_are_equal_by_themselves() -> None:
    flat = np.full(400, 0.69)
    evals = {end: {"loss/val": 0.69} for end in ENDS}
    assert not of(watch({"loss/train": flat}, INFO, evals), "val_leakage", least="info")


def test_a_validation_loss_below_the_training_loss_is_advice_with_its_other_causes() -> None:
    loss = learning(floor=0.5)
    evals = {end: {"loss/val": 0.7 * value["loss/val"]} for end, value in means(loss).items()}
    engine = watch({"loss/train": loss}, INFO, evals)
    assert not of(engine, "val_leakage")
    (advice,) = of(engine, "val_leakage", least="info")
    assert "dropout" in advice.causes[0].cause


# --- data_not_shuffled -------------------------------------------------------------------------


def ordered(strength: float, scale: float = 0.1, count: int = 400) -> np.ndarray:
    """A loss whose classes come one after the other, in the same order each epoch."""
    order = np.random.default_rng(7).normal(size=8)
    return learning(count, floor=0.3, scale=scale) * np.exp(
        strength * order[(np.arange(count) % 40) // 5]
    )


def test_the_same_order_each_epoch() -> None:
    epochs = (STEPS // 40).tolist()
    engine = watch({"loss/train": ordered(0.4)}, RunInfo(), epochs=epochs)
    (finding,) = of(engine, "data_not_shuffled")
    assert finding.detected_step <= 200
    assert "shuffle=True" in finding.fixes[0]


def test_epochs_may_be_fractions_or_come_from_the_plan() -> None:
    fractions = (STEPS / 40).tolist()
    assert of(watch({"loss/train": ordered(0.4)}, epochs=fractions), "data_not_shuffled")
    assert of(watch({"loss/train": ordered(0.4)}, INFO), "data_not_shuffled")


def test_a_long_epoch_is_compared_in_bins() -> None:
    steps = np.arange(6000)
    pattern = np.exp(0.4 * np.sin(2 * np.pi * (steps % 1000) / 250))
    loss = learning(6000, floor=0.3) * pattern
    assert of(watch({"loss/train": loss}, RunInfo(steps_per_epoch=1000)), "data_not_shuffled")


@pytest.mark.parametrize("seed", range(6))
def test_shuffled_data_has_no_order(seed: int) -> None:
    engine = watch({"loss/train": learning(scale=0.3, seed=seed)}, INFO)
    assert not of(engine, "data_not_shuffled", least="info")
    assert not blind(engine, "data_not_shuffled")


def test_a_staircase_of_epochs_is_memorisation() -> None:
    loss = 2.0 * 0.7 ** (STEPS // 40) * noise(400, 0.05)
    assert not of(watch({"loss/train": loss}, INFO), "data_not_shuffled")


def test_a_running_mean_that_starts_anew_is_a_matter_of_logging() -> None:
    raw = (1.0 + 0.5 * np.exp(-STEPS / 100)) * noise(400, 0.5)
    running = np.concatenate(
        [np.cumsum(row) / np.arange(1, 41) for row in raw.reshape(10, 40)]
    ) * np.tile(1 + 0.5 / np.arange(1, 41), 10)
    assert not of(watch({"loss/train": running}, INFO), "data_not_shuffled")


def test_a_schedule_that_repeats_itself_each_epoch_is_not_the_data() -> None:
    lr = np.tile(np.linspace(1.0, 0.01, 40), 10)
    loss = learning(floor=0.3) * (1 + 0.8 * lr)
    assert not of(watch({"lr": lr, "loss/train": loss}, INFO), "data_not_shuffled")


def test_without_epochs_nothing_is_judged() -> None:
    assert blind(watch({"loss/train": learning()}, RunInfo(cadence="epoch")), "data_not_shuffled")
    assert blind(watch({"loss/train": learning()}, RunInfo()), "data_not_shuffled")
