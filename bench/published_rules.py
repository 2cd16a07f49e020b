"""Published detection rules as plain functions, to be scored on the same runs as our detectors.

Two sets: the rules of Amazon SageMaker Debugger with their default parameters (AWS's list of
Debugger built-in rules, and the open-source `smdebug`), and a detector of the kind that tutorials
build, from the trends of the train and validation loss. Each returns alarms `(id, step)` with the
id of ours that says the same; `step` is the first at which the rule holds, so what lies after it
plays no part.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Alarm = tuple[str, float]
Curve = list[tuple[float, float]]
"""(step, value) in the order of the steps."""


def number(value: Any) -> float:
    """A number however it was written, NaN where there is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


@dataclass(frozen=True)
class Recorded:
    """A run directory in traintop's diagnostics format, as it was written."""

    info: dict[str, Any]
    train: list[dict[str, Any]]
    val: list[dict[str, Any]]
    layers: list[dict[str, Any]]
    """The lines of `layers.jsonl`, the one with the names first."""

    @classmethod
    def load(cls, run: Path) -> Recorded:
        """Read a run directory.

        Raises:
            OSError: A file that cannot be read; a missing one counts as empty.
            ValueError: A line that is not JSON.
        """

        def lines(name: str) -> list[dict[str, Any]]:
            path = run / name
            if not path.exists():
                return []
            return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]

        info = run / "run.json"
        return cls(
            info=json.loads(info.read_text()) if info.exists() else {},
            train=lines("train_diagnostics.jsonl"),
            val=lines("val_diagnostics.jsonl"),
            layers=lines("layers.jsonl"),
        )

    def curve(self, name: str, table: str = "train") -> Curve:
        """A metric of the `train` or the `val` table, non-finite values included."""
        rows = self.train if table == "train" else self.val
        return [(row["step"], number(row[name])) for row in rows if row.get(name) is not None]

    def stats(self) -> Iterator[tuple[float, dict[str, Floats]]]:
        """Step and per-layer statistics of each layer record, NaN where not measured."""
        for record in self.layers:
            if "step" in record:
                arrays: dict[str, list[Any]] = {
                    name: values for name, values in record.items() if isinstance(values, list)
                }
                yield (
                    record["step"],
                    {name: np.array([*map(number, values)]) for name, values in arrays.items()},
                )

    @property
    def last_step(self) -> float:
        """The last step of either table, 0 where there is none."""
        return max((row["step"] for row in self.train + self.val), default=0)


def means_between(train: Curve, val: Curve) -> list[tuple[float, float, float]]:
    """For each evaluation its step, the mean train loss since the one before it, and its value."""
    found: list[tuple[float, float, float]] = []
    mean, at = math.nan, 0
    for step, value in val:
        block: list[float] = []
        while at < len(train) and train[at][0] <= step:
            block.append(train[at][1])
            at += 1
        mean = float(np.mean(block)) if block else mean
        found.append((step, mean, value))
    return found


def epoch_means(run: Recorded) -> Curve:
    """The mean train loss of each epoch, at the epoch's last step."""
    found: Curve = []
    block: list[float] = []
    for row, after in zip(run.train, [*run.train[1:], {"epoch": None}], strict=False):
        block.append(number(row.get("loss")))
        if row.get("epoch") != after.get("epoch"):
            found.append((row["step"], float(np.mean(block))))
            block = []
    return found


# --- SageMaker Debugger ---------------------------------------------------------------------


def loss_not_decreasing(loss: Curve, every: int) -> Iterator[Alarm]:
    """LossNotDecreasing: not 0.1 % lower than `every` values ago, or more than 5 % higher."""
    for (_, before), (step, now) in pairwise(loss[::every]):
        change = (now - before) / max(abs(before), 1e-12)
        if change > 0.05:
            yield "divergence", step
        elif change > -0.001:
            yield "not_learning", step


def overfit(pairs: list[tuple[float, float, float]]) -> Iterator[Alarm]:
    """Overfit: (validation - train) / train > 0.1, patience 1."""
    for step, train, val in pairs:
        if (val - train) / max(abs(train), 1e-12) > 0.1:
            yield "overfitting", step


def overtraining(val: Curve) -> Iterator[Alarm]:
    """Overtraining: no validation loss lower by 0.01 for 10 evaluations."""
    best, waited = math.inf, 0
    for step, value in val:
        if value < best - 0.01:
            best, waited = value, 0
        else:
            waited += 1
        if waited >= 10:
            yield "overfitting", step


def exploding_tensor(run: Recorded) -> Iterator[Alarm]:
    """ExplodingTensor: NaN or infinity in a loss or a gradient."""
    for name in ("loss", "grad_norm"):
        yield from (("nan_inf", at) for at, value in run.curve(name) if not math.isfinite(value))
    for step, stats in run.stats():
        if np.nansum(stats.get("grad_nan", 0.0)) > 0:
            yield "nan_inf", step


