"""Whether a fault truly shows in a run, or a healthy run is healthy; judged with all of it known.

A run is compared with a reference run of the same world, in which nothing is planted. Thresholds
are those of somebody who looks at the curves: they decide what a label may claim, and are no rule
that a detector could follow, which knows neither the future nor the reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from bench.labelled.seen import Seen, Series


def _healthy(seen: Seen) -> bool:
    """As good as the reference, and nothing odd: no rise, no leap, no layer of dead units."""
    run = seen.run
    # A language model is still learning when its few steps are over, some faster than others.
    least = 0.8 if run.recipe.family == "lm" else 0.85
    if run.recipe.label_noise:
        # The floor is the noise, which the reference has not; half way down is learned.
        least = 0.3
    smooth = np.convolve(seen.loss, np.full(15, 1 / 15), "valid")
    leap = smooth[len(smooth) // 8 :].max() / max(smooth[: len(smooth) // 8 + 1].max(), 1e-9)
    dead = seen.layers("act_dead_frac")
    alive = dead.size == 0 or float(np.nanmax(np.nanmedian(dead, axis=0))) < 0.5
    return seen.calm and seen.learned >= least and leap < 1.1 and alive


def _late(seen: Seen) -> bool:
    eighth = len(seen.loss) // 8
    idle = seen.loss[eighth // 2 : eighth].mean() > 0.96 * seen.ref.start
    return bool(idle) and seen.calm and seen.learned > 0.7


def _overflows(seen: Seen) -> bool:
    skipped = seen.of("skipped_step")[seen.run.recipe.onset :]
    return bool(skipped[:8].sum() >= 4 or skipped.mean() > 0.08)


def _bad_init(seen: Seen) -> bool:
    norms, usual = seen.of("grad_norm"), seen.ref.of("grad_norm")
    lasts = bool(np.isfinite(seen.loss[:10]).all())
    return lasts and seen.loss[0] > 2.5 * seen.ref.loss[0] and bool(norms[0] > 8 * usual[0])


def _collapses(seen: Seen) -> bool:
    last = seen.run.val[-3:]
    majority = min(each["majority_pred_fraction"] for each in last)
    return majority > 0.97 and all(e["accuracy"] - e["balanced_accuracy"] > 0.2 for e in last)


def _staircase(seen: Seen) -> bool:
    """Epochs resemble each other: correlation of the detrended log-loss at their distance."""
    length = seen.run.recipe.steps_per_epoch
    epochs = len(seen.loss) // length
    if epochs < 3 or not np.isfinite(seen.loss).all():
        return False
    smooth = np.convolve(np.log(np.maximum(seen.loss, 1e-6)), np.full(3, 1 / 3), "same")
    rows = smooth[: epochs * length].reshape(epochs, length)
    rows = np.array([_detrended(row) for row in rows])
    pairs = [np.corrcoef(a, b)[0, 1] for a, b in pairwise(rows)]
    return float(np.mean(pairs)) > 0.35 and float(rows[1:].std()) > 0.1


def _detrended(row: Series) -> Series:
    steps = np.arange(len(row))
    return np.asarray(row - np.polyval(np.polyfit(steps, row, 1), steps))


def _dead(seen: Seen) -> bool:
    """Most units of a layer are dead in the later half of the run."""
    dead = seen.layers("act_dead_frac")
    kinds = seen.run.header["act_kinds"]
    relu = [index for index, kind in enumerate(kinds) if kind == "relu"]
    if not relu:
        return False
    after = [e["step"] >= seen.run.recipe.onset for e in seen.run.layers]
    return bool(np.nanmax(np.nanmedian(dead[np.array(after)][:, relu], axis=0)) > 0.6)


def _vanishes(seen: Seen) -> bool:
    norms = np.nanmedian(seen.layers("grad_norm"), axis=0)
    numel = np.sqrt(np.array(seen.run.header["numel"]))
    flat = norms / numel
    # The head's biases learn how frequent tokens are, without any gradient further down.
    most = 0.3 if seen.run.recipe.family == "lm" else 0.12
    return seen.learned < most and float(flat[:2].min()) < 1e-2 * float(flat[-1])


def _disconnected(seen: Seen) -> bool:
    return any(None in each["grad_norm"] for each in seen.run.layers) and seen.learned > 0.6


def _double_softmax(seen: Seen) -> bool:
    """The loss stays above the least that a softmax of a softmax can have."""
    classes = seen.run.outputs
    floor = math.log(1 + (classes - 1) / math.e)
    accuracy = seen.run.val[-1].get("accuracy", 0.0)
    right = accuracy > (0.8 if seen.run.recipe.family != "lm" else 0.45)
    return seen.end >= 0.95 * floor and seen.end < 0.97 * seen.start and right


def _eval_mode(seen: Seen) -> bool:
    return not seen.run.layers[0]["train_mode"] and seen.calm and seen.learned > 0.6


def _frozen(seen: Seen) -> bool:
    still = (seen.layers("update_ratio") == 0).all(axis=0)
    return bool(still.any() and not still.all()) and seen.learned > 0.3


def _large_inputs(seen: Seen) -> bool:
    ours, usual = seen.layers("act_std")[0], seen.ref.layers("act_std")[0]
    return bool(ours[0] > 8 * usual[0] and seen.loss[:10].max() > 2 * seen.ref.start)


def _no_labels(seen: Seen) -> bool:
    return seen.val_end > 0.93 * seen.run.baseline


def _not_finite(seen: Seen) -> bool:
    onset = seen.run.recipe.onset
    return bool(np.isfinite(seen.loss[:onset]).all() and not np.isfinite(seen.loss[onset:]).all())


def _diverges(seen: Seen) -> bool:
    """A third of the reference's progress is lost, or never made, with a loss that is high."""
    onset = seen.run.recipe.onset
    if not np.isfinite(seen.loss).all():
        # Within a few steps from the start it would be the fault of another name.
        return bool(np.isfinite(seen.loss[: max(onset, 12)]).all())
    best = seen.ref.start
    if onset or seen.run.recipe.event == "lr_ramp":
        smooth = np.convolve(seen.loss, np.full(10, 0.1), "valid")
        best = float(smooth.min())
    last = float(np.median(seen.loss[-max(5, len(seen.loss) // 5) :]))
    made = seen.ref.start - seen.ref.end
    return last - best > 0.35 * made if best < seen.ref.start else seen.learned < 0.35


def _reduced(seen: Seen) -> bool:
    return seen.calm and seen.learned < 0.75 and seen.ref.start - seen.end > 0


def _too_low(seen: Seen) -> bool:
    mild = seen.run.recipe.learning_rate > 0.01 * seen.ref.run.recipe.learning_rate
    return seen.calm and seen.learned < (0.6 if mild else 0.25)


def _no_step(seen: Seen) -> bool:
    return bool((seen.of("weight_update") == 0).all())


def _noisy(seen: Seen) -> bool:
    half = seen.loss[len(seen.loss) // 2 :]
    restless = half.std() > 0.6 * half.mean()
    return bool(np.isfinite(seen.loss).all()) and bool(restless) and seen.learned < 0.75


def _swings(seen: Seen) -> bool:
    """At least six turns of a third and more in the later half, and not at the floor."""
    if not seen.loss.max() < 20 * seen.run.baseline:
        # That is no swing but a divergence.
        return False
    later = seen.loss[len(seen.loss) // 2 :]
    turns, rising, extreme = 0, True, later[0]
    for value in later:
        if (value > extreme) == rising:
            extreme = value
        elif max(value, extreme) > 1.35 * min(value, extreme) + 0.1 * seen.run.baseline:
            turns, rising, extreme = turns + 1, not rising, value
    return turns >= 6


def _overfits(seen: Seen) -> bool:
    mild = seen.run.recipe.train_samples > 200
    fell = seen.end < 0.8 * seen.start
    return bool(np.isfinite(seen.val).all()) and fell and seen.rise > (0.12 if mild else 0.2)


def _spikes(seen: Seen) -> bool:
    """Every bad batch stands out of the batches before it, and most is learned in the end."""
    if not np.isfinite(seen.loss).all():
        return False
    out = []
    for step in seen.run.recipe.bad_steps:
        before = seen.loss[max(0, step - 20) : step]
        middle = float(np.median(before))
        spread = 1.4826 * float(np.median(np.abs(before - middle)))
        out.append(seen.loss[step] > middle + max(8 * spread, 0.35 * middle))
    alone = len(out) == 1
    return (all(out) if alone else sum(out) >= 0.6 * len(out)) and seen.learned > 0.6


def _underfits(seen: Seen) -> bool:
    third = len(seen.loss) // 3
    before, last = seen.loss[-2 * third : -third].mean(), seen.loss[-third:].mean()
    flat = abs(before - last) < 0.05 * (seen.start - last + 1e-9) + 0.02 * last
    return seen.calm and bool(flat) and 0.02 < seen.learned < 0.75


def _shrinks(seen: Seen) -> bool:
    norms = seen.layers("weight_norm")
    shrunk = float(np.median(norms[-3:].mean(axis=0) / norms[0]))
    return bool(np.isfinite(seen.loss).all()) and shrunk < 0.6 and seen.learned < 0.75


def _adds_up(seen: Seen) -> bool:
    norms, cosines = seen.of("grad_norm"), seen.of("grad_cos")
    grown = np.nanmedian(norms[len(norms) // 4 :]) > 4 * norms[0]
    return bool(grown) and float(np.nanmedian(cosines[10:])) > 0.9


CHECKS: dict[str, Callable[[Seen], bool]] = {
    "healthy": _healthy,
    "amp_overflow": _overflows,
    "bad_init": _bad_init,
    "class_imbalance": _collapses,
    "clip_too_tight": lambda seen: seen.learned < 0.25,
    "data_not_shuffled": _staircase,
    "dead_relu": _dead,
    "deep_sigmoid": _vanishes,
    "disconnected": _disconnected,
    "double_softmax": _double_softmax,
    "eval_mode": _eval_mode,
    "frozen_layers": _frozen,
    "input_not_normalized": _large_inputs,
    "labels_shuffled": _no_labels,
    "log_zero": _not_finite,
    "lr_jump": _diverges,
    "lr_ramp": _diverges,
    "lr_reduced_too_early": _reduced,
    "lr_too_high": _diverges,
    "lr_too_low": _too_low,
    "lr_way_too_high": _not_finite,
    "memory_leak": _healthy,
    "no_optimizer_step": _no_step,
    "noisy_small_batch": _noisy,
    "oscillation": _swings,
    "overfit": _overfits,
    "overtraining": _overfits,
    "repeated_spikes": _spikes,
    "spike": _spikes,
    "throughput_drop": _healthy,
    "underfit_capacity": _underfits,
    "val_leakage": _healthy,
    "weight_decay": _shrinks,
    "zero_grad_missing": _adds_up,
}


def shows(seen: Seen, fault: str, variant: str) -> bool:
    """Whether a run shows what was planted."""
    if variant == "late_start":
        return _late(seen)
    return CHECKS[fault](seen)


def visible_step(seen: Seen, fault: str) -> int | None:
    """When it can first be seen in hindsight; None where it is there from the onset."""
    if fault in ("overfit", "overtraining"):
        lowest = int(seen.val.argmin())
        above = np.flatnonzero(seen.val[lowest:] > 1.05 * seen.val[lowest])
        return int(seen.run.val[lowest + int(above[0])]["step"]) if len(above) else None
    if fault in ("log_zero", "lr_way_too_high"):
        return int(np.flatnonzero(~np.isfinite(seen.loss))[0])
    if fault in ("lr_too_high", "lr_jump"):
        onset = seen.run.recipe.onset
        usual = float(np.median(seen.loss[max(0, onset - 20) : onset])) if onset else seen.loss[0]
        high = np.flatnonzero(~(seen.loss[onset:] < 1.3 * usual))
        return onset + int(high[0]) if len(high) else None
    if fault == "repeated_spikes":
        return seen.run.recipe.bad_steps[0]
    return seen.run.recipe.onset or None
