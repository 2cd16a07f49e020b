"""The loss of guessing: the one absolute yardstick that a loss has, where the classes are known."""

from __future__ import annotations

import math

from traintop.records import RunInfo

LANGUAGE = frozenset({"language_modeling", "language_modelling", "language_model", "lm", "clm"})
"""Names of a task whose classes are tokens."""


def is_language(info: RunInfo) -> bool:
    """Whether the task is language modelling: its floor is the entropy of the text, not near 0."""
    return (info.task or "").lower() in LANGUAGE


def guessing_loss(info: RunInfo) -> float:
    """The cross-entropy of guessing, ln(classes) in nats; NaN where the classes are not known.

    A number of classes without a task is taken for that of a classifier.
    """
    classes = info.num_classes or 0
    known = info.task in (None, "classification") or is_language(info)
    return math.log(classes) if known and classes > 1 else math.nan
