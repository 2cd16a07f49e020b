"""Masked NaN: a loss that prints as a number while the training behind it is NaN."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.switched_off import GradientNorm
from traintop.detectors.windows import window_size
from traintop.records import Cause, Evidence, NotJudged, Row


class MaskedNanThresholds(Thresholds, frozen=True):
    """Thresholds of `masked_nan`."""

    in_a_row: float = 5
    """Records in a row with a loss of exactly 0 (trainproof), or with a gradient norm that is not
    finite beside a finite loss."""
    before: float = 15
    """Losses before the first 0 that are the past."""
    of_start: float = 0.05
    """Share of the starting loss that the least of those must exceed: a loss that fell to 0, by
    learning or by rounding to 4 digits, comes by small values."""


class MaskedNan(Detector[MaskedNanThresholds]):
    """A loss that drops to exactly 0, or stays finite beside a gradient norm that does not.

    Loggers that leave NaN losses out of their mean (`logging_nan_inf_filter` of transformers, on by
    default) print 0 or a mean of what is left. A finite gradient norm above 0 proves a loss of 0
    real.
    """

    id = "masked_nan"
    title = "The logged loss hides a NaN"
    needs = "training loss from the start, better with the gradient norm beside it"
    record = "recorder.step(loss=loss) with the loss of the step, unfiltered; in transformers "
    record += "logging_nan_inf_filter=False"
    thresholds_type: ClassVar[type[Thresholds]] = MaskedNanThresholds

    def __init__(self, context: Context, thresholds: MaskedNanThresholds) -> None:
        super().__init__(context, thresholds)
        self._past: deque[float] = deque(maxlen=window_size(thresholds.before))
        self._zeros = 0
        self._beside = 0
        self._since = 0
        self._norm = GradientNorm()

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Look for a loss that can not be one."""
        found: Findings = ()
        for row in rows:
            values = row.values
            loss = values.get("loss/train")
            norm = values.get("grad_norm")
            if loss is None or loss - loss != 0.0:
                continue
            bad_norm = norm is not None and norm - norm != 0.0
            if norm is not None and not bad_norm:
                self._norm.seen = True
            elif norm is not None and self.context.info.amp is None:
                bad_norm = not self._norm.is_off(norm, loss)
            if bad_norm or loss == 0.0:
                found = self._suspect(row, loss, norm, bad_norm=bad_norm) or found
            else:
                self._past.append(loss)
                self._zeros = self._beside = 0
                if self.current is not None:
                    found = self.resolve(row.step)
        return found

    def not_judged(self) -> NotJudged | None:
        """A run without a training loss."""
        return None if self.context.loss.count else self.missing()

    def _suspect(self, row: Row, loss: float, norm: float | None, *, bad_norm: bool) -> Findings:
        if row.values.get("skipped_step"):
            return ()
        if not self._zeros + self._beside:
            self._since = row.step
        if bad_norm:
            self._beside += 1
            # A scaler that skips without saying so shows in its scale, for `amp_overflow`.
            if row.values.get("loss_scale", 1.0) != 1.0:
                return ()
        elif norm is not None and norm > 0.0:
            self._zeros = 0
            return ()
        self._zeros += loss == 0.0
        if self.current is not None:
            return ()
        if self._beside >= self.thresholds.in_a_row:
            return self._open(row, "a gradient norm that is not finite beside it", self._beside)
        if self._zeros >= self.thresholds.in_a_row and self._fell_at_once():
            return self._open(row, "a loss of exactly 0", self._zeros)
        return ()

    def _fell_at_once(self) -> bool:
        least = min(self._past, default=0.0)
        return least > self.thresholds.of_start * abs(self.context.loss.start)

    def _open(self, row: Row, what: str, count: int) -> Findings:
        least = min(self._past, default=math.nan)
        limit = self.thresholds.in_a_row
        found = [
            Evidence(
                what=f"records in a row with {what}",
                value=float(count),
                threshold=limit,
                step=row.step,
            ),
            Evidence(what="logged loss", value=row.values["loss/train"], step=row.step),
        ]
        if least == least:
            what = f"least of the last {len(self._past)} losses before"
            share = self.thresholds.of_start * abs(self.context.loss.start)
            found.append(Evidence(what=what, value=least, threshold=share))
        because = f"{count} records in a row since step {self._since}, and no small losses before"
        if self._beside:
            because = f"{self._beside} gradient norms in a row since step {self._since} were not "
            because += "finite, which a finite loss does not have"
        return self.open(
            "critical",
            self._since,
            found,
            title=f"The logged loss hides a NaN since step {self._since}",
            series=("loss/train", "grad_norm") if self._beside else ("loss/train",),
            causes=(Cause(cause="the logger leaves NaN losses out of its mean", because=because),),
            next=(self.next_test("Find the first module with a NaN", "nan_source", self._since),),
            fixes=(
                "log the loss of the step as it is (transformers: logging_nan_inf_filter=False)",
                f"resume from a checkpoint before step {self._since}: later weights may be NaN",
            ),
        )
