"""Throughput and memory: the two figures that are made up, since a small model has none to tell.

As on real machines: the first step is slow, the first step of most epochs waits for data, and the
allocator's share of memory grows in a few stages until everything has been seen once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from bench.labelled.recipe import Recipe

FIRST_STEP, EPOCH_START, HICCUP = 0.2, 0.5, 0.4
"""Throughput of slow steps, as a share of the usual one."""


def throughput(recipe: Recipe) -> npt.NDArray[np.float64]:
    """Samples a second at each step."""
    random = np.random.default_rng([recipe.seed, 1])
    base = float(np.exp(random.uniform(np.log(150), np.log(3000))))
    steps = np.arange(recipe.steps)
    values = base * np.exp(random.uniform(0.015, 0.06) * random.standard_normal(recipe.steps))
    values[(steps % recipe.steps_per_epoch == 0) & (random.random(recipe.steps) < 0.8)] *= (
        EPOCH_START
    )
    if recipe.hiccup_every:
        values[recipe.hiccup_every - 1 :: recipe.hiccup_every] *= HICCUP
    values[0] *= FIRST_STEP
    values[recipe.onset :] *= recipe.slowdown
    return values


def memory(recipe: Recipe) -> npt.NDArray[np.float64]:
    """Megabytes in use at each step."""
    random = np.random.default_rng([recipe.seed, 2])
    base = float(np.exp(random.uniform(np.log(1200), np.log(30000))))
    steps = np.arange(recipe.steps)
    warm = max(8, int(random.uniform(0.06, 0.16) * recipe.steps))
    level = np.ones(recipe.steps)
    for start in random.integers(1, warm, size=3):
        level[start:] += random.uniform(0.01, 0.06)
    level += 0.005 * np.minimum(steps // recipe.steps_per_epoch, 3)
    if recipe.levels_off:
        third = recipe.steps / 3
        level += random.uniform(0.05, 0.12) * (1 - np.exp(-3 * np.minimum(steps / third, 2)))
    level += recipe.leak * np.maximum(steps - recipe.onset, 0)
    return base * level * (1 + 0.003 * random.standard_normal(recipe.steps))
