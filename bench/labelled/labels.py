"""What a detector is expected to say of each fault, may say of it, and must not say of it."""

from __future__ import annotations

from dataclasses import dataclass

MACHINE = ("memory_leak", "throughput_drop")
WILD = (
    "divergence", "lr_too_high", "oscillation", "exploding_gradients", "loss_spike", "nan_inf",
)  # fmt: skip
LEARNING = (
    *WILD, "plateau", "not_learning", "underfitting", "overfitting", "vanishing_gradients",
    "dead_units", "lr_too_low", "lr_reduced_too_early", "noisy_gradients", "data_not_shuffled",
    "labels_broken", "frozen_params", "disconnected_params", "zero_grad_missing",
    "eval_mode_training", "input_not_normalized", "wrong_loss", "amp_overflow", "val_leakage",
    "class_collapse", "weight_decay_too_high", "grad_clip_too_tight",
)  # fmt: skip
"""Everything that can be wrong with the learning itself."""
LEVEL = ("plateau", "underfitting")


@dataclass(frozen=True)
class Expectation:
    """What is right to say; ids of findings.

    Attributes:
        expected: Any of them, once the fault is there, is a detection.
        diagnosis: Any of them names the cause.
        acceptable: Neutral.
        forbidden: Wrong; `*`: all that are not acceptable.
    """

    expected: tuple[str, ...]
    diagnosis: tuple[str, ...]
    acceptable: tuple[str, ...]
    forbidden: tuple[str, ...]


_LR_TOO_HIGH = Expectation(
    ("divergence", "lr_too_high", "exploding_gradients", "oscillation", "nan_inf"),
    ("lr_too_high", "divergence"),
    ("loss_spike", "dead_units", "not_learning", "class_collapse", "noisy_gradients", *LEVEL),
    (
        *MACHINE, "overfitting", "lr_too_low", "vanishing_gradients", "data_not_shuffled",
        "val_leakage", "frozen_params",
    ),
)  # fmt: skip
_OVERFITTING = Expectation(
    ("overfitting",),
    ("overfitting",),
    ("plateau",),
    (
        *MACHINE, *WILD, "not_learning", "lr_too_low", "vanishing_gradients", "underfitting",
        "labels_broken", "val_leakage",
    ),
)  # fmt: skip
_CORRUPT_BATCHES = (
    *MACHINE, "divergence", "overfitting", "plateau", "not_learning", "nan_inf", "lr_too_low",
    "lr_too_high", "vanishing_gradients", "dead_units",
)  # fmt: skip

