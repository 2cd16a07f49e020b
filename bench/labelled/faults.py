"""Planted faults: each a mistake that people make, as a change of a healthy recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bench.labelled.recipe import Recipe

Change = Callable[[Recipe, np.random.Generator, float], Recipe]
"""A recipe, a generator to draw from, and a dose (1: as usual) -> the changed recipe."""


def in_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """The same for so many epochs."""
    return replace(recipe, steps=epochs * recipe.steps_per_epoch)


def _onset(recipe: Recipe, random: np.random.Generator) -> int:
    return int(random.uniform(0.25, 0.6) * recipe.steps)


def _event(recipe: Recipe, random: np.random.Generator, event: str, **fields: object) -> Recipe:
    return replace(recipe, event=event, onset=_onset(recipe, random), **fields)  # type: ignore[arg-type] # fields of the recipe


def _rate(recipe: Recipe, factor: float) -> Recipe:
    return replace(recipe, learning_rate=recipe.learning_rate * factor)


def _unguarded(recipe: Recipe) -> Recipe:
    """Without what makes up for a rate that is too high: its schedule, a clip, batch norm."""
    return replace(recipe, schedule="const", clip=None, batch_norm=False)


def _bounded(recipe: Recipe) -> bool:
    """Whether gradients stay bounded however wrong the output is: not with squares and plain SGD."""
    return recipe.family != "regression" or recipe.optimizer == "adamw"


def overflow_forward(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """From some step on the forward pass overflows 16 bits."""
    return _event(recipe, random, "overflow_forward", amp=True)


def overflow_gradients(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """From some step on gradients are so large that the loss scale falls and falls."""
    return _event(recipe, random, "overflow_gradients", amp=True, event_factor=1e8)


def overflow_sometimes(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Many batches overflow, all along."""
    share = float(random.uniform(0.12, 0.2)) * dose
    return replace(recipe, amp=True, overflow_share=min(share, 0.4), scale_growth=12)


