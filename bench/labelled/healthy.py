"""What healthy runs look like, beyond the plain one: schedules, regularisers, logs, machines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.labelled.faults import Change, in_epochs
from bench.labelled.recipe import Recipe

EPOCHS_OF_A_LOG = 18


def scheduled(name: str, factor: float = 1.0) -> Change:
    """Another schedule, with a peak that suits it."""

    def change(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
        return replace(recipe, schedule=name, learning_rate=recipe.learning_rate * factor)

    return change


def accumulated(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Four batches an update, one record an update."""
    return replace(accumulated_micro(recipe, random, dose), per_update=True)


def accumulated_micro(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Four batches an update, one record a batch."""
    small = replace(recipe, batch_size=max(4, recipe.batch_size // 3), accumulation=4)
    epochs = 0.7 * recipe.steps / recipe.steps_per_epoch
    if recipe.optimizer == "sgd":
        small = replace(small, learning_rate=recipe.learning_rate * 1.3)
    return in_epochs(small, max(3, round(epochs)))


def small_batch(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """A batch of 4 to 8 samples, with the learning rate that it needs."""
    size = int(random.integers(4, 9))
    shrink = (size / recipe.batch_size) ** (1.0 if recipe.optimizer == "sgd" else 0.7)
    steps = min(1000, 2 * recipe.steps)
    return replace(
        recipe,
        batch_size=size,
        learning_rate=recipe.learning_rate * shrink * 1.5,
        steps=steps,
        clip=recipe.clip,
    )


def large_batch(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """A batch three times the usual: little noise, few steps."""
    size = 3 * recipe.batch_size
    return replace(recipe, batch_size=size, steps=max(180, recipe.steps // 2))


def dropout(share: float) -> Change:
    """Dropout, with some more training."""

    def change(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
        return replace(recipe, dropout=share, steps=round(1.3 * recipe.steps))

    return change


def batch_norm(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Batch norm."""
    return replace(recipe, batch_norm=True)


def batch_norm_dropout(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Batch norm and dropout."""
    return replace(recipe, batch_norm=True, dropout=0.15)


def label_smoothing(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """A training loss that cannot reach the validation loss."""
    return replace(recipe, label_smoothing=float(random.uniform(0.05, 0.12)))


def amp(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Gradients scaled for 16 bits, with the few overflows that the search for a scale takes."""
    return replace(recipe, amp=True)


def clip(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Gradients clipped at a usual norm."""
    return replace(recipe, clip=1.0)


def tanh(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Another activation."""
    return replace(recipe, activation="tanh")


def wide(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Twice as wide, one layer deeper."""
    return replace(recipe, width=2 * recipe.width, depth=recipe.depth + (recipe.family != "lm"))


def epoch_log(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """One record an epoch."""
    slower = replace(recipe, cadence="epoch", learning_rate=0.5 * recipe.learning_rate)
    return in_epochs(slower, EPOCHS_OF_A_LOG)


def window_log(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """One record for ten steps."""
    return replace(recipe, cadence="window10")


def minimal_log(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Loss and learning rate, with or without the gradient norm; nothing of the layers."""
    return replace(recipe, logged=str(random.choice(["minimal", "loss_lr"])))


def slow(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """A cautious learning rate, and the time that it needs."""
    return replace(
        recipe, learning_rate=recipe.learning_rate * 0.3, steps=round(1.8 * recipe.steps)
    )


def resumed(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """A log that begins when most has been learned, at step 0."""
    return replace(
        recipe,
        schedule="const",
        resumed_after=recipe.steps,
        steps=round(0.6 * recipe.steps),
        learning_rate=0.25 * recipe.learning_rate,
    )


def resumed_counting(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """The same, where steps and epochs go on counting."""
    return replace(resumed(recipe, random, dose), keeps_counting=True)


def late_start(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """A network on a saddle: nothing for long, then everything."""
    return replace(
        recipe,
        schedule="const",
        optimizer="sgd",
        sigmoid_layers=2,
        learning_rate=0.1 * dose,
        weight_decay=0.0,
        steps=1100,
    )


def label_noise(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Labels of which many are wrong: a high floor that no training gets below."""
    return replace(recipe, label_noise=0.6 if recipe.family == "regression" else 0.25)


def tiny_val(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """A validation set so small that its loss is mostly noise."""
    return replace(recipe, val_samples=16 if recipe.family == "lm" else 40)


def memory_levels_off(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Memory that grows long, then no more."""
    return replace(recipe, levels_off=True)


def periodic_hiccup(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """A slow step now and then, as where checkpoints are written."""
    return replace(recipe, hiccup_every=int(random.integers(18, 45)))
