"""Training in evaluation mode: dropout is off, batch norm uses its running statistics."""

from __future__ import annotations

from typing import ClassVar

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.records import Cause, Evidence, LayerStats, NextTest, NotJudged


class EvalModeTrainingThresholds(Thresholds, frozen=True):
    """Thresholds of `eval_mode_training`."""

    records: float = 2
    """Layer records in a row (a prototype's value): `model.training` is read, not inferred. The
    first one is enough in a step after an evaluation, if the last one before it was in training
    mode: that is how the fault comes about."""


class EvalModeTraining(Detector[EvalModeTrainingThresholds]):
    """Judged by the `train_mode` of layer records, which is that of the model in a training step.

    No loss shows it: the training loss even looks better without dropout (TrainCheck finds that
    signals miss such errors).
    """

    id = "eval_mode_training"
    title = "The model trains in evaluation mode"
    needs = "the model's mode in training steps"
    record = "Recorder(model, optimizer, layers_every=10); or `train_mode` in layers.jsonl"
    thresholds_type: ClassVar[type[Thresholds]] = EvalModeTrainingThresholds

    def __init__(self, context: Context, thresholds: EvalModeTrainingThresholds) -> None:
        super().__init__(context, thresholds)
        self._onset = 0
        self._trained = -1
        """The last step that was recorded in training mode."""
        self._judged = False

    def on_layers(self, stats: LayerStats) -> Findings:
        """Count the records in evaluation mode."""
        if stats.train_mode is None:
            return ()
        self._judged = True
        if stats.train_mode:
            self._trained = stats.step
            return self.resolve(stats.step) if self.current is not None else ()
        records = self.context.layers.eval_mode
        if records == 1:
            self._onset = stats.step
        if self.current is not None:
            return ()
        evaluated = self._evaluated() if self._trained >= 0 else None
        if evaluated is None and records < self.thresholds.records:
            return ()
        return self._in_eval_mode(stats.step, records, evaluated)

    def not_judged(self) -> NotJudged | None:
        """A run that does not record the mode."""
        return None if self._judged else self.missing()

    def _evaluated(self) -> int | None:
        """The last evaluation between the records in training mode and those in evaluation mode."""
        past = [each.step for each in self.context.evaluations.past]
        # One in the very step may have been made before the record was.
        return next((step for step in reversed(past) if self._trained <= step < self._onset), None)

    def _in_eval_mode(self, step: int, records: int, evaluated: int | None) -> Findings:
        onset = self._onset
        if self._trained < 0:
            because = "in evaluation mode since the first record"
            cause = Cause(cause="model.train() was never called", because=because)
        elif evaluated is None:
            because = (
                f"in training mode at step {self._trained}, in evaluation mode at step {onset}"
            )
            cause = Cause(cause="model.eval() within the training loop", because=because)
        else:
            because = f"evaluated at step {evaluated}, in evaluation mode at step {onset}"
            cause = Cause(
                cause="model.eval() of an evaluation, and no model.train() after it",
                because=f"in training mode at step {self._trained}, {because}",
                basis="measured",
            )
            onset = evaluated + 1
        return self.open(
            "warning",
            onset,
            (
                Evidence(
                    what="layer records in a row in evaluation mode",
                    value=float(records),
                    threshold=self.thresholds.records if evaluated is None else 1.0,
                    step=step,
                ),
            ),
            causes=(cause,),
            next=(
                NextTest(
                    do="List the modules: are there dropout or batch norm, which the mode changes?",
                    analysis="shapes",
                ),
            ),
            fixes=(
                "call model.train() after each evaluation, at the beginning of each epoch",
                "if batch norm is to stay frozen, put only its modules into evaluation mode",
            ),
        )
