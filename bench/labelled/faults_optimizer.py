"""Faults of the optimisation: learning rate, loss, clip, decay, and steps left out of the loop."""

from __future__ import annotations

from bench.labelled.draft import Draft


def lr_jump(draft: Draft) -> Draft:
    """The learning rate jumps."""
    factor = draft.uniform(60, 150) if draft.bounded else draft.uniform(10, 40)
    return _unguarded(draft).event("lr_factor", event_factor=factor * draft.dose**2)


def lr_pulse(draft: Draft) -> Draft:
    """A few steps with an enormous learning rate, after which units never fire again."""
    factor = (300.0 if draft.recipe.optimizer == "adamw" else 150.0) * draft.dose
    if not draft.bounded:
        factor /= 10
    plain = _unguarded(draft).but(activation="relu")
    return plain.event("lr_factor", event_factor=factor, event_steps=4)


def lr_ramp(draft: Draft) -> Draft:
    """The learning rate grows all along."""
    factor = draft.uniform(100, 300) * draft.dose**2
    return _unguarded(draft.rate(0.5)).but(event="lr_ramp", event_factor=factor)


def lr_reduced(draft: Draft) -> Draft:
    """The learning rate drops to almost nothing while much is still to be learned."""
    return _reduced(draft.rate(0.5 / draft.dose), 0.002)


def lr_reduced_mild(draft: Draft) -> Draft:
    """It drops to a fiftieth."""
    return _reduced(draft.rate(0.25 / draft.dose), 0.02)


def _reduced(draft: Draft, to: float) -> Draft:
    plain = draft.but(schedule="const", event="lr_factor", event_factor=to)
    onset = max(8, draft.step(0.05, 0.13))
    if draft.recipe.cadence == "epoch":
        # After two or three records, which takes a rate with which little is learned in each.
        epochs = int(draft.random.integers(2, 4))
        return plain.rate(0.3 / draft.dose).but(onset=epochs * draft.recipe.steps_per_epoch)
    return plain.but(onset=onset)


def lr_too_high(draft: Draft) -> Draft:
    """A learning rate far too high from the start."""
    return _unguarded(draft.rate((50 if draft.bounded else 6) * draft.dose))


def lr_too_high_mild(draft: Draft) -> Draft:
    """One that is somewhat too high."""
    return _unguarded(draft.rate((20 if draft.bounded else 4) * draft.dose))


def lr_way_too_high(draft: Draft) -> Draft:
    """One with which all numbers leave their range."""
    return _unguarded(draft.rate(1e6 * 100.0 ** (draft.dose - 1)))


def _unguarded(draft: Draft) -> Draft:
    """Without what makes up for a rate that is too high: its schedule, a clip, batch norm."""
    return draft.but(schedule="const", clip=None, batch_norm=False)


def lr_too_low(draft: Draft) -> Draft:
    """A learning rate a thousand times too low."""
    return draft.rate(0.0015 / draft.dose)


def lr_too_low_mild(draft: Draft) -> Draft:
    """One that is 20 to 40 times too low."""
    return draft.rate(draft.uniform(0.025, 0.05) / draft.dose)


def clip_too_tight(draft: Draft) -> Draft:
    """A clip far below every gradient; plain SGD, since Adam makes up for it."""
    rate = (0.1 if draft.is_text else 0.02) * draft.uniform(0.6, 1.6)
    clip = float(draft.random.choice([1e-3, 5e-4])) / draft.dose
    return draft.but(optimizer="sgd", weight_decay=5e-4, learning_rate=rate, clip=clip)


def double_softmax(draft: Draft) -> Draft:
    """A softmax before a loss that has one; with a rate at which it learns all the same."""
    factor = 5.0 if draft.recipe.optimizer == "sgd" else 1.5
    return draft.rate(factor * draft.dose).longer(1.4).but(double_softmax=True)


def log_zero(draft: Draft) -> Draft:
    """From some step on the loss takes the logarithm of what reaches zero."""
    return draft.event("log_zero")


def no_optimizer_step(draft: Draft) -> Draft:
    """The optimizer's step is forgotten."""
    return draft.but(optimizer_steps=False).longer(0.7)


def zero_grad_missing(draft: Draft) -> Draft:
    """Gradients add up from step to step."""
    return draft.rate(0.6 * draft.dose).but(zero_grad=False, clip=None, schedule="const")


def noisy_small_batch(draft: Draft) -> Draft:
    """One or two samples a batch with the learning rate of many."""
    # Where it is too much nothing moves any more, so that a further attempt takes less of it.
    rate = {"sgd": 0.04, "adamw": 0.012}[draft.recipe.optimizer] / draft.dose
    size = int(draft.random.integers(1, 3))
    plain = draft.but(batch_norm=False, schedule="const", steps=720)
    return plain.but(batch_size=size, train_samples=150 * size, learning_rate=rate)


def oscillation(draft: Draft) -> Draft:
    """All data in one batch, and a learning rate beyond what is stable."""
    samples = min(draft.recipe.train_samples, 500)
    plain = draft.but(weight_decay=0.0, batch_norm=False, dropout=0.0, schedule="const")
    stable = 0.25 if draft.recipe.family == "regression" else 1.0
    return plain.but(
        optimizer="sgd",
        train_samples=4 * samples,
        batch_size=samples,
        learning_rate=draft.uniform(0.18, 0.3) * draft.dose * stable,
        steps=360,
    )


def weight_decay(draft: Draft) -> Draft:
    """Weight decay that outweighs the gradient."""
    return _decayed(draft, 0.2 * draft.dose)


def weight_decay_mild(draft: Draft) -> Draft:
    """Weight decay that takes part of what is learned away."""
    return _decayed(draft, 0.035 * draft.dose)


def _decayed(draft: Draft, shrink: float) -> Draft:
    """Weights shrink by this share a step (less of it with SGD, whose momentum does the rest)."""
    share = shrink if draft.recipe.optimizer == "adamw" else shrink / 16
    decay = share / draft.recipe.learning_rate
    return draft.but(schedule="const", weight_decay=decay, batch_norm=False)
