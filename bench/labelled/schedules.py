"""Learning rates: a schedule's factor at a step, and what a planted event makes of it."""

from __future__ import annotations

import math
from collections.abc import Callable

from bench.labelled.recipe import Recipe

SCHEDULES: dict[str, Callable[[float], float]] = {
    "const": lambda _: 1.0,
    "warmup_cosine": lambda done: min((done + 0.002) / 0.1, 1.0) * (0.02 + 0.98 * _cosine(done)),
    "warmup_linear": lambda done: min((done + 0.002) / 0.06, 1.0) * (1.0 - done),
    "step_decay": lambda done: 0.1 ** ((done >= 0.5) + (done >= 0.75)),
    "early_step_decay": lambda done: 0.1 ** ((done >= 0.3) + (done >= 0.65)),
    "onecycle": lambda done: (
        0.04 + 0.96 * (1 - _cosine(done / 0.3)) if done < 0.3 else _cosine((done - 0.3) / 0.7)
    ),
    "restarts": lambda done: 0.02 + 0.98 * _cosine(done * 3 % 1),
    "wsd": lambda done: min((done + 0.002) / 0.05, 1.0) * min(1.0, (1 - done) / 0.2),
    "exponential": lambda done: 0.03**done,
}
"""Name -> factor of the learning rate, from the share of the run that is done."""


def learning_rate(recipe: Recipe, step: int) -> float:
    """The learning rate of a step, with what a planted event does to it."""
    rate = recipe.learning_rate * SCHEDULES[recipe.schedule](step / recipe.steps)
    if recipe.event == "lr_ramp":
        return float(rate * recipe.event_factor ** (step / recipe.steps))
    if recipe.event == "lr_factor" and step >= recipe.onset:
        over = recipe.event_steps and step >= recipe.onset + recipe.event_steps
        return rate if over else rate * recipe.event_factor
    return rate


def _cosine(done: float) -> float:
    """From 1 down to 0 in half a wave."""
    return 0.5 * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0)))
