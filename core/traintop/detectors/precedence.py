"""Which finding is only the symptom of which: a cause that is open takes its symptoms along."""

from __future__ import annotations

_STUCK = (
    *("nan_inf", "masked_nan", "amp_overflow", "divergence", "lr_too_high", "lr_too_low"),
    *("frozen_params", "disconnected_params", "vanishing_gradients", "exploding_gradients"),
    *("dead_units", "saturated_units", "grad_clip_too_tight", "zero_grad_missing"),
    *("bad_initialization", "input_not_normalized", "weight_decay_too_high"),
    *("lr_reduced_too_early", "eval_mode_training", "oscillation", "data_not_shuffled"),
)
"""What keeps a run from learning, in whichever way that shows."""

EXPLAINED_BY: dict[str, tuple[str, ...]] = {
    "masked_nan": ("amp_overflow",),
    "bad_initialization": (
        *("exploding_gradients", "input_not_normalized", "nan_inf", "frozen_params", "dead_units"),
        *("vanishing_gradients", "lr_too_low", "grad_clip_too_tight", "saturated_units"),
    ),
    "zero_grad_missing": ("frozen_params", "amp_overflow"),
    "noisy_gradients": ("zero_grad_missing", "input_not_normalized", "nan_inf", "amp_overflow"),
    "grad_clip_too_tight": ("frozen_params", "nan_inf", "amp_overflow"),
    "exploding_gradients": (
        *("zero_grad_missing", "frozen_params", "disconnected_params", "eval_mode_training"),
        *("weight_decay_too_high", "class_collapse", "wrong_loss"),
    ),
    "loss_spike": (
        *("amp_overflow", "divergence", "lr_too_high", "zero_grad_missing"),
        *("noisy_gradients", "frozen_params", "data_not_shuffled"),
        *("weight_decay_too_high", "bad_initialization", "input_not_normalized"),
    ),
    "lr_too_high": (
        *("zero_grad_missing", "bad_initialization", "input_not_normalized", "data_not_shuffled"),
        *("weight_decay_too_high", "amp_overflow"),
    ),
    "lr_too_low": (
        *("lr_reduced_too_early", "lr_schedule_mismatch", "grad_clip_too_tight", "dead_units"),
        *("frozen_params", "vanishing_gradients", "weight_decay_too_high", "bad_initialization"),
        *("input_not_normalized", "divergence", "lr_too_high", "nan_inf", "masked_nan"),
    ),
    "lr_reduced_too_early": ("lr_schedule_mismatch", "divergence", "lr_too_high", "nan_inf"),
    "oscillation": (
        *("zero_grad_missing", "data_not_shuffled", "noisy_gradients"),
        *("loss_spike", "bad_initialization", "input_not_normalized", "weight_decay_too_high"),
    ),
    "dead_units": ("weight_decay_too_high", "amp_overflow"),
    "saturated_units": ("lr_too_high", "input_not_normalized", "weight_decay_too_high"),
    "vanishing_gradients": (
        *("dead_units", "weight_decay_too_high", "frozen_params", "bad_initialization"),
        *("lr_too_high", "divergence", "exploding_gradients", "nan_inf", "zero_grad_missing"),
    ),
    "frozen_params": (
        *("amp_overflow", "nan_inf", "masked_nan", "lr_too_low", "lr_schedule_mismatch"),
        *("lr_too_high", "divergence", "dead_units"),
    ),
    "disconnected_params": (
        *("dead_units", "vanishing_gradients", "nan_inf", "masked_nan", "amp_overflow"),
        *("lr_too_high", "divergence", "weight_decay_too_high"),
    ),
    "not_learning": (
        *(*_STUCK, "labels_broken", "class_collapse", "wrong_loss", "noisy_gradients"),
    ),
    "plateau": (
        *(*_STUCK, "labels_broken", "class_collapse", "wrong_loss", "underfitting"),
        *("not_learning", "noisy_gradients", "overfitting"),
    ),
    "underfitting": (
        *(*_STUCK, "labels_broken", "class_collapse", "wrong_loss", "not_learning"),
        *("noisy_gradients", "overfitting"),
    ),
    "labels_broken": (*_STUCK, "class_collapse", "val_leakage"),
    "wrong_loss": ("nan_inf", "lr_too_low", "lr_reduced_too_early"),
    # An accuracy far above the balanced one is in the data: no other fault makes that.
    "class_collapse": ("nan_inf", "masked_nan"),
    "weight_decay_too_high": ("nan_inf",),
    "overfitting": (
        *("nan_inf", "masked_nan", "divergence", "lr_too_high", "exploding_gradients"),
        *("amp_overflow", "zero_grad_missing", "noisy_gradients", "oscillation"),
        *("weight_decay_too_high", "lr_schedule_mismatch"),
    ),
    "data_not_shuffled": (
        *("nan_inf", "masked_nan", "lr_too_high", "amp_overflow", "zero_grad_missing"),
        *("bad_initialization", "input_not_normalized", "noisy_gradients"),
    ),
    "val_leakage": ("nan_inf", "masked_nan"),
}
"""Finding -> the findings that explain it. While one of those is open, it is advice (`info`)."""

LEADS_TO: dict[str, tuple[str, ...]] = {
    "lr_too_high": (
        *("divergence", "exploding_gradients", "loss_spike", "oscillation", "nan_inf"),
        *("dead_units", "saturated_units", "update_ratio_off", "amp_overflow", "not_learning"),
    ),
    "bad_initialization": ("exploding_gradients", "vanishing_gradients", "divergence", "nan_inf"),
    "input_not_normalized": ("exploding_gradients", "divergence", "nan_inf", "saturated_units"),
    "zero_grad_missing": ("exploding_gradients", "divergence", "oscillation", "nan_inf"),
    "exploding_gradients": ("loss_spike", "divergence", "dead_units", "amp_overflow", "nan_inf"),
    "loss_spike": ("divergence", "dead_units", "nan_inf"),
    "oscillation": ("divergence", "loss_spike"),
    "amp_overflow": ("nan_inf", "not_learning"),
    "divergence": ("nan_inf", "dead_units", "oscillation", "crashed"),
    "nan_inf": ("crashed", "not_learning", "masked_nan"),
    "data_not_shuffled": ("divergence", "oscillation", "loss_spike"),
    "memory_leak": ("out_of_memory_soon", "throughput_drop", "crashed"),
    "out_of_memory_soon": ("crashed",),
    "straggler": ("throughput_drop",),
    "throughput_drop": ("stalled",),
    "saturated_units": ("vanishing_gradients", "not_learning"),
    "dead_units": ("vanishing_gradients", "not_learning", "plateau"),
    "lr_reduced_too_early": ("plateau", "underfitting"),
    "lr_schedule_mismatch": ("lr_reduced_too_early", "lr_too_low", "plateau"),
}
"""Finding -> what may follow from it, besides what it explains away: these are findings of their
own, told as one story."""

AFTERMATH = 30
"""Records for which a cause that is over still explains what begins."""
