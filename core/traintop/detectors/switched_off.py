"""NaN that is no fault: what is never computed, or not with each record, is logged as NaN too."""

from __future__ import annotations

LONE = 10.0
"""Records for which NaN after a lone finite evaluation may mean that none was made: one in ten
epochs is a rare cadence, and no published figure is known."""


class GradientNorm:
    """Tells a gradient norm that is not computed from one that has turned NaN.

    A loss that goes on moving proves the gradients real: after one update by NaN there are no
    weights to move it. A norm that was a number before, and a loss that is 0 or stands still as
    loggers print it that leave NaN out, are no such case.
    """

    def __init__(self) -> None:
        self.seen = False
        """Whether it was ever a number."""
        self._loss: float | None = None

    def is_off(self, norm: float, loss: float) -> bool:
        """Tell of a record whose norm is not finite beside a loss that is."""
        before, self._loss = self._loss, loss
        return norm != norm and not self.seen and loss != 0.0 and loss != before


class Evaluations:
    """Tells evaluations that were not made, in a column that holds NaN then, from bad ones.

    A validation loss that was never a number has no data, or is switched off. One that stands in
    the training records and is made with every so many of them has gaps, and a gap no longer than
    those before it is none to speak of.
    """

    def __init__(self) -> None:
        self._count = 0
        self._finite = 0
        self._in_a_row = 0
        self._most_in_a_row = 0
        self._gap = 0
        self._longest_gap = 0

    def finite(self) -> None:
        """Take a validation loss that is a number."""
        self._count += 1
        self._finite += 1
        self._in_a_row += 1
        self._most_in_a_row = max(self._most_in_a_row, self._in_a_row)
        if self._finite > 1:
            self._longest_gap = max(self._longest_gap, self._gap)
        self._gap = 0

    def was_made(self, records: int) -> bool:
        """Take one that is NaN, and tell whether it was an evaluation all the same.

        Args:
            records: Training records so far; where they are many more, each evaluation was made.
        """
        self._count += 1
        self._in_a_row = 0
        self._gap += 1
        if not self._finite:
            return False
        if 2 * self._count < records:
            return True
        unknown = self._most_in_a_row < 2 and self._finite < 3
        return self._gap > max(self._longest_gap, LONE if unknown else 0)
