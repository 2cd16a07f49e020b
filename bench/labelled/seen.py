"""A run and its reference, looked at when all of both is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from bench.labelled.training import Outcome

Series = npt.NDArray[np.float64]


@dataclass
class Seen:
    """A run, looked at in hindsight.

    Attributes:
        run: The run.
        reference: The reference of its world; of a reference itself, none.
    """

    run: Outcome
    reference: Seen | None = None

    @cached_property
    def loss(self) -> Series:
        """Training loss of each batch."""
        return self.of("loss")

    @cached_property
    def val(self) -> Series:
        """Validation loss of each evaluation."""
        return np.array([each["loss"] for each in self.run.val])

    def of(self, key: str) -> Series:
        """A series of the training records, NaN where it was not recorded."""
        return np.array([each.get(key, math.nan) for each in self.run.train], dtype=float)

    def layers(self, key: str) -> Series:
        """A statistic of the layer records, shape (records, layers)."""
        return np.array([each[key] for each in self.run.layers], dtype=float)

    @property
    def start(self) -> float:
        """Loss of the first steps."""
        return float(self.loss[:3].mean())

    @property
    def end(self) -> float:
        """Training loss of the last tenth."""
        return float(np.median(self.loss[-max(5, len(self.loss) // 10) :]))

    @property
    def val_end(self) -> float:
        """Mean of the last three evaluations."""
        return float(self.val[-3:].mean())

    @property
    def ref(self) -> Seen:
        """The reference."""
        assert self.reference is not None
        return self.reference

    def learned_at(self, loss: float) -> float:
        """A validation loss as a share of the reference's progress."""
        baseline = self.ref.run.baseline
        return (baseline - loss) / (baseline - self.ref.val_end)

    @property
    def learned(self) -> float:
        """How far the run got; a loss that is not finite is no progress at all."""
        return self.learned_at(self.val_end) if math.isfinite(self.val_end) else -math.inf

    @property
    def rise(self) -> float:
        """How far validation ends above its lowest three evaluations in a row, as a share."""
        if len(self.val) < 4:
            return 0.0
        lowest = np.convolve(self.val, np.full(3, 1 / 3), "valid").min()
        return float(self.val_end / lowest - 1)

    @property
    def calm(self) -> bool:
        """Whether all is finite and validation does not rise."""
        finite = bool(np.isfinite(self.loss).all() and np.isfinite(self.val).all())
        return finite and (self.rise < 0.06 or self.rise * self.val_end < 0.015 * self.ref.start)
