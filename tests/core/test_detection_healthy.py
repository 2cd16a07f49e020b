"""Runs of many kinds that are fine, and look bad to a rule that knows only one kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from detector_driver import watch
from traintop.records import RunInfo

Floats = NDArray[np.float64]
Random = np.random.Generator

STEPS = 2500
TIME = np.arange(STEPS, dtype=float)
DONE = TIME / STEPS
TOKENS = 50_257


class Healthy(NamedTuple):
    """A run: its training records, `run.json`, and the validation loss after some records."""

    train: Mapping[str, Floats]
    info: RunInfo = RunInfo()
    evals: Mapping[int, float] = {}


def power(floor: float = 1.8, height: float = 8.0, exponent: float = 0.25) -> Floats:
    """The loss of a language model: a power law over a floor (Kaplan et al. 2020)."""
    return floor + height * (TIME + 10.0) ** -exponent


def cosine(peak: float = 3e-4, warm_up: float = 0.02) -> Floats:
    rise = (TIME + 1) / (warm_up * STEPS)
    fall = 0.1 + 0.45 * (1 + np.cos(np.pi * np.clip((DONE - warm_up) / (1 - warm_up), 0, 1)))
    return peak * np.minimum(rise, fall)


def norms(random: Random, usual: float = 0.5, spread: float = 0.35) -> Floats:
    """Gradient norms, of which one in a thousand is far higher and harms nothing."""
    found = usual * np.exp(spread * random.normal(size=STEPS))
    rare = random.random(STEPS) < 1e-3
    return np.where(rare, found * random.uniform(3, 12, STEPS), found)


def around(random: Random, level: Floats, spread: float) -> Floats:
    """The level with the noise of batches."""
    return level * np.exp(spread * random.normal(size=STEPS))


def language(**known: object) -> RunInfo:
    fields = {"task": "language_modeling", "num_classes": TOKENS, "planned_steps": STEPS, **known}
    return RunInfo(**fields)  # type: ignore[arg-type] # the fields of RunInfo


def pretraining(random: Random) -> Healthy:
    train = {"loss/train": around(random, power(), 0.03), "lr": cosine()}
    return Healthy({**train, "grad_norm": norms(random)}, language(batch_size=256))


def pretraining_that_says_nothing_of_itself(random: Random) -> Healthy:
    return Healthy({"loss/train": around(random, power(), 0.03)})


def with_validation_and_resources(random: Random) -> Healthy:
    train = {
        **pretraining(random).train,
        "throughput": around(random, np.full(STEPS, 5e4), 0.03),
        "gpu_memory": np.where(DONE < 0.5, 40_000.0, 60_000.0),
    }
    evals = {at: float(1.01 * power()[at]) for at in range(99, STEPS, 100)}
    return Healthy(train, language(), evals)


def single_sequences_with_heavy_tails(random: Random) -> Healthy:
    # At the start all sequences are as hard; a model that has learnt something tells them apart.
    tails = 0.12 * (1 - np.exp(-TIME / 50)) * random.standard_t(5, size=STEPS).clip(-5, 6)
    train = {"loss/train": power() * (1 + tails), "lr": cosine(), "grad_norm": norms(random)}
    return Healthy(train, language(batch_size=1))


def rounded_to_two_digits(random: Random) -> Healthy:
    run = pretraining(random)
    # So is the learning rate, of which nothing is left.
    return run._replace(train={name: values.round(2) for name, values in run.train.items()})


def warm_up_stable_decay(random: Random) -> Healthy:
    rate = 3e-4 * np.minimum(1, np.minimum((TIME + 1) / (0.02 * STEPS), (1 - DONE) / 0.2))
    level = power() - 0.12 * np.clip((DONE - 0.8) / 0.2, 0, 1)
    return Healthy({"loss/train": around(random, level, 0.03), "lr": rate}, language())


def a_long_warm_up(random: Random) -> Healthy:
    rate = 3e-4 * np.minimum(1, DONE / 0.4 + 1e-4)
    level = 1.8 + 9.0 * np.where(DONE < 0.4, 1 - 1.9 * DONE, 0.24 * (0.6 + DONE) ** -0.5)
    return Healthy({"loss/train": around(random, level, 0.03), "lr": rate}, language())


def restarts(random: Random) -> Healthy:
    rate = 0.01 + 0.495 * (1 + np.cos(np.pi * (5 * DONE % 1)))
    level = power() + 0.25 * rate
    return Healthy({"loss/train": around(random, level, 0.03), "lr": 3e-4 * rate}, language())


def diffusion(random: Random) -> Healthy:
    level = 0.05 + 0.4 * np.exp(-TIME / 30) + 0.05 * (TIME + 10.0) ** -0.3
    train = {"loss/train": around(random, level, 0.35), "lr": np.full(STEPS, 1e-4)}
    info = RunInfo(task="regression", planned_steps=STEPS, batch_size=64)
    return Healthy({**train, "grad_norm": norms(random, 0.1, 0.6)}, info)


def diffusion_from_a_trained_model(random: Random) -> Healthy:
    # Nothing is seen of what it learns: the noise level drawn for a sample makes its loss.
    rate = 1e-4 * np.minimum(1, (TIME + 1) / 500)
    return Healthy({"loss/train": around(random, np.full(STEPS, 0.03), 0.4), "lr": rate})


def contrastive(random: Random) -> Healthy:
    level = 1.5 + 5.4 / (1 + np.exp((DONE - 0.08) / 0.01))
    train = {"loss/train": around(random, level, 0.01), "lr": cosine(1e-3)}
    return Healthy(train, RunInfo(planned_steps=STEPS, batch_size=1024))


def fine_tuning_from_a_low_loss(random: Random) -> Healthy:
    level = 1.05 + 0.15 * np.exp(-DONE / 0.1)
    rate = 2e-5 * np.minimum((TIME + 1) / (0.03 * STEPS), 1 - DONE)
    train = {"loss/train": around(random, level, 0.2), "lr": rate}
    return Healthy({**train, "grad_norm": norms(random, 1.2)})


def fine_tuning_in_three_epochs(random: Random) -> Healthy:
    level = 1.1 - 0.25 * np.floor(3 * DONE)
    train = {"loss/train": around(random, level, 0.15), "lr": 2e-5 * (1 - DONE)}
    evals = {int(STEPS * part / 3) - 1: loss for part, loss in ((1, 1.08), (2, 1.06), (3, 1.1))}
    return Healthy(train, language(pretrained=True), evals)


def mixture_of_experts(random: Random) -> Healthy:
    train = pretraining(random).train
    balance = 0.01 + 0.3 * np.exp(-DONE / 0.01)
    return Healthy({**train, "loss/train": train["loss/train"] + balance}, language())


def data_in_shards(random: Random) -> Healthy:
    shard = 0.0
    level = power()
    for step, push in enumerate(random.normal(size=STEPS).tolist()):
        shard = 0.98 * shard + 0.2 * push
        level[step] *= 1 + 0.03 * shard
    train = {"loss/train": around(random, level, 0.02), "lr": cosine()}
    return Healthy({**train, "grad_norm": norms(random)}, language())


def two_kinds_of_batches(random: Random) -> Healthy:
    # The median of few leaps from the one kind to the other.
    level = power() * np.where(random.random(STEPS) < 0.3, 1.3, 0.9)
    return Healthy({"loss/train": around(random, level, 0.03), "lr": cosine()})


def likelihood_that_falls_through_0(random: Random) -> Healthy:
    level = -3.0 + 8.0 * (1 + DONE / 0.02) ** -0.7
    evals = {at: float(level[at] + 0.05 * random.normal()) for at in range(49, STEPS, 50)}
    train = {"loss/train": level + 0.3 * random.normal(size=STEPS), "lr": cosine(1e-3)}
    return Healthy(train, RunInfo(task="regression", planned_steps=STEPS), evals)


def squared_errors_in_the_millions(random: Random) -> Healthy:
    level = 1e6 * (0.02 + (1 + DONE / 0.01) ** -1.2)
    train = {"loss/train": around(random, level, 0.3), "lr": cosine(1e-3)}
    info = RunInfo(task="regression", planned_steps=STEPS)
    return Healthy({**train, "grad_norm": norms(random, 1e5, 0.6)}, info)


def policy_gradients(random: Random) -> Healthy:
    train = {"loss/train": 0.02 * random.normal(size=STEPS), "lr": 1e-6 * (1 - DONE)}
    return Healthy({**train, "grad_norm": norms(random, 0.2, 0.7)}, RunInfo(task="rl"))


def preferences(random: Random) -> Healthy:
    level = np.log(2) * (1 + DONE / 0.05) ** -0.15
    train = {"loss/train": around(random, level, 0.15), "lr": 5e-7 * (1 - DONE)}
    info = RunInfo(planned_steps=STEPS, pretrained=True)
    return Healthy({**train, "grad_norm": norms(random, 20.0, 0.5)}, info)


def accumulated_gradients(random: Random) -> Healthy:
    update = np.where(TIME % 4 == 3, 1e-3 * cosine() / 3e-4, 0.0)
    train = {"loss/train": around(random, power(), 0.12), "lr": cosine(), "update_ratio": update}
    return Healthy(train, language(batch_size=16, grad_accumulation=4))


def mixed_precision(random: Random) -> Healthy:
    skipped = random.random(STEPS) < 1e-3
    train = {
        **pretraining(random).train,
        "loss_scale": 65536.0 * 2.0 ** (TIME // 500 % 3),
        "skipped_step": skipped.astype(float),
    }
    train["grad_norm"] = np.where(skipped, np.inf, train["grad_norm"])
    return Healthy(train, language(amp=True))


def small_batches_of_two_classes(random: Random) -> Healthy:
    level = 0.15 + 0.54 / (1 + DONE / 0.05)
    draw = 1 + (1 - np.exp(-TIME / 50)) * (random.gamma(4, 0.25, size=STEPS) - 1)
    right = 0.95 - 0.45 / (1 + DONE / 0.05) + 0.1 * random.normal(size=STEPS)
    train = {
        "loss/train": level * draw,
        "accuracy/train": (right.clip(0, 1) * 8).round() / 8,
        "lr": cosine(1e-3),
    }
    info = RunInfo(task="classification", num_classes=2, batch_size=8, planned_steps=STEPS)
    return Healthy(train, info)


KINDS: tuple[Callable[[Random], Healthy], ...] = (
    *(pretraining, pretraining_that_says_nothing_of_itself, with_validation_and_resources),
    *(single_sequences_with_heavy_tails, rounded_to_two_digits, warm_up_stable_decay),
    *(a_long_warm_up, restarts, diffusion, diffusion_from_a_trained_model, contrastive),
    *(fine_tuning_from_a_low_loss, fine_tuning_in_three_epochs, mixture_of_experts),
    *(
        data_in_shards,
        two_kinds_of_batches,
        likelihood_that_falls_through_0,
        squared_errors_in_the_millions,
    ),
    *(policy_gradients, preferences, accumulated_gradients, mixed_precision),
    small_batches_of_two_classes,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_healthy_run_is_told_nothing(kind: Callable[[Random], Healthy]) -> None:
    for seed in range(2):
        run = kind(np.random.default_rng(seed))
        evals = {at: {"loss/val": loss} for at, loss in run.evals.items()}
        engine = watch(run.train, run.info, evals)
        said = [each for each in engine.findings if each.severity != "info"]
        assert said == [], seed


@pytest.mark.parametrize("seed", [10, 11])
def test_the_extremes_of_a_long_run_are_no_divergence(seed: int) -> None:
    random = np.random.default_rng(seed)
    loss = 1.05 * np.exp(0.25 * random.normal(size=30_000))
    engine = watch({"loss/train": loss})
    assert [each for each in engine.findings if each.severity != "info"] == []
