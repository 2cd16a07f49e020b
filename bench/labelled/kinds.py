"""All kinds of runs: the fault, the variant, and what of a healthy recipe is changed for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from bench.labelled import faults_data as data
from bench.labelled import faults_machine as machine
from bench.labelled import faults_network as network
from bench.labelled import faults_optimizer as optimizer
from bench.labelled import healthy
from bench.labelled.draft import Change, Draft
from bench.labelled.recipe import Recipe

ALL = ("lm", "regression", "mixture", "cnn", "tabular")
CLASSIFIERS = ("mixture", "cnn", "tabular")
DENSE = ("regression", "mixture", "cnn", "tabular")
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
        draft = Draft(base, np.random.default_rng([base.seed, 10]), dose)
        for change in self.changes:
            draft = change(draft)
        return draft.recipe


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
        _fault("amp_overflow", ALL, machine.overflow_forward, "forward"),
        _fault("amp_overflow", ALL, machine.overflow_gradients, "grads"),
        _fault("amp_overflow", ALL, machine.overflow_sometimes, "intermittent", tier="hard"),
        _fault("bad_init", ALL, network.bad_init),
        _fault("class_imbalance", CLASSIFIERS, data.class_imbalance),
        _fault("clip_too_tight", ALL, optimizer.clip_too_tight),
        _fault("data_not_shuffled", ALL, data.not_shuffled, logs=("minimal",)),
        _fault("data_not_shuffled", ALL, data.weak_buffer, "weak_buffer", tier="hard"),
        _fault("dead_relu", ALL, network.dead_relu, "bias", logs=("epoch",)),
        _fault("dead_relu", ALL, network.dead_relu_partial, "partial"),
        _fault("dead_relu", ALL, network.dead_relu_two_thirds, "two_thirds", tier="hard"),
        _fault("dead_relu", DENSE, optimizer.lr_pulse, "lr_pulse"),
        _fault("deep_sigmoid", ALL, network.deep_sigmoid, logs=("epoch",)),
        _fault("disconnected", ALL, network.detached, "detach"),
        _fault("disconnected", ALL, network.unused, "unused"),
        _fault("double_softmax", MULTICLASS, optimizer.double_softmax, logs=("epoch",)),
        _fault("eval_mode", ALL, network.eval_mode),
        _fault("frozen_layers", ALL, network.frozen, "requires_grad"),
        _fault("frozen_layers", ALL, network.not_in_optimizer, "not_in_optimizer"),
        _fault("frozen_layers", ALL, network.one_small, "one_small", tier="hard"),
        _fault("input_not_normalized", DENSE, data.input_not_normalized),
        _fault("labels_shuffled", ALL, data.labels_shuffled, logs=BOTH),
        _fault("log_zero", ALL, optimizer.log_zero, logs=("minimal",)),
        _fault("lr_jump", ALL, optimizer.lr_jump, logs=BOTH),
        _fault("lr_ramp", ALL, optimizer.lr_ramp, tier="hard"),
        _fault("lr_reduced_too_early", ALL, optimizer.lr_reduced, logs=("epoch",)),
        _fault("lr_reduced_too_early", ALL, optimizer.lr_reduced_mild, "mild", tier="hard"),
        _fault("lr_too_high", ALL, optimizer.lr_too_high, logs=BOTH),
        _fault("lr_too_high", ALL, optimizer.lr_too_high_mild, "mild"),
        _fault("lr_too_low", ALL, optimizer.lr_too_low, logs=("epoch",)),
        _fault("lr_too_low", ALL, optimizer.lr_too_low_mild, "mild", tier="hard"),
        _fault("lr_way_too_high", ALL, optimizer.lr_way_too_high),
        _fault("memory_leak", ALL, machine.memory_leak, "linear"),
        _fault("memory_leak", ALL, machine.memory_leak_slow, "slow", tier="hard"),
        _fault("no_optimizer_step", ALL, optimizer.no_optimizer_step),
        _fault("noisy_small_batch", CLASSIFIERS, optimizer.noisy_small_batch),
        _fault("oscillation", DENSE, optimizer.oscillation),
        _fault("overfit", ALL, data.overfit, logs=BOTH),
        _fault("overfit", ALL, data.overfit_mild, "mild", tier="hard"),
        _fault("overfit", ALL, data.overfit_tiny_val, "tiny_val", tier="hard"),
        _fault("overtraining", ALL, data.overtraining, logs=("epoch",)),
        _fault("repeated_spikes", ALL, data.repeated_spikes),
        _fault("spike", ALL, data.spike),
        _fault("spike", ALL, data.spike_small, "small", tier="hard"),
        _fault("throughput_drop", ALL, machine.throughput_drop),
        _fault("throughput_drop", ALL, machine.throughput_drop_small, "small", tier="hard"),
        _fault("underfit_capacity", ALL, network.underfit, logs=("minimal",)),
        _fault("val_leakage", ALL, data.val_is_train, "logs_train"),
        _fault("weight_decay", ALL, optimizer.weight_decay),
        _fault("weight_decay", ALL, optimizer.weight_decay_mild, "mild", tier="hard"),
        _fault("zero_grad_missing", ALL, optimizer.zero_grad_missing, logs=("epoch",)),
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
    _healthy("heavy_dropout", healthy.dropout(0.45), DENSE, "hard"),
    _healthy("bn", healthy.batch_norm, DENSE),
    _healthy("bn_dropout", healthy.batch_norm_dropout, DENSE),
    _healthy("label_smoothing", healthy.label_smoothing, MULTICLASS),
    _healthy("amp", healthy.amp),
    _healthy("clip", healthy.clip),
    _healthy("tanh", healthy.tanh, DENSE),
    _healthy("wide", healthy.wide),
    _healthy("epoch_log", healthy.epoch_log, DENSE),
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
