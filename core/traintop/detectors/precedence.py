"""Which finding is only the symptom of which: a cause that is open takes its symptoms along."""

from __future__ import annotations

EXPLAINED_BY: dict[str, tuple[str, ...]] = {}
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
    "data_not_shuffled": ("oscillation", "loss_spike"),
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
