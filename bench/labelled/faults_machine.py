"""Faults of the machine and of its 16-bit numbers."""

from __future__ import annotations

from bench.labelled.draft import Draft


def overflow_forward(draft: Draft) -> Draft:
    """From some step on the forward pass overflows 16 bits."""
    return draft.event("overflow_forward", amp=True)


def overflow_gradients(draft: Draft) -> Draft:
    """From some step on gradients are so large that the loss scale falls and falls."""
    return draft.event("overflow_gradients", amp=True, event_factor=1e8)


def overflow_sometimes(draft: Draft) -> Draft:
    """Many batches overflow, all along."""
    share = min(draft.uniform(0.12, 0.2) * draft.dose, 0.4)
    return draft.but(amp=True, overflow_share=share, scale_growth=12)


def memory_leak(draft: Draft) -> Draft:
    """Something is kept of every step."""
    return _leaking(draft, 0.25, 0.6)


def memory_leak_slow(draft: Draft) -> Draft:
    """A little is kept of every step."""
    return _leaking(draft, 0.09, 0.16)


def _leaking(draft: Draft, low: float, high: float) -> Draft:
    """Memory that would grow by such a share of itself in a whole run."""
    onset = draft.step(0.2, 0.4)
    return draft.but(onset=onset, leak=draft.uniform(low, high) / draft.recipe.steps)


def throughput_drop(draft: Draft) -> Draft:
    """Half as fast from some step on."""
    return draft.but(onset=draft.step(0.25, 0.6), slowdown=draft.uniform(0.4, 0.65))


def throughput_drop_small(draft: Draft) -> Draft:
    """A fifth slower from some step on."""
    return draft.but(onset=draft.step(0.25, 0.6), slowdown=draft.uniform(0.75, 0.83))
