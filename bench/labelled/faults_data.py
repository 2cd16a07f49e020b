"""Faults of the data: what is in it, how much of it there is, and in which order it comes."""

from __future__ import annotations

from bench.labelled.draft import Draft

FEW = {"lm": (48, 8), "regression": (48, 16), "mixture": (120, 25), "cnn": (150, 25)}
FEW_ROWS = (150, 25)
"""Training samples and batch size with which everything is learned by heart."""


def class_imbalance(draft: Draft) -> Draft:
    """Nearly all samples of one class, and inputs from which the others are hard to tell."""
    few = draft.but(train_samples=min(draft.recipe.train_samples, 2000))
    return few.but(majority=draft.uniform(0.93, 0.96), input_noise=4.0 * draft.dose)


def not_shuffled(draft: Draft) -> Draft:
    """Samples sorted by label, target or topic."""
    recipe = draft.recipe
    return draft.but(order="sorted", steps=max(recipe.steps, 6 * recipe.steps_per_epoch))


def weak_buffer(draft: Draft) -> Draft:
    """The same, shuffled in a buffer of a few batches."""
    return not_shuffled(draft).but(order="buffered")


def input_not_normalized(draft: Draft) -> Draft:
    """Inputs as they came: large, and far from zero."""
    scale = draft.uniform(15, 40) * draft.dose
    shift = draft.uniform(10, 60) * draft.dose
    return draft.but(input_scale=scale, input_shift=shift, batch_norm=False, clip=None)


def labels_shuffled(draft: Draft) -> Draft:
    """Labels that have nothing to do with the inputs."""
    return draft.but(random_labels=True)


def val_is_train(draft: Draft) -> Draft:
    """What is logged as validation are the means of the training."""
    return draft.but(val_is_train=True)


def overfit(draft: Draft) -> Draft:
    """A handful of samples and a wide network."""
    return _by_heart(draft, draft.uniform(0.9, 1.6), 360)


def overfit_mild(draft: Draft) -> Draft:
    """Some more samples, so that validation rises only a little."""
    return _by_heart(draft, draft.uniform(5, 7) / draft.dose, 560)


def overfit_tiny_val(draft: Draft) -> Draft:
    """A handful of samples, and few to see it by."""
    return overfit(draft).but(val_samples=16 if draft.is_text else 60)


def overtraining(draft: Draft) -> Draft:
    """Validation is best early on, and the training goes on and on."""
    return _by_heart(draft, draft.uniform(3.2, 4.2) / draft.dose, round(700 * draft.dose))


def _by_heart(draft: Draft, times: float, steps: int) -> Draft:
    """So many times the few samples that are learned by heart, without regularisation."""
    recipe = draft.recipe
    samples, batch = FEW.get(recipe.family, FEW_ROWS)
    noise = {"regression": 0.6, "lm": 0.0}.get(recipe.family, 0.1)
    return draft.but(
        train_samples=round(samples * times),
        batch_size=batch if times < 3 else recipe.batch_size // 2,
        steps=steps,
        width=2 * recipe.width,
        schedule="const",
        weight_decay=min(recipe.weight_decay, 1e-3),
        batch_norm=False,
        dropout=0.0,
        label_noise=noise,
    )


def repeated_spikes(draft: Draft) -> Draft:
    """A dozen corrupt batches."""
    recipe = draft.recipe
    first, last = draft.step(0.25, 0.6), round(0.95 * recipe.steps)
    steps = tuple(sorted({int(each) for each in draft.random.integers(first, last, 12)}))
    share, scale = min(1.0, 0.6 * draft.dose), 4.0 * draft.dose
    return draft.but(bad_steps=steps, onset=steps[0], bad_share=share, bad_scale=scale)


def spike(draft: Draft) -> Draft:
    """One corrupt batch."""
    return _one_bad(draft, 1.0, 5.0)


def spike_small(draft: Draft) -> Draft:
    """One batch of which a part is corrupt."""
    return _one_bad(draft, 0.35, 2.5)


def _one_bad(draft: Draft, share: float, scale: float) -> Draft:
    step = draft.step(0.25, 0.6)
    share, scale = min(1.0, share * draft.dose), scale * draft.dose
    return draft.but(bad_steps=(step,), onset=step, bad_share=share, bad_scale=scale)
