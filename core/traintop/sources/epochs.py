"""Steps that rise over the whole run, also where the writer counts anew in each epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from traintop.records import Floats
from traintop.sources.keys import PER_EPOCH_KEYS

if TYPE_CHECKING:
    from numpy.typing import NDArray


class StepCounter:
    """Turns written counters into steps.

    A counter that falls while the epoch rises begins anew in each epoch (mmcv's `iter`): the
    length of an epoch is then the largest count met in it. What a validation counts is the length
    of the epoch too if the training could have come so far since its last record; else it counts
    batches of its own data, and stands at the last step of the training. A counter that falls
    otherwise is a run that was resumed or begun again, and is left as it is.
    """

    def __init__(self) -> None:
        self._last = math.nan  # the last count of training
        self._written = math.nan  # the last count written, of training or validation
        self._step = math.nan  # the last step
        self._epoch = math.nan
        self._starts: dict[float, float] = {}  # epoch -> the step that its count 0 stands for
        self._offset = 0.0
        self._longest = 0.0
        self._gap = math.nan  # between the last two counts of training
        self._falls = False
        self._first: float | None = None  # the first count, NaN where the first record had none

    @property
    def stands_alone(self) -> bool:
        """Whether the steps to come do not depend on those so far."""
        return not (self._falls and math.isfinite(self._epoch))

    def state(self) -> dict[str, Any]:
        """What was counted, in plain values."""
        return dict(vars(self))

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what was counted before."""
        vars(self).update(state)

    def join(self, older: StepCounter) -> bool:
        """Take in what was counted before; False if that would have changed the steps here."""
        if older._first is None:
            return True
        if self._first is None:
            vars(self).update(vars(older))
            return True
        if math.isnan(self._first):
            return False
        self._falls = self._falls or older._falls or self._first < older._last
        if math.isnan(self._epoch):
            self._epoch = older._epoch
        self._starts = older._starts | self._starts
        self._first = older._first
        return self.stands_alone

    def steps(
        self,
        written: Floats,
        epoch: Floats,
        tables: NDArray[np.int64],
        val: int,
        key: str,
    ) -> Floats:
        """The steps of records in file order.

        Args:
            written: Shape (n,), NaN where none was written: such a record stands at the last step.
            epoch: Shape (n,), NaN where unknown.
            tables: Shape (n,). Records of the table `val` are of validation. Records that turn out
                to be are moved to it in place.
            val: The table of validation records, negative if there is none.
            key: The name of the counter.

        Returns:
            Shape (n,).
        """
        counts = self._filled(written)
        self._written = float(counts[-1])
        if self._first is None:
            self._first = float(counts[0])
        before = np.concatenate(([self._last], counts[:-1]))
        per_epoch = key.lower() in PER_EPOCH_KEYS
        apart = per_epoch and val >= 0 and bool((tables == val).any())
        self._falls = self._falls or apart or bool((counts < before).any())
        if self._falls and (np.isfinite(epoch).any() or math.isfinite(self._epoch)):
            return self._one_by_one(counts, epoch, tables, val, per_epoch)
        finite = np.isfinite(epoch)
        if finite.any():
            for known in np.unique(np.floor(epoch[finite])).tolist():
                self._starts.setdefault(known, 0.0)
                self._epoch = known
        gaps = counts - before
        gaps = gaps[gaps > 0]
        if len(gaps):
            self._gap = float(gaps[-1])
        self._last = self._longest = self._step = float(counts[-1])
        return counts

    def _filled(self, written: Floats) -> Floats:
        gaps = np.isnan(written)
        if not gaps.any():
            return written
        last = np.maximum.accumulate(np.where(gaps, -1, np.arange(len(written))))
        return np.where(last < 0, self._written, written[np.maximum(last, 0)])

    def _one_by_one(
        self,
        counts: Floats,
        epochs: Floats,
        tables: NDArray[np.int64],
        val: int,
        per_epoch_key: bool,
    ) -> Floats:
        steps = np.empty(len(counts))
        for at, (count, written_epoch) in enumerate(
            zip(counts.tolist(), epochs.tolist(), strict=True)
        ):
            known = math.isfinite(written_epoch)
            epoch = math.floor(written_epoch) if known else self._epoch
            # mmengine writes the epoch as the step of a validation, and no epoch.
            if not known and 0 <= val != tables[at] and count == self._epoch and count < self._last:
                tables[at] = val
                steps[at] = self._step
                continue
            if tables[at] == val and per_epoch_key:
                steps[at] = self._step = self._end_of(epoch, count)
                continue
            before = self._last if epoch == self._epoch else 0.0
            self._gap = count - before if count > before else self._gap
            self._enter(epoch, count)
            self._longest = max(self._longest, count)
            self._last = count
            steps[at] = self._step = self._offset + count
        return steps

    def _end_of(self, epoch: float, count: float) -> float:
        """The step of a validation that says this count."""
        begun = math.isfinite(self._last)
        gap = self._gap if math.isfinite(self._gap) else self._last
        if begun and not self._last <= count < self._last + gap:
            return self._step
        self._longest = max(self._longest, count)
        step = self._starts.get(epoch, self._offset) + count
        return max(step, self._step) if begun else step

    def _enter(self, epoch: float, count: float) -> None:
        if epoch == self._epoch:
            return
        if epoch in self._starts:
            self._offset = self._starts[epoch]
        elif count < self._last and epoch > self._epoch:
            self._offset += self._longest
        self._starts[epoch] = self._offset
        self._epoch = epoch
        self._longest = 0.0