def bad_init(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """All initial weights far too large."""
    gain = float(random.uniform(4, 6)) * dose
    return replace(recipe, initial_gain=gain, batch_norm=False, dropout=0.0, clip=None)


def class_imbalance(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Nearly all samples of one class, and inputs from which the others are hard to tell."""
    return replace(recipe, majority=float(random.uniform(0.93, 0.96)), input_noise=4.0 * dose)


def clip_too_tight(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """A clip far below every gradient; plain SGD, since Adam makes up for it."""
    rate = 0.1 if recipe.family == "lm" else 0.02
    return replace(
        recipe,
        optimizer="sgd",
        weight_decay=5e-4,
        learning_rate=rate * float(np.exp(random.uniform(-0.5, 0.5))),
        clip=float(random.choice([1e-3, 5e-4])) / dose,
    )


def not_shuffled(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Samples sorted by label, target or topic."""
    return replace(recipe, order="sorted", steps=max(recipe.steps, 6 * recipe.steps_per_epoch))


def weak_buffer(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """The same, shuffled in a buffer of a few batches."""
    return replace(not_shuffled(recipe, random, dose), order="buffered")


def _dead(recipe: Recipe, share: float) -> Recipe:
    return replace(recipe, activation="relu", batch_norm=False, dead_share=share)


def dead_relu(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Biases of almost all units far below zero."""
    return _dead(recipe, float(random.uniform(0.96, 1.0)))


def dead_relu_partial(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Of four in five units."""
    return _dead(recipe, float(random.uniform(0.75, 0.9)))


def dead_relu_two_thirds(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Of two in three units."""
    return _dead(recipe, float(random.uniform(0.64, 0.7)))


def dead_relu_lr_pulse(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """A few steps with an enormous learning rate, after which units never fire again."""
    plain = replace(recipe, activation="relu", batch_norm=False, schedule="const", clip=None)
    factor = (300.0 if recipe.optimizer == "adamw" else 150.0) * dose
    if not _bounded(recipe):
        factor /= 10
    return _event(plain, random, "lr_factor", event_factor=factor, event_steps=4)


def deep_sigmoid(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Many sigmoid layers, each of which lets at most a quarter of the gradient through."""
    layers = int(random.integers(6, 9))
    plain = replace(recipe, sigmoid_layers=layers, batch_norm=False, dropout=0.0)
    rate = 0.03 if recipe.family == "lm" else 0.02
    return replace(plain, optimizer="sgd", learning_rate=rate, weight_decay=5e-4)


def detached(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """A branch whose output is cut off from the graph."""
    return replace(recipe, branch="detached")


def unused(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """A branch that the forward pass forgets."""
    return replace(recipe, branch="unused")


def double_softmax(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """A softmax before a loss that has one; with a rate at which it learns all the same."""
    factor = 5.0 if recipe.optimizer == "sgd" else 1.5
    return replace(_rate(recipe, factor), double_softmax=True, steps=round(1.4 * recipe.steps))


def eval_mode(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Training in evaluation mode: dropout and batch norm do nothing."""
    return replace(recipe, eval_mode=True, batch_norm=recipe.family != "lm", dropout=0.1)


def frozen(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """The first half of the layers takes no gradient."""
    return replace(recipe, frozen="requires_grad")


def not_in_optimizer(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """A layer that the optimizer was never given."""
    return replace(recipe, frozen="not_in_optimizer", clip=None)


def one_small(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """The same of the smallest layer."""
    return replace(recipe, frozen="one_small", clip=None)


def input_not_normalized(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Inputs as they came: large, and far from zero."""
    return replace(
        recipe,
        input_scale=float(random.uniform(15, 40)) * dose,
        input_shift=float(random.uniform(10, 60)) * dose,
        batch_norm=False,
        clip=None,
    )


def labels_shuffled(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Labels that have nothing to do with the inputs."""
    return replace(recipe, random_labels=True)


def log_zero(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """From some step on the loss takes the logarithm of what reaches zero."""
    return _event(recipe, random, "log_zero")


def lr_jump(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """The learning rate jumps."""
    factor = float(random.uniform(60, 150) if _bounded(recipe) else random.uniform(10, 40))
    factor *= dose**2
    return _event(_unguarded(recipe), random, "lr_factor", event_factor=factor)


def lr_ramp(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """The learning rate grows all along."""
    factor = float(random.uniform(100, 300)) * dose**2
    return replace(_unguarded(_rate(recipe, 0.5)), event="lr_ramp", event_factor=factor)


def lr_reduced(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """The learning rate drops to almost nothing while much is still to be learned."""
    return _reduced(_rate(recipe, 0.5 / dose), random, 0.002, dose)


def lr_reduced_mild(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """It drops to a fiftieth."""
    return _reduced(_rate(recipe, 0.25 / dose), random, 0.02, dose)


def _reduced(recipe: Recipe, random: np.random.Generator, to: float, dose: float) -> Recipe:
    plain = replace(recipe, schedule="const", event="lr_factor", event_factor=to)
    onset = max(8, int(float(random.uniform(0.05, 0.13)) * recipe.steps))
    if recipe.cadence == "epoch":
        # After two or three records, which takes a rate with which little is learned in each.
        slower = _rate(plain, 0.3 / dose)
        return replace(slower, onset=int(random.integers(2, 4)) * recipe.steps_per_epoch)
    return replace(plain, onset=onset)


def lr_too_high(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """A learning rate far too high from the start."""
    return _unguarded(_rate(recipe, (50 if _bounded(recipe) else 6) * dose))


def lr_too_high_mild(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """One that is somewhat too high."""
    return _unguarded(_rate(recipe, (20 if _bounded(recipe) else 4) * dose))


def lr_too_low(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """A learning rate a thousand times too low."""
    return _rate(recipe, 0.0015 / dose)


def lr_too_low_mild(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """One that is 20 to 40 times too low."""
    return _rate(recipe, float(random.uniform(0.025, 0.05)) / dose)


def lr_way_too_high(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """One with which all numbers leave their range."""
    factor = 1e6 * 100.0 ** (dose - 1)
    return replace(_rate(recipe, factor), schedule="const", clip=None)


def memory_leak(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Something is kept of every step."""
    onset = int(random.uniform(0.2, 0.4) * recipe.steps)
    return replace(recipe, onset=onset, leak=float(random.uniform(0.25, 0.6)) / recipe.steps)


def memory_leak_slow(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """A little is kept of every step."""
    onset = int(random.uniform(0.2, 0.4) * recipe.steps)
    return replace(recipe, onset=onset, leak=float(random.uniform(0.09, 0.16)) / recipe.steps)


def no_optimizer_step(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """The optimizer's step is forgotten."""
    return replace(recipe, optimizer_steps=False, steps=round(0.7 * recipe.steps))


def noisy_small_batch(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """One or two samples a batch with the learning rate of many."""
    size = int(random.integers(1, 3)) if not recipe.batch_norm else 2
    rate = {"sgd": 0.06 if _bounded(recipe) else 0.03, "adamw": 0.02}[recipe.optimizer] * dose
    return replace(
        recipe, batch_size=size, batch_norm=False, learning_rate=rate, steps=720, schedule="const"
    )


def oscillation(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """All data in one batch, and a learning rate beyond what is stable."""
    samples = min(recipe.train_samples, 500)
    least_squares = recipe.family == "regression"
    return replace(
        recipe,
        optimizer="sgd",
        schedule="const",
        weight_decay=0.0,
        batch_norm=False,
        dropout=0.0,
        train_samples=4 * samples,
        batch_size=samples,
        learning_rate=float(random.uniform(0.18, 0.3)) * dose * (0.25 if least_squares else 1.0),
        steps=360,
    )


_FEW = {"lm": (48, 8), "regression": (48, 16), "mixture": (120, 25), "cnn": (150, 25)}
_FEW_ROWS = (150, 25)
"""Training samples and batch size with which everything is learned by heart."""


def _overfit(recipe: Recipe, times: float, steps: int) -> Recipe:
    samples, batch = _FEW.get(recipe.family, _FEW_ROWS)
    return replace(
        recipe,
        train_samples=round(samples * times),
        batch_size=batch if times < 3 else recipe.batch_size // 2,
        steps=steps,
        width=2 * recipe.width,
        schedule="const",
        weight_decay=min(recipe.weight_decay, 1e-3),
        batch_norm=False,
        dropout=0.0,
        label_noise=0.6 if recipe.family == "regression" else 0.1 * (recipe.family != "lm"),
    )


def overfit(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """A handful of samples and a wide network."""
    return _overfit(recipe, float(random.uniform(0.9, 1.6)), 360)


def overfit_mild(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Some more samples, so that validation rises only a little."""
    return _overfit(recipe, float(random.uniform(5, 7)) / dose, 560)


def overfit_tiny_val(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """A handful of samples, and few to see it by."""
    return replace(overfit(recipe, random, dose), val_samples=16 if recipe.family == "lm" else 60)


def overtraining(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Validation is best early on, and the training goes on and on."""
    return _overfit(recipe, float(random.uniform(3.2, 4.2)) / dose, round(700 * dose))


def _spiked(
    recipe: Recipe, random: np.random.Generator, count: int, share: float, scale: float
) -> Recipe:
    last = round(0.95 * recipe.steps)
    first = _onset(recipe, random)
    chosen = np.unique(random.integers(first, last, count)) if count > 1 else np.array([first])
    return replace(
        recipe,
        bad_steps=tuple(int(each) for each in chosen),
        onset=int(chosen[0]),
        bad_share=share,
        bad_scale=scale,
    )


def repeated_spikes(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """A dozen corrupt batches."""
    return _spiked(recipe, random, 12, min(1.0, 0.6 * dose), 4.0 * dose)


def spike(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """One corrupt batch."""
    return _spiked(recipe, random, 1, 1.0, 5.0 * dose)


def spike_small(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """One batch of which a part is corrupt."""
    return _spiked(recipe, random, 1, min(1.0, 0.35 * dose), 2.5 * dose)


def throughput_drop(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Half as fast from some step on."""
    return replace(recipe, onset=_onset(recipe, random), slowdown=float(random.uniform(0.4, 0.65)))


def throughput_drop_small(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """A fifth slower from some step on."""
    return replace(recipe, onset=_onset(recipe, random), slowdown=float(random.uniform(0.75, 0.83)))


def underfit(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Everything has to pass through one unit, and the body is tiny too."""
    single = recipe.family == "regression"
    return replace(
        recipe,
        width={"lm": 4, "regression": 2}.get(recipe.family, 3),
        depth=1,
        # One unit is all that one output needs.
        bottleneck=0 if single else 1,
        batch_norm=False,
        dropout=0.0,
        activation="relu",
        steps=round(1.5 * recipe.steps),
        schedule="const",
    )


def val_is_train(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """What is logged as validation are the means of the training."""
    return replace(recipe, val_is_train=True)


def weight_decay(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Weight decay that outweighs the gradient."""
    return _decayed(recipe, 0.2 * dose)


def weight_decay_mild(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Weight decay that takes part of what is learned away."""
    return _decayed(recipe, 0.035 * dose)


def _decayed(recipe: Recipe, shrink: float) -> Recipe:
    """Weights shrink by this share a step (the tenth with SGD, whose momentum does the rest)."""
    share = shrink if recipe.optimizer == "adamw" else shrink / 16
    plain = replace(recipe, schedule="const", weight_decay=share / recipe.learning_rate)
    return replace(plain, batch_norm=False)


def zero_grad_missing(recipe: Recipe, random: np.random.Generator, dose: float) -> Recipe:
    """Gradients add up from step to step."""
    return replace(_rate(recipe, 0.6 * dose), zero_grad=False, clip=None, schedule="const")
