"""The faults that the demo can plant. Each is a mistake that people make, and really made here.

This module does not import torch, so that the list of faults is there at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traintop.demo.training import Training

ONSET = 500
"""The step at which a fault strikes that is not there from the start."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way for a training to go wrong."""

    says: str
    network: str = "convolutional"
    target: str = "target"
    learning_rate: float = 0.03
    scheduled: bool = True
    """Whether the learning rate follows its schedule; else it is constant."""
    weight_decay: float = 5e-4
    train_samples: int = 16_384
    added_noise: float = 0.4
    """Deviation of the noise that is new in every batch, against learning by heart."""
    strike: Callable[[Training], None] | None = None
    """What happens at the onset."""


def _raise_learning_rate(training: Training) -> None:
    training.rate_factor = 12.0


def _unstable_loss(training: Training) -> None:
    training.loss = training.log_of_probability


def _drown_units(training: Training) -> None:
    training.shift_biases(share=0.85, by=-25.0)


def _flip_weight_decay(training: Training) -> None:
    for group in training.optimizer.param_groups:
        group["weight_decay"] = -0.15


HEALTHY = Fault(says="no fault: the loss falls, validation follows")

FAULTS: dict[str, Fault] = {
    "lr-too-high": Fault(
        says="a learning rate 40 times too high from the start",
        learning_rate=1.2,
    ),
    "lr-jump": Fault(
        says=f"the learning rate jumps 12-fold at step {ONSET}, and the loss diverges",
        strike=_raise_learning_rate,
    ),
    "nan": Fault(
        says=f"from step {ONSET} the loss takes the logarithm of a probability that reaches 0",
        strike=_unstable_loss,
    ),
    "dead-relu": Fault(
        says=f"at step {ONSET} most biases become so negative that their ReLU units never fire",
        strike=_drown_units,
    ),
    "vanishing": Fault(
        says="eight sigmoid layers: the first ones get no gradient, nothing is learned",
        network="deep_sigmoid",
        target="target_deep_sigmoid",
    ),
    "exploding": Fault(
        says=f"from step {ONSET} weight decay has the wrong sign: weights and gradients explode",
        network="leaky",
        target="target_leaky",
        strike=_flip_weight_decay,
    ),
    "overfit": Fault(
        says="only 1024 images to learn from: they are learned by heart, validation gets worse",
        learning_rate=0.003,
        weight_decay=0.0,
        train_samples=1024,
        added_noise=0.0,
    ),
    "plateau": Fault(
        says="a bottleneck of two units: the loss stops falling while it is still high",
        network="bottleneck",
        target="target_bottleneck",
        scheduled=False,
    ),
}
