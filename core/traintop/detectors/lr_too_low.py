"""Learning rate too low: the loss does fall, but the planned steps are too short to get there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.guessing import guessing_loss
from traintop.detectors.step_size import USUAL_UPDATE, usual_lr
from traintop.records import Cause, Evidence, NotJudged, Row

LONG = 64
"""Losses whose later half makes a trend."""


class LrTooLowThresholds(Thresholds, frozen=True):
    """Thresholds of `lr_too_low`.

    An update over the weights that is small says little by itself (DeepDiagnosis flags 1e-5,
    TheDeepChecker 1e-4): wide networks learn with small ones, and long runs have time. So what
    counts is how far the weights can travel in all the steps that are planned.
    """

    travel: float = 0.25
    """Sum of the updates over the weights in all planned steps, in norms of the weights, up to
    which a run from scratch is suspected: an upper bound, as if all steps went the same way."""
    travel_soon: float = 0.05
    """The same for saying it at once: weights that move by a twentieth stay what they are."""
    share: float = 0.12
    """Share of the planned steps that must be done where the travel is not that small."""
    end: float = 0.5
    """Share of the starting loss that the loss will not get below, its trend so far and 2 standard
    errors continued to the last planned step."""
    untouched: float = 0.7
    """Share of the starting loss below which the run has learnt: nothing is said."""
    scratch: float = 0.9
    """A first loss below this share of guessing, ln(classes), is one of pre-trained weights."""
    above: float = 1.5
    """A first loss above this multiple of guessing is one of a bad initialisation."""
    cosine: float = 0.15
    """Mean cosine of successive gradients, less 2 standard errors: batch after batch they point
    the same way, so that it is the step that is too short. Where there is no gradient to speak of
    (dead units), or only noise, it is about 0."""
    cosine_sure: float = 0.35
    """The same that leaves no doubt. Where guessing is not known it takes this much: the gradients
    of fine-tuning are mostly noise after its first steps. With it a travel of `travel_soon` needs
    no trend of the loss, ..."""
    travel_crawling: float = 0.15
    """... nor does this travel after `share_crawling` of the planned steps: the gradients of a
    quarter of the run have all asked for more."""
    share_crawling: float = 0.25
    """See `travel_crawling`."""
    trend_z: float = -3.0
    """Where no cosine is known: Mann-Kendall z-score of a loss that falls for sure."""
    records: float = 31
    """Least number of records."""
    records_averaged: float = 3
    """The same where a record is a mean over many steps."""
    records_without_plan: float = 100
    """The same where the number of planned steps is not known ..."""
    horizon: float = 10.0
    """... and ten times the steps so far are taken for the plan."""


class LrTooLow(Detector[LrTooLowThresholds]):
    """Tiny updates that all point downhill, and an end of the plan long before the valley.

    Only where the run starts from scratch, at the loss of guessing: fine-tuning has small updates
    by design. Where that loss is not known it is advice, unless the gradients were measured to
    point the same way for certain.
    """

    id = "lr_too_low"
    title = "Learning rate too low"
    needs = "training loss and the update over the weights"
    record = "Recorder(model, optimizer, planned_steps=...), or write the key weight_update"
    thresholds_type: ClassVar[type[Thresholds]] = LrTooLowThresholds
    reads_loss_level = True

    def __init__(self, context: Context, thresholds: LrTooLowThresholds) -> None:
        super().__init__(context, thresholds)
        self._first_step = 0
        self._last_step = -1
        self._cosines = 0
        self._cosine_sum = 0.0
        self._cosine_squares = 0.0
        self._travelled = 0.0
        self._judged = False
        self._is_over = False

    def on_block(self, rows: Sequence[Row]) -> Findings:
        """Add up the travel and judge it with the trend of the loss."""
        if self._is_over:
            return ()
        context = self.context
        median = context.updates.median
        if median != median:
            return ()
        step = rows[-1].step
        if self._last_step < 0:
            self._first_step = self._last_step = rows[0].step
        self._travelled += median * max(0, step - self._last_step)
        self._last_step = step
        if self._travelled > self.thresholds.travel and self.current is None:
            # Nothing that comes can shorten the way that lies behind.
            self._is_over = True
            self._judged = True
            return ()
        for row in rows:
            cosine = row.values.get("grad_cos")
            if cosine is not None and -1.0 <= cosine <= 1.0:
                self._cosines += 1
                self._cosine_sum += cosine
                self._cosine_squares += cosine * cosine
        return self._judge() if self.current is None else self._judge_open()

    def not_judged(self) -> NotJudged | None:
        """A run without updates or training loss, or one that has just begun."""
        return None if self._judged else self.missing()

    def _judge(self) -> Findings:
        context = self.context
        thresholds = self.thresholds
        loss = context.loss
        remaining = self._remaining()
        if remaining is None or context.warming_up or loss.harmed:
            return ()
        self._judged = True
        way = self._travelled + context.updates.median * remaining
        if way > thresholds.travel or not self._begins_from_scratch():
            return ()
        start = loss.start
        if not loss.level > thresholds.untouched * start > 0:
            return ()
        # NaN where no plan is known, and the number of records is what counts.
        if way > thresholds.travel_soon and context.share_done < thresholds.share:
            return ()
        cosine = self._cosine()
        slope, error, trend = self._trend()
        points_down = cosine > thresholds.cosine if cosine == cosine else trend < thresholds.trend_z
        if not points_down:
            return ()
        fall = (2.0 * error - slope) * remaining
        end = (loss.level - fall) / start
        if not (end > thresholds.end or self._crawls(way, cosine)):
            return ()
        median = context.updates.median
        step = context.last_step
        evidence = [
            Evidence(
                what="way of the weights in all planned steps, at most, in norms of the weights",
                value=way,
                threshold=thresholds.travel,
                step=step,
            ),
            Evidence(what="median update over the weights", value=median, step=step),
            Evidence(
                what="least loss at the last planned step by the trend, over the starting loss",
                value=end,
                threshold=thresholds.end,
                step=step,
            ),
        ]
        if cosine == cosine:
            evidence.append(
                Evidence(
                    what="mean cosine of successive gradients, at least",
                    value=cosine,
                    threshold=thresholds.cosine,
                    step=step,
                )
            )
        # Where guessing is not known, fine-tuning that goes well looks the same.
        is_known = guessing_loss(context.info) > 0 or cosine > thresholds.cosine_sure
        fix = usual_lr(context, median, lower=False)
        return self.open(
            "warning" if is_known else "info",
            self._first_step,
            evidence,
            series=("loss/train", "update_ratio"),
            causes=(self._cause(median, cosine),),
            next=(self.next_test("LR range test", "lr_find", step),),
            fixes=() if fix is None else (fix,),
        )

    def _crawls(self, way: float, cosine: float) -> bool:
        """Whether the steps are too short whatever the loss does, which noise may hide for long."""
        context = self.context
        thresholds = self.thresholds
        if not cosine > thresholds.cosine_sure or not (
            guessing_loss(context.info) > 0 or context.info.task == "regression"
        ):
            return False
        return way < thresholds.travel_soon or (
            way < thresholds.travel_crawling and context.share_done >= thresholds.share_crawling
        )

    def _begins_from_scratch(self) -> bool:
        """Near the loss of guessing, neither of trained weights nor of far too large ones."""
        context = self.context
        guessing = guessing_loss(context.info)
        if context.info.pretrained:
            return False
        if guessing != guessing:
            return True
        thresholds = self.thresholds
        return thresholds.scratch * guessing <= context.loss.first <= thresholds.above * guessing

    def _judge_open(self) -> Findings:
        """Over when the loss has fallen after all, or the steps have become larger."""
        context = self.context
        way = context.updates.median * (self._remaining() or 0.0)
        if (
            context.loss.level < self.thresholds.end * context.loss.start
            or way > 2.0 * self.thresholds.travel
        ):
            self._is_over = True
            return self.resolve(context.last_step)
        return ()

    def _remaining(self) -> float | None:
        """Steps to the end of the plan; None while it is too early to say anything."""
        context = self.context
        thresholds = self.thresholds
        planned = context.info.planned_steps
        count = context.loss.count
        if context.averaged:
            needed = thresholds.records_averaged
        else:
            needed = thresholds.records if planned else thresholds.records_without_plan
        if count < needed:
            return None
        if planned:
            return max(0.0, planned - context.last_step)
        return (thresholds.horizon - 1.0) * (context.last_step - self._first_step)

    def _cosine(self) -> float:
        """The mean cosine less 2 standard errors; NaN where too few are known."""
        count = self._cosines
        if count < 3:
            return math.nan
        mean = self._cosine_sum / count
        variance = max(0.0, self._cosine_squares / count - mean * mean)
        return mean - 2.0 * math.sqrt(variance / (count - 1))

    def _trend(self) -> tuple[float, float, float]:
        """Slope of the loss, a step, its standard error, and the z-score of its trend."""
        context = self.context
        loss = context.loss
        # The later half, where there is enough of it: the first slope may be that of a bias.
        done = context.last_step - self._first_step
        since = self._first_step + (done // 2 if loss.count >= LONG else 0)
        stretch = context.trend.since(since, loss.noise)
        if stretch is not None:
            return stretch.slope, stretch.slope_error, stretch.trend
        # A few means of many steps each: their noise is small, two of them make a line.
        length = max(1, context.last_step - context.trend.first_step)
        error = math.sqrt(2.0) * loss.noise
        fall = loss.last - loss.first
        return fall / length, error / length, fall / error if error else 0.0

    def _cause(self, median: float, cosine: float) -> Cause:
        lr = self.context.lr
        words = f"lr is {lr:.3g} and a step" if lr == lr else "a step"
        though = "the gradients point the same way" if cosine == cosine else "the loss falls on"
        return Cause(
            cause="learning rate too low",
            because=f"{words} moves the weights by {median:.2g} of their norm, where "
            f"{USUAL_UPDATE:g} is usual, though {though}",
            basis="measured",
        )
