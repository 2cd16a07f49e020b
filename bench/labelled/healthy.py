"""What healthy runs look like, beyond the plain one: schedules, regularisers, logs, machines."""

from __future__ import annotations

from bench.labelled.draft import Change, Draft

EPOCHS_OF_A_LOG = 18


def scheduled(name: str, factor: float = 1.0) -> Change:
    """Another schedule, with a peak that suits it."""
    return lambda draft: draft.but(schedule=name).rate(factor)


def accumulated(draft: Draft) -> Draft:
    """Four batches an update, one record an update."""
    return accumulated_micro(draft).but(per_update=True)


def accumulated_micro(draft: Draft) -> Draft:
    """Four batches an update, one record a batch."""
    recipe = draft.recipe
    epochs = max(3, round(0.7 * recipe.steps / recipe.steps_per_epoch))
    small = draft.but(batch_size=max(4, recipe.batch_size // 3), accumulation=4)
    return small.rate(1.3 if recipe.optimizer == "sgd" else 1.0).epochs(epochs)


def small_batch(draft: Draft) -> Draft:
    """A batch of 4 to 8 samples, with the learning rate that it needs."""
    recipe = draft.recipe
    size = int(draft.random.integers(4, 9))
    shrink = (size / recipe.batch_size) ** (1.0 if recipe.optimizer == "sgd" else 0.7)
    return draft.but(batch_size=size, steps=min(1000, 2 * recipe.steps)).rate(1.5 * shrink)


def large_batch(draft: Draft) -> Draft:
    """A batch three times the usual: little noise, few steps."""
    recipe = draft.recipe
    return draft.but(batch_size=3 * recipe.batch_size, steps=max(180, recipe.steps // 2))


def dropout(share: float) -> Change:
    """Dropout, with some more training."""
    return lambda draft: draft.but(dropout=share).longer(1.3)


def batch_norm(draft: Draft) -> Draft:
    """Batch norm."""
    return draft.but(batch_norm=True)


def batch_norm_dropout(draft: Draft) -> Draft:
    """Batch norm and dropout."""
    return draft.but(batch_norm=True, dropout=0.15)


def label_smoothing(draft: Draft) -> Draft:
    """A training loss that cannot reach the validation loss."""
    return draft.but(label_smoothing=draft.uniform(0.05, 0.12))


def amp(draft: Draft) -> Draft:
    """Gradients scaled for 16 bits, with the few overflows that the search for a scale takes."""
    return draft.but(amp=True)


def clip(draft: Draft) -> Draft:
    """Gradients clipped at a usual norm."""
    return draft.but(clip=1.0)


def tanh(draft: Draft) -> Draft:
    """Another activation."""
    return draft.but(activation="tanh")


def wide(draft: Draft) -> Draft:
    """Twice as wide, one layer deeper."""
    return draft.but(width=2 * draft.recipe.width, depth=draft.recipe.depth + (not draft.is_text))


def epoch_log(draft: Draft) -> Draft:
    """One record an epoch."""
    return draft.but(cadence="epoch").rate(0.5).epochs(EPOCHS_OF_A_LOG)


def window_log(draft: Draft) -> Draft:
    """One record for ten steps."""
    return draft.but(cadence="window10")


def minimal_log(draft: Draft) -> Draft:
    """Loss and learning rate, with or without the gradient norm; nothing of the layers."""
    return draft.but(logged=str(draft.random.choice(["minimal", "loss_lr"])))


def slow(draft: Draft) -> Draft:
    """A cautious learning rate, and the time that it needs."""
    return draft.rate(0.3).longer(1.8)


def resumed(draft: Draft) -> Draft:
    """A log that begins when most has been learned, at step 0."""
    return draft.but(schedule="const", resumed_after=draft.recipe.steps).longer(0.6).rate(0.25)


def resumed_counting(draft: Draft) -> Draft:
    """The same, where steps and epochs go on counting."""
    return resumed(draft).but(keeps_counting=True)


def late_start(draft: Draft) -> Draft:
    """A network on a saddle: nothing for long, then everything."""
    plain = draft.but(schedule="const", optimizer="sgd", weight_decay=0.0)
    return plain.but(sigmoid_layers=2, learning_rate=0.1 * draft.dose, steps=1100)


def label_noise(draft: Draft) -> Draft:
    """Labels of which many are wrong: a high floor that no training gets below."""
    return draft.but(label_noise=0.6 if draft.recipe.family == "regression" else 0.25)


def tiny_val(draft: Draft) -> Draft:
    """A validation set so small that its loss is mostly noise."""
    return draft.but(val_samples=16 if draft.is_text else 40)


def memory_levels_off(draft: Draft) -> Draft:
    """Memory that grows long, then no more."""
    return draft.but(levels_off=True)


def periodic_hiccup(draft: Draft) -> Draft:
    """A slow step now and then, as where checkpoints are written."""
    return draft.but(hiccup_every=int(draft.random.integers(18, 45)))
