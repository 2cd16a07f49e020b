"""A rank whose loss drifts off that of the others, where each has the loss of its own data."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from traintop.detectors.layers import Mask
from traintop.detectors.rank_rounds import Round
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

    A loss that is not finite, where those of others are, is an infinite distance.

    Args:
        share: Change of the distance, as share of the loss.
        errors: The same in standard errors of a block's median.
    """

    def __init__(self, share: float, errors: float) -> None:
        self.judged = False
        self._share = share
        self._errors = errors
        self._block: list[Floats] = []
        self._levels: list[float] = []
        self._first = 0
        self._past: list[Floats] = []
        self._row = 0
        self._onset = 0

    def add(self, found: Round) -> Drifted | None:
        """Take a round; return the ranks that have drifted off, once a block says so."""
        losses = found.values("loss/train")
        finite = np.isfinite(losses)
        if not finite.any() or len(losses) < found.expected:
            return None
        size = max(found.ranks) + 1
        if self._past and len(self._past[0]) != size:
            self._past, self._block, self._levels = [], [], []
        if not self._block:
            self._first = found.step
        middle = float(np.median(losses[finite]))
        row = np.full(size, np.nan)
        row[list(found.ranks)] = np.where(finite, losses - middle, np.inf)
        if self._block and len(self._block[0]) != size:
            self._block, self._levels = [], []
        self._block.append(row)
        self._levels.append(abs(middle))
        if len(self._block) < BLOCK:
            return None
        block, level = np.array(self._block), float(np.median(self._levels))
        self._block, self._levels = [], []
        return self._judge(block, level)

    def _judge(self, block: Floats, level: float) -> Drifted | None:
        distance = np.median(block, axis=0)
        if len(self._past) < PAST:
            self._past.append(distance)
            return None
        self.judged = True
        usual = np.median(np.array(self._past), axis=0)
        with np.errstate(invalid="ignore"):
            spread = MAD_TO_SIGMA * np.median(np.abs(block - distance), axis=0)
            change = np.abs(distance - usual)
            error = 1.2533 * spread / np.sqrt(BLOCK)
        error = np.where(np.isfinite(error), error, 0.0)
        off = change > np.maximum(self._share * level, self._errors * error)
        if not off.any():
            self._row = 0
            self._past = [*self._past[1:], distance]
            return None
        if not self._row:
            self._onset = self._first
        self._row += 1
        if self._row < ROW:
            return None
        worst = float(np.max(change[off]))
        return Drifted(off, self._onset, worst / level if level else np.inf)
