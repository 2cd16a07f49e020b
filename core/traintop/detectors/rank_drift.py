"""A rank whose loss drifts off that of the others, where each has the loss of its own data."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from traintop.detectors.layers import Mask
from traintop.detectors.rank_rounds import Round, side_by_side
from traintop.detectors.windows import MAD_TO_SIGMA
from traintop.records import Floats

BLOCK = 20
"""Rounds in a block, of which each rank's median distance from the others is taken."""

PAST = 3
"""Blocks that a rank's usual distance is the median of: its data may be harder from the start."""

ROW = 2
"""Blocks in a row."""


class Drifted(NamedTuple):
    """Ranks that have drifted off."""

    who: Mask
    """Shape (largest rank + 1,)."""
    onset: int
    change: float
    """Of the worst, as share of the loss."""


class RankDrift:
    """Keeps each rank's distance from the median of all ranks, block by block.

    The distance must change both as such and as share of the loss: a rank whose data is harder
    stays as far above a loss that falls, or stays above it in proportion. A loss that is not
    finite, where those of others are, is an infinite distance.

    Args:
        share: Change of the distance, as share of the loss.
        errors: The same in standard errors of a block's median.
    """

    def __init__(self, share: float, errors: float) -> None:
        self.judged = False
        self.calm = 0
        """Blocks in a row in which no rank was off."""
        self._share = share
        self._errors = errors
        self._block: list[Round] = []
        self._past: list[Floats] = []
        self._past_shares: list[Floats] = []
        self._row = 0
        self._onset = 0

    def add(self, found: Round) -> Drifted | None:
        """Take a round; return the ranks that have drifted off, once a block says so."""
        if len(found.ranks) < found.expected:
            return None
        self._block.append(found)
        if len(self._block) < BLOCK:
            return None
        block, self._block = self._block, []
        losses = side_by_side(block, "loss/train")
        finite = np.isfinite(losses)
        # Where no rank has a loss, or none a finite one, there is nothing to compare.
        known = finite.any(axis=1)
        if 2 * known.sum() <= BLOCK:
            return None
        losses, finite = losses[known], finite[known]
        middle = np.nanmedian(np.where(finite, losses, np.nan), axis=1)
        level = float(np.median(np.abs(middle)))
        distances = np.where(finite, losses - middle[:, None], np.inf)
        return self._judge(block[0].step, distances, level) if level > 0 else None

    def _judge(self, first: int, block: Floats, level: float) -> Drifted | None:
        distance = np.median(block, axis=0)
        if self._past and self._past[0].shape != distance.shape:
            self._past, self._past_shares = [], []
        if len(self._past) < PAST:
            self._past.append(distance)
            self._past_shares.append(distance / level)
            return None
        self.judged = True
        # An infinite distance less another one is no number, and no change.
        with np.errstate(invalid="ignore"):
            spread = MAD_TO_SIGMA * np.median(np.abs(block - distance), axis=0)
            change = np.abs(distance - np.median(self._past, axis=0))
            of_loss = np.abs(distance / level - np.median(self._past_shares, axis=0))
        error = 1.2533 * np.where(np.isfinite(spread), spread, 0.0) / math.sqrt(len(block))
        off = change > np.maximum(self._share * level, self._errors * error)
        off &= of_loss > self._share
        if not off.any():
            self._row = 0
            self.calm += 1
            self._past = [*self._past[1:], distance]
            self._past_shares = [*self._past_shares[1:], distance / level]
            return None
        if not self._row:
            self._onset = first
        self._row += 1
        self.calm = 0
        if self._row < ROW:
            return None
        return Drifted(off, self._onset, float(np.max(change[off])) / level)
