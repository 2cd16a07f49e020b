"""Gradient clipping so tight that it sets the step size, and the run does not learn."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.loss_level import ABSURD
from traintop.detectors.windows import median, window_size
from traintop.records import Cause, Evidence, NotJudged, Row


class GradClipTooTightThresholds(Thresholds, frozen=True):
    """Thresholds of `grad_clip_too_tight`.

    No published value: fairseq prints the share of clipped steps, and recipes of language models
    clip most of them. With Adam a constant factor does nothing at all. Hence the consequence.
    """

    window: float = 32
    """Records that are judged."""
    clipped: float = 0.9
    """Share of them that is clipped (practice)."""
    ratio: float = 0.05
    """Median of what clipping leaves of a gradient; a prototype's value."""
    update: float = 1e-3
    """Median update over weights above which steps are large enough; a prototype's value, the usual
    aim."""
    little: float = 0.95
    """Share of the starting loss, or of that of guessing, that the loss is still above."""
    after: float = 0.06
    """Share of the planned steps within which little learning is no fault yet."""
    pace: float = 0.6
    """Share of the starting loss that the loss would still be above at the planned end, at the pace
    so far ..."""
    pace_after: float = 0.12
    """... said from this share of the planned steps on."""
    learns: float = 0.7
    """Share of the starting loss below which it is not said ..."""
    learnt: float = 0.5
    """... and below which it is over."""


class GradClipTooTight(Detector[GradClipTooTightThresholds]):
    """Nearly all gradients clipped to a small part: advice; a finding if the loss stands still."""

    id = "grad_clip_too_tight"
    title = "Gradient clipping is too tight"
    needs = "gradient norm before clipping, and the limit or the norm after it"
    record = "Recorder(model, optimizer, grad_clip=MAX_NORM), or write `grad_norm` from before and "
    record += "`grad_norm_clipped` from after clipping"
    thresholds_type: ClassVar[type[Thresholds]] = GradClipTooTightThresholds
    reads_loss_level = True

    def __init__(self, context: Context, thresholds: GradClipTooTightThresholds) -> None:
        super().__init__(context, thresholds)
        size = window_size(thresholds.window)
        self._norms: deque[float] = deque(maxlen=size)
        self._left: deque[float] = deque(maxlen=size)
        self._losses: deque[float] = deque(maxlen=size)
        self._start = math.nan
        self._limit = math.nan
        self._judged = False

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Compare the norms before and after clipping."""
        limit = self.context.info.grad_clip or math.nan
        if limit != limit and "grad_norm_clipped" not in rows[-1].values:
            return ()
        for row in rows:
            loss = row.values.get("loss/train", math.nan)
            if -ABSURD < loss < ABSURD:
                self._losses.append(loss)
            norm = row.values.get("grad_norm", math.nan)
            after = row.values.get("grad_norm_clipped", limit)
            if 0.0 < norm < math.inf and after == after:
                self._norms.append(norm)
                self._left.append(min(1.0, after / norm))
                self._limit = after if after < norm else self._limit
        context, thresholds = self.context, self.thresholds
        if len(self._norms) < thresholds.window or context.warming_up:
            return ()
        self._judged = True
        tight = median(self._left) < thresholds.ratio
        if self.current is None and not tight:
            return ()
        if sum(left < 1.0 for left in self._left) < thresholds.clipped * len(self._left):
            tight = False
        step = rows[-1].step
        share = self._share_left()
        if self.current is not None and (not tight or share < thresholds.learnt):
            return self.resolve(step)
        if not tight or share < thresholds.learns:
            return ()
        held_back = self._held_back()
        if self.current is None:
            return self._open(step, held_back=held_back)
        if held_back and self.current.severity == "info":
            return self.update(severity="warning", title=self.title, evidence=self._evidence(step))
        return ()

    def not_judged(self) -> NotJudged | None:
        """A run that clips, or one that does not say, without both norms."""
        return None if self._judged else self.missing()

    def _first_step(self, step: int) -> int:
        return max(0, round(step - (len(self._norms) - 1) * self.context.stride))

    def _share_left(self) -> float:
        """The median loss of the window over the start, NaN where that is not above 0.

        Where guessing is not known, the start is the median of the first full window: a single
        first loss is off by the noise, and in so many clipped steps nothing happens.
        """
        level = median(self._losses)
        if not self._start > 0.0:
            self._start = level
        start = self.context.loss.start if self.context.loss.chance > 0.0 else self._start
        return level / start if start > 0.0 else math.nan

    def _held_back(self) -> bool:
        """Whether steps are small, and the loss stands still or falls too slowly to get there."""
        context, thresholds = self.context, self.thresholds
        loss, update = context.loss, context.updates.median
        if update > thresholds.update or not loss.count:
            return False
        done = context.share_done
        share = self._share_left()
        # No plan: as many records as a short epoch, of a run that may have just begun.
        if not done > thresholds.after and not (done != done and context.records > 200):
            return False
        return share > thresholds.little or self._at_end(share) > thresholds.pace

    def _at_end(self, share: float) -> float:
        """The loss over its start at the planned end, at the pace so far; NaN where that is new."""
        done = self.context.share_done
        return 1.0 - (1.0 - share) / done if done > self.thresholds.pace_after else math.nan

    def _evidence(self, step: int) -> tuple[Evidence, ...]:
        thresholds = self.thresholds
        update, left = self.context.updates.median, self._share_left()
        found = [
            Evidence(
                what="median share of a gradient that clipping leaves",
                value=median(self._left),
                threshold=thresholds.ratio,
                step=step,
            ),
            Evidence(what="median gradient norm before clipping", value=median(self._norms)),
            Evidence(what="norm that gradients are clipped to", value=self._limit),
        ]
        if update == update:
            what = "median update over weights"
            found.append(Evidence(what=what, value=update, threshold=thresholds.update))
        if left == left:
            what = "median loss over its start"
            found.append(Evidence(what=what, value=left, threshold=thresholds.little, step=step))
        at_end = self._at_end(left)
        if at_end == at_end:
            what = "the same at the planned end, at the pace so far"
            found.append(Evidence(what=what, value=at_end, threshold=thresholds.pace))
        return tuple(found)

    def _open(self, step: int, *, held_back: bool) -> Findings:
        norm = median(self._norms)
        because = f"clipping at {self._limit:.3g} leaves {median(self._left):.2g} of a gradient "
        because += f"norm of {norm:.3g}, at nearly every step"
        lr = self.context.lr
        fixes = [f"clip at {norm:.2g}, the median norm, instead of {self._limit:.3g}"]
        if lr > 0.0:
            more = min(lr / median(self._left), 100.0 * lr)
            fixes.append(
                f"if the limit must stay: lr {lr:.3g} -> {more:.2g} (SGD; Adam cancels a constant "
                "factor)"
            )
        return self.open(
            "warning" if held_back else "info",
            self._first_step(step),
            self._evidence(step),
            title=self.title if held_back else "Clipping sets the step size",
            series=("grad_norm", "grad_norm_clipped"),
            causes=(
                Cause(cause="gradient clipping is too tight", because=because, basis="measured"),
            ),
            next=(
                self.next_test("LR range test without clipping", "lr_find", step),
                self.next_test("Gradient flow through the layers", "gradient_flow", step),
            ),
            fixes=tuple(fixes),
        )