def layer_rules(run: Recorded) -> Iterator[Alarm]:
    """The rules on tensors, from the statistics of the layers.

    - VanishingGradient: mean |g| < 1e-7. Logged is the norm; mean |g| of a normal distribution is
      sqrt(2 / pi) times its root mean square.
    - AllZero on gradients, UnchangedTensor on weights: equal over 3 records (relative 1e-5).
    - WeightUpdateRatio: over 10 or under 1e-8.
    - DeadRelu: over 50 % of the units of a layer dead; SaturatedActivation: over 50 % saturated.
    - PoorWeightInitialization, first 10 steps: variances of the activations that differ by more
      than 10x between layers, or gradients whose 5th and 95th percentile are within 0.001 (3.29
      standard deviations of a normal distribution).
    """
    nothing: dict[str, Any] = {}
    head = next((record for record in run.layers if "names" in record), nothing)
    sizes = np.array(head.get("numel", ()), dtype=np.float64)
    relu = np.array([kind == "relu" for kind in head.get("act_kinds", ())], dtype=bool)
    still = 0
    none = np.array([math.nan])
    for step, stats in run.stats():
        norms = stats.get("grad_norm", none)
        if norms.size == sizes.size:
            mean = math.sqrt(2 / math.pi) * norms / np.sqrt(sizes)
            if np.any(mean < 1e-7):
                yield "vanishing_gradients", step
        if np.any(stats.get("grad_zero_frac", none) >= 1.0):
            yield "frozen_params", step
        ratios = stats.get("update_ratio", none)
        still = still + 1 if np.any(ratios < 1e-5) else 0
        if still >= 3:
            yield "frozen_params", step
        if np.any(ratios > 10) or np.any(ratios < 1e-8):
            yield "update_ratio_off", step
        dead = stats.get("act_dead_frac", none)
        if dead.size == relu.size and np.any(dead[relu] > 0.5):
            yield "dead_units", step
        if np.any(stats.get("act_sat_frac", none) > 0.5):
            yield "saturated_units", step
        if step < 10:
            variances = stats.get("act_std", none) ** 2
            finite = variances[np.isfinite(variances) & (variances > 0)]
            spread = 3.29 * stats.get("grad_std", none)
            uneven = finite.size > 1 and finite.max() > 10 * finite.min()
            if uneven or np.any(spread < 0.001):
                yield "bad_initialization", step


def memory_increase(memory: Curve) -> Iterator[Alarm]:
    """GPUMemoryIncrease: mean of 10 samples more than 5 % over the mean of the 10 before.

    Its patience of 1000 samples is left out: there they are half seconds, here steps.
    """
    values = np.array([value for _, value in memory])
    for at in range(20, values.size + 1):
        if np.mean(values[at - 10 : at]) > 1.05 * np.mean(values[at - 20 : at - 10]):
            yield "memory_leak", memory[at - 1][0]


def step_outliers(throughput: Curve) -> Iterator[Alarm]:
    """StepOutlier: 10 step times over 3 standard deviations from the mean of all so far."""
    times = np.array([1.0 / max(value, 1e-12) for _, value in throughput])
    count = np.arange(1, times.size + 1)
    mean = np.cumsum(times) / count
    deviation = np.sqrt(np.maximum(np.cumsum(times**2) / count - mean**2, 0.0))
    outliers = np.flatnonzero(times > mean + 3 * deviation)
    if outliers.size >= 10:
        yield "throughput_drop", throughput[int(outliers[9])][0]


def sagemaker(run: Recorded, per_epoch: bool = False) -> Iterator[Alarm]:
    """SageMaker Debugger's rules with their defaults.

    StalledTraining (1800 s) needs a clock, ClassImbalance (10 / 0.7) the labels and
    LowGPUUtilization the utilisation: logs have none of them.

    Args:
        run: The run.
        per_epoch: Hold means of epochs against each other, instead of single losses 10 records
            apart and the train loss at the evaluation's step, which is the default's meaning.
    """
    loss, val = run.curve("loss"), run.curve("loss", "val")
    if per_epoch:
        yield from loss_not_decreasing(epoch_means(run), 1)
        yield from overfit(means_between(loss, val))
    else:
        yield from loss_not_decreasing(loss, 10)
        at_step = dict(loss)
        yield from overfit([(step, at_step.get(step, math.nan), value) for step, value in val])
    yield from overtraining(val)
    yield from exploding_tensor(run)
    yield from layer_rules(run)
    yield from memory_increase(run.curve("gpu_memory_mb"))
    yield from step_outliers(run.curve("samples_per_sec"))


# --- trends of the train and the validation loss --------------------------------------------


def trend(run: Recorded, patience: int = 10, delta: float = 0.001) -> Iterator[Alarm]:
    """Straight lines through the last `patience` train and validation losses, and three limits.

    Overfitting: the validation loss rises by more than `delta` an evaluation while the train loss
    falls by more, or has not improved by `delta` for `patience` evaluations (early stopping, as
    Keras and ReduceLROnPlateau count). Gradient norm over 100 explodes, under 1e-7 vanishes.
    """
    pairs = means_between(run.curve("loss"), run.curve("loss", "val"))
    best, waited = math.inf, 0
    for last, (step, _, value) in enumerate(pairs):
        if value < best - delta:
            best, waited = value, 0
        else:
            waited += 1
        window = np.array(pairs[max(0, last + 1 - patience) : last + 1])
        rising = False
        if len(window) == patience and np.isfinite(window).all():
            falls, rises = np.polyfit(np.arange(patience), window[:, 1:], 1)[0]
            rising = rises > delta and falls < -delta
        if rising or waited >= patience:
            yield "overfitting", step
    for step, norm in run.curve("grad_norm"):
        if norm > 100:
            yield "exploding_gradients", step
        elif norm < 1e-7:
            yield "vanishing_gradients", step
    for name in ("loss", "grad_norm"):
        yield from (("nan_inf", at) for at, value in run.curve(name) if not math.isfinite(value))