EXPECTATIONS: dict[str, Expectation] = {
    "healthy": Expectation((), (), (), ("*",)),
    "amp_overflow": Expectation(
        ("amp_overflow", "nan_inf"),
        ("amp_overflow",),
        (
            "plateau",
            "not_learning",
            "loss_spike",
            "divergence",
            "exploding_gradients",
            "frozen_params",
        ),
        (*MACHINE, "overfitting", "lr_too_low", "data_not_shuffled"),
    ),
    "bad_init": Expectation(
        ("exploding_gradients", "divergence", "nan_inf"),
        ("exploding_gradients",),
        (
            "lr_too_high",
            "loss_spike",
            "oscillation",
            "input_not_normalized",
            "dead_units",
            "noisy_gradients",
            "not_learning",
            "class_collapse",
            *LEVEL,
        ),
        (*MACHINE, "lr_too_low", "vanishing_gradients", "data_not_shuffled", "val_leakage"),
    ),
    "class_imbalance": Expectation(
        ("class_collapse", "plateau", "not_learning"),
        ("class_collapse",),
        ("underfitting", "lr_too_low"),
        (*MACHINE, *WILD, "vanishing_gradients"),
    ),
    "clip_too_tight": Expectation(
        ("grad_clip_too_tight", "lr_too_low", "plateau", "not_learning"),
        ("grad_clip_too_tight",),
        ("underfitting",),
        (*MACHINE, *WILD, "overfitting", "vanishing_gradients", "dead_units", "labels_broken"),
    ),
    "data_not_shuffled": Expectation(
        ("data_not_shuffled", "oscillation"),
        ("data_not_shuffled",),
        (
            "loss_spike",
            "noisy_gradients",
            "divergence",
            "overfitting",
            "lr_too_high",
            "plateau",
            "exploding_gradients",
            "class_collapse",
            "dead_units",
            "not_learning",
        ),
        (
            *MACHINE,
            "lr_too_low",
            "vanishing_gradients",
            "frozen_params",
            "nan_inf",
            "labels_broken",
        ),
    ),
    "dead_relu": Expectation(
        ("dead_units", "not_learning"),
        ("dead_units",),
        (
            "vanishing_gradients",
            "frozen_params",
            "class_collapse",
            "loss_spike",
            "divergence",
            "lr_too_high",
            "exploding_gradients",
            *LEVEL,
        ),
        (*MACHINE, "overfitting", "data_not_shuffled", "labels_broken", "nan_inf", "lr_too_low"),
    ),
    "deep_sigmoid": Expectation(
        ("vanishing_gradients", "not_learning"),
        ("vanishing_gradients",),
        ("class_collapse", "frozen_params", "lr_too_low", *LEVEL),
        (*MACHINE, *WILD, "overfitting", "dead_units", "labels_broken"),
    ),
    "disconnected": Expectation(
        ("disconnected_params", "frozen_params"),
        ("disconnected_params",),
        LEVEL,
        (*MACHINE, *WILD, "dead_units", "overfitting", "labels_broken", "not_learning"),
    ),
    "double_softmax": Expectation(
        ("wrong_loss", "plateau"),
        ("wrong_loss",),
        ("underfitting", "lr_too_low", "class_collapse"),
        (*MACHINE, *WILD, "overfitting", "vanishing_gradients", "labels_broken"),
    ),
    "eval_mode": Expectation(
        ("eval_mode_training",),
        ("eval_mode_training",),
        ("overfitting", "val_leakage"),
        (
            *MACHINE,
            *WILD,
            "not_learning",
            "lr_too_low",
            "dead_units",
            "vanishing_gradients",
            *LEVEL,
        ),
    ),
    "frozen_layers": Expectation(
        ("frozen_params",),
        ("frozen_params",),
        ("disconnected_params", "lr_too_low", *LEVEL),
        (*MACHINE, *WILD, "dead_units", "overfitting", "labels_broken", "not_learning"),
    ),
    "input_not_normalized": Expectation(
        ("input_not_normalized", "exploding_gradients", "lr_too_high", "divergence"),
        ("input_not_normalized",),
        (
            "loss_spike",
            "oscillation",
            "dead_units",
            "noisy_gradients",
            "not_learning",
            "nan_inf",
            "class_collapse",
            *LEVEL,
        ),
        (
            *MACHINE,
            "lr_too_low",
            "vanishing_gradients",
            "data_not_shuffled",
            "val_leakage",
            "labels_broken",
        ),
    ),
    "labels_shuffled": Expectation(
        ("labels_broken", "not_learning", "overfitting"),
        ("labels_broken",),
        ("noisy_gradients", "class_collapse", "dead_units", *LEVEL),
        (
            *MACHINE,
            "divergence",
            "nan_inf",
            "vanishing_gradients",
            "exploding_gradients",
            "data_not_shuffled",
            "lr_too_high",
        ),
    ),
    "log_zero": Expectation(
        ("nan_inf",),
        ("nan_inf",),
        ("loss_spike", "divergence", "exploding_gradients"),
        (
            *MACHINE,
            "overfitting",
            "plateau",
            "lr_too_low",
            "data_not_shuffled",
            "val_leakage",
            "lr_too_high",
        ),
    ),
    "lr_jump": _LR_TOO_HIGH,
    "lr_ramp": _LR_TOO_HIGH,
    "lr_too_high": _LR_TOO_HIGH,
    "lr_reduced_too_early": Expectation(
        ("lr_reduced_too_early", "plateau", "lr_too_low"),
        ("lr_reduced_too_early",),
        ("underfitting",),
        (
            *MACHINE,
            *WILD,
            "overfitting",
            "vanishing_gradients",
            "dead_units",
            "not_learning",
            "labels_broken",
        ),
    ),
    "lr_too_low": Expectation(
        ("lr_too_low", "plateau", "not_learning"),
        ("lr_too_low",),
        ("underfitting", "frozen_params"),
        (*MACHINE, *WILD, "overfitting", "dead_units", "labels_broken"),
    ),
    "lr_way_too_high": Expectation(
        ("nan_inf",),
        ("nan_inf",),
        (
            "divergence",
            "exploding_gradients",
            "lr_too_high",
            "loss_spike",
            "oscillation",
            "input_not_normalized",
        ),
        (*MACHINE, "overfitting", "plateau", "lr_too_low", "data_not_shuffled", "val_leakage"),
    ),
    "memory_leak": Expectation(
        ("memory_leak",), ("memory_leak",), (), (*LEARNING, "throughput_drop")
    ),
    "no_optimizer_step": Expectation(
        ("frozen_params", "not_learning"),
        ("frozen_params",),
        ("lr_too_low", "class_collapse", *LEVEL),
        (*MACHINE, *WILD, "overfitting", "labels_broken", "vanishing_gradients", "dead_units"),
    ),
    "noisy_small_batch": Expectation(
        ("noisy_gradients", "oscillation", "lr_too_high"),
        ("noisy_gradients",),
        (
            "loss_spike",
            "exploding_gradients",
            "divergence",
            "not_learning",
            "dead_units",
            "class_collapse",
            *LEVEL,
        ),
        (
            *MACHINE,
            "overfitting",
            "lr_too_low",
            "vanishing_gradients",
            "nan_inf",
            "data_not_shuffled",
        ),
    ),
    "oscillation": Expectation(
        ("oscillation", "lr_too_high", "divergence"),
        ("oscillation", "lr_too_high"),
        (
            "loss_spike",
            "noisy_gradients",
            "exploding_gradients",
            "dead_units",
            "overfitting",
            "not_learning",
            *LEVEL,
        ),
        (*MACHINE, "lr_too_low", "vanishing_gradients", "nan_inf", "labels_broken"),
    ),
    "overfit": _OVERFITTING,
    "overtraining": _OVERFITTING,
    "repeated_spikes": Expectation(
        ("loss_spike",),
        ("loss_spike",),
        ("exploding_gradients", "oscillation", "noisy_gradients"),
        _CORRUPT_BATCHES,
    ),
    "spike": Expectation(
        ("loss_spike",), ("loss_spike",), ("exploding_gradients",), _CORRUPT_BATCHES
    ),
    "throughput_drop": Expectation(
        ("throughput_drop",), ("throughput_drop",), (), (*LEARNING, "memory_leak")
    ),
    "underfit_capacity": Expectation(
        ("underfitting", "plateau", "not_learning"),
        ("underfitting",),
        ("lr_too_low", "class_collapse"),
        (*MACHINE, *WILD, "overfitting", "vanishing_gradients", "dead_units"),
    ),
    "val_leakage": Expectation(
        ("val_leakage",),
        ("val_leakage",),
        ("plateau",),
        (*MACHINE, *WILD, "overfitting", "labels_broken", "not_learning", "dead_units"),
    ),
    "weight_decay": Expectation(
        ("weight_decay_too_high", "not_learning", "divergence"),
        ("weight_decay_too_high",),
        ("vanishing_gradients", "class_collapse", "dead_units", "loss_spike", *LEVEL),
        (*MACHINE, "overfitting", "nan_inf", "exploding_gradients", "labels_broken"),
    ),
    "zero_grad_missing": Expectation(
        ("zero_grad_missing", "exploding_gradients", "divergence", "oscillation", "lr_too_high"),
        ("zero_grad_missing",),
        (
            "loss_spike",
            "noisy_gradients",
            "dead_units",
            "nan_inf",
            "not_learning",
            "overfitting",
            "class_collapse",
            *LEVEL,
        ),
        (*MACHINE, "vanishing_gradients", "lr_too_low", "data_not_shuffled"),
    ),
}
"""Fault -> what to say."""

