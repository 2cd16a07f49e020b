"""Faults of the network: its size, its first weights, and what of it takes part."""

from __future__ import annotations

from bench.labelled.draft import Draft


def bad_init(draft: Draft) -> Draft:
    """All initial weights far too large."""
    gain = (draft.uniform(4, 6) if draft.bounded else draft.uniform(2, 3)) * draft.dose
    return draft.but(initial_gain=gain, batch_norm=False, dropout=0.0, clip=None)


def dead_relu(draft: Draft) -> Draft:
    """Biases of almost all units far below zero."""
    return _dead(draft, 0.96, 1.0)


def dead_relu_partial(draft: Draft) -> Draft:
    """Of four in five units."""
    return _dead(draft, 0.75, 0.9)


def dead_relu_two_thirds(draft: Draft) -> Draft:
    """Of two in three units."""
    return _dead(draft, 0.64, 0.7)


def _dead(draft: Draft, low: float, high: float) -> Draft:
    return draft.but(activation="relu", batch_norm=False, dead_share=draft.uniform(low, high))


def deep_sigmoid(draft: Draft) -> Draft:
    """Many sigmoid layers, each of which lets at most a quarter of the gradient through."""
    layers = int(draft.random.integers(6, 9))
    plain = draft.but(batch_norm=False, dropout=0.0, sigmoid_layers=layers)
    return plain.but(
        optimizer="sgd", learning_rate=0.03 if draft.is_text else 0.02, weight_decay=5e-4
    )


def detached(draft: Draft) -> Draft:
    """A branch whose output is cut off from the graph."""
    return draft.but(branch="detached")


def unused(draft: Draft) -> Draft:
    """A branch that the forward pass forgets."""
    return draft.but(branch="unused")


def eval_mode(draft: Draft) -> Draft:
    """Training in evaluation mode: dropout and batch norm do nothing."""
    return draft.but(eval_mode=True, batch_norm=not draft.is_text, dropout=0.1)


def frozen(draft: Draft) -> Draft:
    """The first half of the layers takes no gradient."""
    return draft.but(frozen="requires_grad")


def not_in_optimizer(draft: Draft) -> Draft:
    """A layer that the optimizer was never given."""
    return draft.but(frozen="not_in_optimizer", clip=None)


def one_small(draft: Draft) -> Draft:
    """The same of the smallest layer."""
    return draft.but(frozen="one_small", clip=None)


def underfit(draft: Draft) -> Draft:
    """One unit, or a language model of width 2, with time enough to learn all that it can."""
    tiny = draft.but(width=2 if draft.is_text else 1, depth=1, activation="tanh")
    plain = tiny.but(batch_norm=False, dropout=0.0, schedule="const")
    return plain.rate(3.0).longer(2.0)
