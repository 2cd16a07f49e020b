"""Mixed-precision overflow: the loss scaler skips steps for good, not only to find its scale."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.records import Cause, Evidence, NotJudged, Row


class AmpOverflowThresholds(Thresholds, frozen=True):
    """Thresholds of `amp_overflow`.

    A scaler doubles its scale (every 2000 steps in PyTorch) until a step overflows, so that single
    skipped steps, and a dozen in a row at the start, are its normal search.
    """

    after: float = 20
    """First records that are not judged: the search from 2^16 downwards needs up to 16 steps."""
    search: float = 40
    """The same while not one step was taken: some scalers start at 2^32 (Megatron-LM)."""
    in_a_row: float = 4
    """Skipped records in a row. A scale that was too large by the usual doubling needs 1; a
    prototype's value."""
    window: float = 40
    """Records over which skipped ones are counted ..."""
    skipped: float = 5
    """... and how many of them are more than a search: 12.5 %, a prototype's value."""
    lowest_scale: float = 1.0
    """A scale below this no longer scales but shrinks the gradients: it has collapsed."""
    halvings: float = 8
    """Halvings without a rise after the search (Megatron-LM's logs of collapsing runs)."""
    recovered: float = 2
    """Skipped records in the window at which the episode is over."""


class AmpOverflow(Detector[AmpOverflowThresholds]):
    """Skipped steps in a row, or too large a share of them, or a loss scale that collapses.

    Where mixed precision is declared and the scaler says nothing, a record whose loss is finite and
    whose gradient norm is not stands for a skipped step.
    """

    id = "amp_overflow"
    title = "Mixed precision overflows: the loss scaler keeps skipping steps"
    needs = "the loss scale, or which steps the loss scaler skipped"
    record = "pass the scaler to the recorder: Recorder(model, optimizer, scaler=scaler); or write "
    record += "the keys `loss_scale` and `skipped_step`"
    thresholds_type: ClassVar[type[Thresholds]] = AmpOverflowThresholds

    def __init__(self, context: Context, thresholds: AmpOverflowThresholds) -> None:
        super().__init__(context, thresholds)
        # Of each skipped record in the window: its number, its step and the share skipped.
        self._skips: deque[tuple[int, int, float]] = deque()
        self._seen = 0
        self._in_a_row = 0
        self._row_step = 0
        self._taken = False
        self._scale = math.nan
        self._highest = 0.0
        self._top = 0.0
        self._good_scale = math.nan
        self._bad_losses = 0

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Count the skipped steps."""
        values = rows[-1].values
        told = "loss_scale" in values or "skipped_step" in values
        # With mixed precision a finite loss beside a norm that is not finite is a skipped step.
        if not told and not (self.context.info.amp and "grad_norm" in values):
            return ()
        if self._taken and not self._skips and self.current is None and self._all_taken(rows):
            return ()
        found: Findings = ()
        for row in rows:
            self._add(row)
            found = self._judge(row.step) or found
        return found

    def not_judged(self) -> NotJudged | None:
        """A run with mixed precision, or one that does not say, without the scaler's state."""
        return None if self._seen or self.context.info.amp is False else self.missing()

    def _all_taken(self, rows: Sequence[Row]) -> bool:
        """Whether nothing happened in a block, as in nearly all: then its records are counted."""
        scale = self._scale
        for row in rows:
            values = row.values
            if values.get("skipped_step") != 0.0 or values.get("loss_scale", scale) != scale:
                return False
        self._seen += len(rows)
        self._in_a_row = 0
        return True

    def _add(self, row: Row) -> None:
        scale = row.values.get("loss_scale", math.nan)
        skipped = row.values.get("skipped_step")
        if skipped is None and scale != scale:
            norm, loss = row.values.get("grad_norm", 0.0), row.values.get("loss/train", math.nan)
            skipped = float(norm - norm != 0.0 and loss - loss == 0.0)
        elif skipped is None:
            # A scaler lowers its scale when, and only when, it skips a step.
            skipped = float(scale < self._scale)
        elif skipped != skipped:
            skipped = 0.0
        self._seen += 1
        if scale - scale == 0.0:
            # The highest scale since it last rose: what halvings are counted from.
            self._top = scale if scale > self._scale or not self._top else self._top
            self._scale = scale
            self._highest = max(self._highest, scale)
        if skipped > 0.5:
            if not self._in_a_row:
                self._row_step = row.step
            self._in_a_row += 1
            loss = row.values.get("loss/train", 0.0)
            self._bad_losses += loss - loss != 0.0
        else:
            self._in_a_row = 0
            self._taken = True
            self._good_scale = self._scale
        if not self._judging():
            self._top = self._scale
        elif skipped > 0.0:
            self._skips.append((self._seen, row.step, skipped))
        while self._skips and self._skips[0][0] <= self._seen - self.thresholds.window:
            self._skips.popleft()

    def _judging(self) -> bool:
        thresholds = self.thresholds
        searching = not self._taken and not self._scale < thresholds.lowest_scale
        return self._seen > (thresholds.search if searching else thresholds.after)

    def _judge(self, step: int) -> Findings:
        thresholds = self.thresholds
        count = sum(share for _, _, share in self._skips)
        # What never was a scale of 2 or more is no loss scale: bfloat16 logs a constant 1.
        collapsed = self._scale < thresholds.lowest_scale and self._highest >= 2.0
        judging = self._judging()
        lost = judging and self._in_a_row >= thresholds.in_a_row
        fell = judging and 0.0 < self._scale * 2.0**thresholds.halvings <= self._top
        if not (lost or collapsed or fell or count > thresholds.skipped):
            if self.current is not None and count <= thresholds.recovered:
                return self.resolve(step, evidence=self._evidence(count, step))
            return ()
        critical = lost or collapsed
        if self.current is None:
            return self._open(step, count, critical=critical)
        if critical and self.current.severity == "warning":
            return self.update(severity="critical", evidence=self._evidence(count, step))
        return ()

    def _open(self, step: int, count: float, *, critical: bool) -> Findings:
        several = count > self.thresholds.skipped
        first = self._skips[0][1] if self._skips else step
        onset = self._row_step if self._in_a_row and not several else first
        return self.open(
            "critical" if critical else "warning",
            onset,
            self._evidence(count, step),
            series=("loss_scale", "skipped_step", "grad_norm"),
            causes=self._causes(onset),
            next=(
                self.next_test("Find the first module that overflows", "nan_source", onset),
                self.next_test("Gradient flow through the layers", "gradient_flow", onset),
            ),
            fixes=self._fixes(),
        )

    def _evidence(self, count: float, step: int) -> tuple[Evidence, ...]:
        thresholds = self.thresholds
        what = f"skipped of the last {thresholds.window:.0f} records"
        found = [
            Evidence(what=what, value=count, threshold=thresholds.skipped, step=step),
            Evidence(
                what="skipped records in a row",
                value=float(self._in_a_row),
                threshold=thresholds.in_a_row,
                step=step,
            ),
        ]
        if self._scale == self._scale:
            limit = thresholds.lowest_scale
            found.append(Evidence(what="loss scale", value=self._scale, threshold=limit, step=step))
        halvings = math.log2(self._top / self._scale) if 0.0 < self._scale <= self._top else 0.0
        if halvings >= thresholds.halvings:
            what, limit = "halvings of the loss scale without a rise", thresholds.halvings
            found.append(Evidence(what=what, value=halvings, threshold=limit, step=step))
        return tuple(found)

    def _causes(self, onset: int) -> tuple[Cause, ...]:
        context = self.context
        causes: list[Cause] = []
        rise = context.lr_rise(onset, within=round(max(50.0, 20 * context.stride)))
        if rise is not None:
            causes.append(rise)
        if context.loss.harmed:
            because = f"the smoothed loss rose from {context.loss.best:.3g} to "
            because += f"{context.loss.level:.3g} before"
            causes.append(Cause(cause="training diverged until it overflowed", because=because))
        if self._bad_losses:
            because = f"the loss itself was not finite in {self._bad_losses} skipped records, "
            because += "which no loss scale changes"
            cause = "the forward pass overflows in float16"
            causes.append(Cause(cause=cause, because=because, basis="measured"))
        elif self._in_a_row >= self.thresholds.in_a_row:
            because = (
                f"the loss was finite, and {self._in_a_row} steps in a row were skipped, each "
            )
            because += "time at a smaller scale"
            cause = "gradients overflow in float16 at any scale"
            causes.append(Cause(cause=cause, because=because))
        else:
            because = "skipped and taken steps alternate: the scale is raised again too soon"
            cause = "single batches whose gradients overflow in float16"
            causes.append(Cause(cause=cause, because=because))
        return tuple(causes)

    def _fixes(self) -> tuple[str, ...]:
        fixes = ["autocast to bfloat16, which has the range of float32 and needs no loss scaler"]
        if self._bad_losses:
            fixes.append(
                "run the module that `nan_source` names in float32: autocast(enabled=False)"
            )
        elif self._good_scale >= 2.0:
            scale = f"{self._good_scale / 2:g}"
            fixes.append(
                f"GradScaler(init_scale={scale}, growth_interval=10000): start at half of the last "
                "scale that worked, and raise it five times more rarely than the default 2000"
            )
        return tuple(fixes)