# Where a variant differs, what differs.
_ACCEPTABLE: dict[tuple[str, str], tuple[str, ...]] = {
    ("healthy", "label_noise"): LEVEL,
    ("healthy", "late_start"): ("not_learning", "plateau", "vanishing_gradients"),
    ("healthy", "small_batch"): ("noisy_gradients",),
    ("dead_relu", "lr_pulse"): ("nan_inf", "oscillation"),
    # Gradients of what the optimizer does not know are never zeroed: they add up.
    ("frozen_layers", "not_in_optimizer"): ("exploding_gradients", "zero_grad_missing"),
    ("frozen_layers", "one_small"): ("exploding_gradients", "zero_grad_missing"),
    ("weight_decay", "mild"): ("not_learning", "divergence"),
}


def expectation(fault: str, variant: str) -> Expectation:
    """What is right to say of a run."""
    usual = EXPECTATIONS[fault]
    expected = usual.expected
    if (fault, variant) == ("weight_decay", "mild"):
        expected = ("weight_decay_too_high", *LEVEL)
    acceptable = (*usual.acceptable, *_ACCEPTABLE.get((fault, variant), ()))
    forbidden = tuple(each for each in usual.forbidden if each not in acceptable)
    return Expectation(expected, usual.diagnosis, acceptable, forbidden)
