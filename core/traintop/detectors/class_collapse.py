"""Class collapse: the model predicts the commonest class whatever the input."""

from __future__ import annotations

import math
from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.evaluations import Evaluation
from traintop.records import Cause, Evidence, NextTest, NotJudged, Row


class ClassCollapseThresholds(Thresholds, frozen=True):
    """Thresholds of `class_collapse`; values are a prototype's."""

    majority: float = 0.97
    """Share of the predictions that are one class."""
    gap: float = 0.2
    """Accuracy less balanced accuracy: what the commonest class makes the accuracy look better."""
    guessing: float = 0.05
    """Where the predictions are not recorded: balanced accuracy above that of guessing, at most."""
    evaluations: float = 3
    """Evaluations in a row: a classifier of skewed classes begins with the commonest one."""
    least_share: float = 0.1
    """Share of the planned steps before which nothing is said."""
    evaluations_later: float = 2
    """Evaluations that are enough ..."""
    later: float = 0.2
    """... after this share of the planned steps."""


class ClassCollapse(Detector[ClassCollapseThresholds]):
    """A high accuracy that is one class, for several evaluations."""

    id = "class_collapse"
    title = "The model predicts one class only"
    needs = "accuracy, balanced accuracy, and the share of the commonest prediction or num_classes"
    record = "recorder.evaluate(accuracy=..., balanced_accuracy=..., majority_pred_fraction=...)"
    thresholds_type: ClassVar[type[Thresholds]] = ClassCollapseThresholds

    def __init__(self, context: Context, thresholds: ClassCollapseThresholds) -> None:
        super().__init__(context, thresholds)
        self._held = 0
        self._since = 0
        self._judged = False

    def on_eval(self, row: Row) -> Findings:
        """Compare accuracy and balanced accuracy."""
        last = self.context.evaluations.last
        if last is None or last.balanced_accuracy != last.balanced_accuracy:
            return ()
        if last.accuracy != last.accuracy:
            return ()
        # Without the share of the commonest prediction, guessing is the yardstick.
        known = last.majority == last.majority or bool(self.context.info.num_classes)
        self._judged = self._judged or known
        if not self._collapsed(last):
            self._held = 0
            return self.resolve(row.step) if self.current is not None else ()
        if not self._held:
            self._since = row.step
        self._held += 1
        if self.current is not None or self._held < self._needed:
            return ()
        share = last.accuracy
        return self.open(
            "warning",
            self._since,
            self._evidence(last),
            series=("accuracy/val", "balanced_accuracy"),
            causes=(
                Cause(
                    cause="classes of very different size",
                    because=f"{share:.1%} are right although one class is predicted throughout: "
                    "so many belong to it",
                    basis="measured",
                ),
            ),
            next=(
                NextTest(do="Count the labels of the training data", analysis="data"),
                self.next_test("Predictions per class", "predictions", row.step),
            ),
            fixes=self._fixes(last),
        )

    def not_judged(self) -> NotJudged | None:
        """A run whose evaluations have no balanced accuracy."""
        return None if self._judged else self.missing()

    @property
    def _needed(self) -> float:
        """Evaluations in a row that are enough by now."""
        thresholds = self.thresholds
        done = self.context.share_done
        if done < thresholds.least_share:
            return math.inf
        return thresholds.evaluations_later if done >= thresholds.later else thresholds.evaluations

    def _collapsed(self, last: Evaluation) -> bool:
        thresholds = self.thresholds
        if not last.accuracy - last.balanced_accuracy > thresholds.gap:
            return False
        if last.majority == last.majority:
            return last.majority > thresholds.majority
        classes = self.context.info.num_classes or 0
        return classes > 1 and last.balanced_accuracy < 1.0 / classes + thresholds.guessing

    def _fixes(self, last: Evaluation) -> tuple[str, ...]:
        ratio = last.accuracy / max(1e-3, 1.0 - last.accuracy)
        return (
            f"all other classes together {ratio:.0f} times as heavy in the loss (class weights)",
            "batches with as many samples of each class (WeightedRandomSampler)",
        )

    def _evidence(self, last: Evaluation) -> list[Evidence]:
        thresholds = self.thresholds
        found = [
            Evidence(
                what="accuracy less balanced accuracy",
                value=last.accuracy - last.balanced_accuracy,
                threshold=thresholds.gap,
                step=last.step,
            ),
            Evidence(
                what="evaluations in a row",
                value=float(self._held),
                threshold=self._needed,
            ),
        ]
        if last.majority == last.majority:
            what = "share of the predictions that are one class"
            found.insert(0, Evidence(what=what, value=last.majority, threshold=thresholds.majority))
        return found
