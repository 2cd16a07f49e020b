"""Whether frozen layers look like a choice, as in fine-tuning, or like a mistake."""

from __future__ import annotations

import numpy as np

from traintop.detectors.context import Context
from traintop.detectors.layers import Mask

ADAPTERS = ("lora", "adapter", "ia3", "prefix_enc", "prompt")
"""Parts of names that parameter-efficient fine-tuning (PEFT and its like) gives what it trains."""

POSITIONS = ("wpe", "position", "pos_emb", "pos_enc")
NORMS = ("norm", "bn", "ln_")
"""Parts of names of what is often fixed on purpose: tables of sines for positions, norm layers.
Word embeddings are not among them: fixed at random values they cost much, and where they came
trained the run can say so (`pretrained`)."""


def is_named(names: tuple[str, ...], parts: tuple[str, ...]) -> Mask:
    """Which names have one of these parts; shape (layers,)."""
    return np.array([any(part in name.lower() for part in parts) for name in names], bool)


def why_chosen(
    context: Context, frozen: Mask, numel: tuple[int, ...], *, body: float, start: float
) -> str | None:
    """The reason to take frozen layers for a choice; None where nothing speaks for one.

    Args:
        context: What is known of the run.
        frozen: Which layers do not train, shape (layers,).
        numel: Their sizes, or empty where they are not known.
        body: Share of all weights from which on what trains beside them is only a head.
        start: Share of the loss of guessing below which a first loss is that of a trained model.
    """
    names = context.layers.names.names
    if context.info.pretrained:
        return "the model is pretrained"
    if is_named(names, ADAPTERS)[~frozen].any():
        return "adapters are trained"
    fixed = is_named(names, POSITIONS) | is_named(names, NORMS)
    if bool(fixed[frozen].all()):
        return "only positions or norm layers are"
    loss = context.loss
    if loss.first < start * loss.chance:
        return f"the loss began at {loss.first:.3g}, as that of a trained model"
    sizes = np.array(numel if len(numel) == len(frozen) else [1] * len(frozen), float)
    first_trained = int(np.argmin(frozen))
    is_body = bool(frozen[:first_trained].any() and not frozen[first_trained:].any())
    if is_body and sizes[frozen].sum() >= body * sizes.sum():
        return "all but the head is"
    return None
