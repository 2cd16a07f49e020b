"""All kinds of runs: the fault, the variant, and what of a healthy recipe is changed for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from bench.labelled import faults, healthy
from bench.labelled.faults import Change
from bench.labelled.recipe import Recipe

ALL = ("lm", "regression", "mixture", "cnn", "tabular")
CLASSIFIERS = ("mixture", "cnn", "tabular")
DENSE = ("regression", "mixture", "cnn", "tabular")
NOT_LM = DENSE
MULTICLASS = ("lm", "mixture", "cnn")


@dataclass(frozen=True)
class Kind:
    """One kind of run.

    Attributes:
        families: Where it makes sense.
        changes: Applied one after the other to a healthy recipe.
        tier: `base` for what is plain to see, `hard` for what is mild, rare or poorly logged.
    """

    fault: str
    variant: str
    families: tuple[str, ...]
    changes: tuple[Change, ...]
    tier: str = "base"

    def recipe(self, base: Recipe, dose: float) -> Recipe:
        """The recipe of a run of this kind; a fault is planted more strongly with a higher dose."""
        random = np.random.default_rng([base.seed, 10])
        recipe = base
        for change in self.changes:
            recipe = change(recipe, random, dose)
        return recipe


def _fault(
    name: str,
    families: tuple[str, ...],
    change: Change,
    variant: str = "",
    *,
    tier: str = "base",
    logs: tuple[str, ...] = (),
) -> list[Kind]:
    """A fault, and the same with poorer logs."""
    kinds = [Kind(name, variant, families, (change,), tier)]
    if "minimal" in logs:
        kinds.append(Kind(name, "minimal_log", families, (change, healthy.minimal_log), "hard"))
    if "epoch" in logs:
        dense = tuple(each for each in families if each != "lm")
        kinds.append(Kind(name, "epoch_log", dense, (healthy.epoch_log, change), "hard"))
        if "lm" in families:
            windows = (change, healthy.window_log)
            kinds.append(Kind(name, "window_log", ("lm",), windows, "hard"))
    return kinds


def _healthy(
    variant: str, change: Change, families: tuple[str, ...] = ALL, tier: str = "base"
) -> Kind:
    return Kind("healthy", variant, families, (change,), tier)


BOTH = ("minimal", "epoch")
FAULTS: tuple[Kind, ...] = tuple(
    kind
    for kinds in (
        _fault("amp_overflow", ALL, faults.overflow_forward, "forward"),
        _fault("amp_overflow", ALL, faults.overflow_gradients, "grads"),
        _fault("amp_overflow", ALL, faults.overflow_sometimes, "intermittent", tier="hard"),
        _fault("bad_init", ALL, faults.bad_init),
        _fault("class_imbalance", CLASSIFIERS, faults.class_imbalance),
        _fault("clip_too_tight", ALL, faults.clip_too_tight),
        _fault("data_not_shuffled", ALL, faults.not_shuffled, logs=("minimal",)),
        _fault("data_not_shuffled", ALL, faults.weak_buffer, "weak_buffer", tier="hard"),
        _fault("dead_relu", ALL, faults.dead_relu, "bias", logs=("epoch",)),
        _fault("dead_relu", ALL, faults.dead_relu_partial, "partial"),
        _fault("dead_relu", ALL, faults.dead_relu_two_thirds, "two_thirds", tier="hard"),
        _fault("dead_relu", NOT_LM, faults.dead_relu_lr_pulse, "lr_pulse"),
        _fault("deep_sigmoid", ALL, faults.deep_sigmoid, logs=("epoch",)),
        _fault("disconnected", ALL, faults.detached, "detach"),
        _fault("disconnected", ALL, faults.unused, "unused"),
        _fault("double_softmax", MULTICLASS, faults.double_softmax, logs=("epoch",)),
        _fault("eval_mode", ALL, faults.eval_mode),
        _fault("frozen_layers", ALL, faults.frozen, "requires_grad"),
        _fault("frozen_layers", ALL, faults.not_in_optimizer, "not_in_optimizer"),
        _fault("frozen_layers", ALL, faults.one_small, "one_small", tier="hard"),
        _fault("input_not_normalized", DENSE, faults.input_not_normalized),
        _fault("labels_shuffled", ALL, faults.labels_shuffled, logs=BOTH),
        _fault("log_zero", ALL, faults.log_zero, logs=("minimal",)),
        _fault("lr_jump", ALL, faults.lr_jump, logs=BOTH),
        _fault("lr_ramp", ALL, faults.lr_ramp, tier="hard"),
        _fault("lr_reduced_too_early", ALL, faults.lr_reduced, logs=("epoch",)),
        _fault("lr_reduced_too_early", ALL, faults.lr_reduced_mild, "mild", tier="hard"),
        _fault("lr_too_high", ALL, faults.lr_too_high, logs=BOTH),
        _fault("lr_too_high", ALL, faults.lr_too_high_mild, "mild"),
        _fault("lr_too_low", ALL, faults.lr_too_low, logs=("epoch",)),
        _fault("lr_too_low", ALL, faults.lr_too_low_mild, "mild", tier="hard"),
        _fault("lr_way_too_high", ALL, faults.lr_way_too_high),
        _fault("memory_leak", ALL, faults.memory_leak, "linear"),
        _fault("memory_leak", ALL, faults.memory_leak_slow, "slow", tier="hard"),
        _fault("no_optimizer_step", ALL, faults.no_optimizer_step),
        _fault("noisy_small_batch", NOT_LM, faults.noisy_small_batch),
        _fault("oscillation", NOT_LM, faults.oscillation),
        _fault("overfit", ALL, faults.overfit, logs=BOTH),
        _fault("overfit", ALL, faults.overfit_mild, "mild", tier="hard"),
        _fault("overfit", ALL, faults.overfit_tiny_val, "tiny_val", tier="hard"),
        _fault("overtraining", ALL, faults.overtraining, logs=("epoch",)),
        _fault("repeated_spikes", ALL, faults.repeated_spikes),
        _fault("spike", ALL, faults.spike),
        _fault("spike", ALL, faults.spike_small, "small", tier="hard"),
        _fault("throughput_drop", ALL, faults.throughput_drop),
        _fault("throughput_drop", ALL, faults.throughput_drop_small, "small", tier="hard"),
        _fault("underfit_capacity", ALL, faults.underfit, logs=("minimal",)),
        _fault("val_leakage", ALL, faults.val_is_train, "logs_train"),
        _fault("weight_decay", ALL, faults.weight_decay),
        _fault("weight_decay", ALL, faults.weight_decay_mild, "mild", tier="hard"),
        _fault("zero_grad_missing", ALL, faults.zero_grad_missing, logs=("epoch",)),
    )
    for kind in kinds
)

HEALTHY: tuple[Kind, ...] = (
    _healthy("const", healthy.scheduled("const")),
    _healthy("warmup_cosine", healthy.scheduled("warmup_cosine")),
    _healthy("warmup_linear", healthy.scheduled("warmup_linear")),
    _healthy("step_decay", healthy.scheduled("step_decay")),
    _healthy("onecycle", healthy.scheduled("onecycle", 1.3)),
    _healthy("restarts", healthy.scheduled("restarts")),
    _healthy("wsd", healthy.scheduled("wsd")),
    _healthy("exponential", healthy.scheduled("exponential", 1.3)),
    _healthy("strong_restarts", healthy.scheduled("restarts", 2.0), tier="hard"),
    _healthy("early_step_decay", healthy.scheduled("early_step_decay"), tier="hard"),
    _healthy("grad_accum", healthy.accumulated),
    _healthy("grad_accum_micro", healthy.accumulated_micro),
    _healthy("small_batch", healthy.small_batch),
    _healthy("large_batch", healthy.large_batch),
    _healthy("dropout", healthy.dropout(0.2)),
    _healthy("heavy_dropout", healthy.dropout(0.45), NOT_LM, "hard"),
    _healthy("bn", healthy.batch_norm, NOT_LM),
    _healthy("bn_dropout", healthy.batch_norm_dropout, NOT_LM),
    _healthy("label_smoothing", healthy.label_smoothing, MULTICLASS),
    _healthy("amp", healthy.amp),
    _healthy("clip", healthy.clip),
    _healthy("tanh", healthy.tanh, NOT_LM),
    _healthy("wide", healthy.wide),
    _healthy("epoch_log", healthy.epoch_log, NOT_LM),
    _healthy("window_log", healthy.window_log),
    _healthy("minimal_log", healthy.minimal_log, tier="hard"),
    _healthy("slow_but_fine", healthy.slow),
    _healthy("resumed", healthy.resumed, tier="hard"),
    _healthy("resumed_counting", healthy.resumed_counting, tier="hard"),
    _healthy("late_start", healthy.late_start, ("mixture", "cnn"), "hard"),
    _healthy("label_noise", healthy.label_noise, tier="hard"),
    _healthy("tiny_val", healthy.tiny_val, tier="hard"),
    _healthy("memory_levels_off", healthy.memory_levels_off, tier="hard"),
    _healthy("periodic_hiccup", healthy.periodic_hiccup, tier="hard"),
)
