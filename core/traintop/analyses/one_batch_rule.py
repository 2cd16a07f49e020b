"""The one-batch test without its loop: the samples, when it is fitted, how it failed. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Literal

NEAR_ZERO = 0.05
"""Share of the initial loss that is near zero. Sequences that begin alike go on differently, which
no model can tell: among 8 sequences of 16 tokens up to ln(8) / 16, some 3 % of what a vocabulary of
50 begins with. A network that does not see its input keeps the entropy of the labels, 40 % or more
of the initial loss as soon as classes are mixed."""
NEARER = 0.2
"""Share of what is near zero at which the test is over at once; it is pursued for `EXTRA_STEPS`."""
EXTRA_STEPS = 50
NEAR_ZERO_NATS = 0.01
"""Cross-entropy at which the right class has a probability of 0.99; for weights already trained."""
LITTLE = 0.1
"""A loss that has fallen by less than this share of the initial one has not been learned from."""
ROSE = 2.0
"""A loss this many times the initial one is no chance: that of `lr_curve.EDGE_RATIO`."""
STILL_FALLING = 0.05
"""Share by which the last fifth of the steps must have lowered the loss to be worth more steps."""

Course = Literal["fitted", "not_finite", "rose", "flat", "falling", "stuck"]


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What one optimizer has made of the batch."""

    optimizer: str
    lr: float
    losses: list[float]
    """That before any step, then that after each; shape (steps + 1,)."""
    near: float
    """The loss at which it counts as fitted."""
    course: Course
    moved: bool
    """Whether any weight has changed."""
    without_gradient: list[str]
    """Parameters to which the first step brought none, or only zeros."""

    @property
    def steps(self) -> int:
        """Steps taken."""
        return len(self.losses) - 1


def spread(labels: Sequence[int], samples: int) -> list[int]:
    """Indexes of samples that take turns among the classes: one class alone proves nothing."""
    by_class: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        by_class.setdefault(label, []).append(index)
    turns = chain.from_iterable(zip_longest(*by_class.values()))
    return sorted(index for index in list(_known(turns))[:samples])


def _known(turns: chain[int | None]) -> list[int]:
    return [index for index in turns if index is not None]


def entropy(labels: Sequence[int]) -> float:
    """The entropy of labels in nats: the least cross-entropy of a model that sees no input."""
    shares = [times / len(labels) for times in Counter(labels).values()]
    return -sum(share * math.log(share) for share in shares)


def goal(initial: float, entropy: float | None = None) -> float:
    """The loss at which the batch counts as fitted.

    Args:
        initial: The loss before any step. One that is not above zero (a log density has no least
            value) must fall by as much as it was, and by 1 at least.
        entropy: Of the labels, where they are classes and the loss is so many nats. A bad start,
            far above it, must not make the test an easy one.
    """
    if initial <= 0:
        return initial - max(-initial, 1.0)
    if entropy is None:
        return NEAR_ZERO * initial
    return max(NEAR_ZERO * min(initial, entropy), NEAR_ZERO_NATS)


def over(losses: Sequence[float], near: float) -> bool:
    """Whether more steps would tell no more."""
    if not math.isfinite(losses[-1]) or losses[-1] <= min(NEARER * near, near):
        return True
    reached = next((step for step, loss in enumerate(losses) if loss <= near), len(losses))
    return len(losses) > reached + EXTRA_STEPS


def course(losses: Sequence[float], near: float) -> Course:
    """What became of the loss; the first is that before any step."""
    first, last = losses[0], losses[-1]
    if not all(map(math.isfinite, losses)):
        return "not_finite"
    if min(losses) <= near:
        return "fitted"
    scale = abs(first) or 1.0
    if last > first + (ROSE - 1) * scale:
        return "rose"
    if first - last < LITTLE * scale:
        # Steps that are too long throw the loss up and down, those that are too short do neither.
        return "rose" if max(losses) > first + (ROSE - 1) * scale else "flat"
    before = min(losses[: max(len(losses) * 4 // 5, 1)])
    return "falling" if before - last > STILL_FALLING * abs(before) else "stuck"
