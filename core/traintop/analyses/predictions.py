"""Predictions: what the model says of the validation data, class by class.

A confusion matrix and what follows from it, how far the outputs depend on the inputs at all, and
whether evaluation mode says the same as training mode.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from traintop.analyses.batches import move, one_pass, seed_everything, size
from traintop.analyses.context import AnalysisFailedError, Context, Outcome, finding
from traintop.analyses.prediction_result import result_of
from traintop.analyses.prediction_tally import Tally
from traintop.analyses.saved_weights import SavedBuffers

MAJORITY = 0.97
"""Share of the predictions that are one class, and ..."""
GUESSING = 0.05
"""... balanced accuracy above that of guessing up to which the model has collapsed: both as the
detector `class_collapse` has them."""
SAME_OUTPUT = 1e-6
"""Share of the outputs that differs between samples, below which they are the same: a standard
deviation of a thousandth of the outputs."""
MODE_GAP = 0.1
"""Accuracy lost in evaluation mode that is no chance ..."""
MODE_ERRORS = 3.0
"""... if it is so many standard errors, too (McNemar's test of paired predictions, 1947). Dropout
costs accuracy in training mode, so the other direction is healthy."""
FEW = 50
"""Samples below which nothing is judged."""


def run(context: Context) -> Outcome:
    """Run the validation data, or the training data where there is none, through the model.

    Raises:
        AnalysisFailedError: There is no data, no labels, or they do not go with the outputs.
    """
    from traintop.analyses.outputs import score

    split = "val" if context.target.val is not None else "train"
    data = context.target.val if context.target.val is not None else context.target.train
    if data is None:
        raise AnalysisFailedError("predictions needs val or train: give the Target one of them")
    wanted = int(context.number("samples"))
    if wanted < 1:
        raise AnalysisFailedError(f"samples must be at least 1, not {wanted}")
    buffers = SavedBuffers(context.model)
    tally, training, modes = Tally(), Tally(), _Modes()
    for number, batch in enumerate(one_pass(data, context.seed)):
        moved = move(batch, context.device)
        context.model.eval()
        scored = score(context, moved)
        hit = tally.add(scored)
        if size(batch) != 1:  # which batch norm cannot be trained on
            context.model.train()
            seed_everything(context.seed + number)
            modes.add(hit, training.add(score(context, moved)))
            buffers.restore()
        context.progress(min(tally.samples, wanted), wanted, f"labels of {split}")
        if max(tally.samples, number + 1) >= wanted:
            break
    context.model.eval()
    if not tally.samples:
        raise AnalysisFailedError(f"{split} holds no batch with labels")
    result = result_of(tally, training, modes.gap) | {"split": split, "samples": tally.samples}
    return Outcome(result=result, findings=_judge(context, result, modes))


class _Modes:
    """Pairs of predictions, in evaluation and in training mode, of the same samples."""

    def __init__(self) -> None:
        self.lost = self.won = self.total = 0

    def add(self, evaluation: Any, training: Any) -> None:
        """Take which predictions of a batch were right, in both modes."""
        self.lost += int((training & ~evaluation).sum())
        self.won += int((evaluation & ~training).sum())
        self.total += len(evaluation)

    @property
    def gap(self) -> float | None:
        """Accuracy in evaluation mode less that in training mode."""
        return (self.won - self.lost) / self.total if self.total else None

    @property
    def errors(self) -> float:
        """The gap in standard errors."""
        return abs(self.won - self.lost) / math.sqrt(max(self.won + self.lost, 1))


def summary(result: Mapping[str, Any]) -> list[str]:
    """The result in lines of text."""
    where = f"{result['samples']} labels of {result['split']}"
    if result["kind"] == "numbers":
        r2 = "not defined" if result["r2"] is None else f"{result['r2']:.3f}"
        lines = [f"r2 {r2} over {where}"]
    else:
        balanced = result["balanced_accuracy"]
        lines = [
            f"accuracy {result['accuracy']:.1%}, balanced "
            + ("-" if balanced is None else f"{balanced:.1%}")
            + f", over {where}"
        ]
    if result["majority_class"] is not None:
        lines.append(
            f"class {result['majority_class']}: {result['majority_fraction']:.1%} of predictions, "
            f"the commonest label {result['majority_label_fraction']:.1%} of labels"
        )
    if result["output_diversity"] is not None:
        share = result["output_diversity"]
        lines.append(
            f"{share:.1%} of the outputs' size varies from sample to sample (0: all alike)"
        )
    if result["train_eval_gap"] is not None:
        what = "r2" if result["kind"] == "numbers" else "accuracy"
        lines.append(f"{what} in evaluation mode {result['train_eval_gap']:+.3f} of training mode")
    lines += [
        f"class {row['class']:>3}  {row['support']:>6} labels  precision {row['precision']:6.1%}"
        f"  recall {row['recall']:6.1%}  f1 {row['f1']:.3f}"
        for row in result["per_class"]
    ]
    lines += [
        f"{pair['label']} taken for {pair['predicted']}: {pair['count']} times"
        for pair in result["worst_pairs"]
    ]
    return lines


def _judge(context: Context, result: Mapping[str, Any], modes: _Modes) -> list[dict[str, Any]]:
    if result["samples"] < FEW:
        return []
    found = [_same(context, result), _collapsed(context, result), _modes_differ(context, modes)]
    # An output that is always the same explains the others.
    return [each for each in found if each is not None][: 1 if found[0] is not None else None]


def _same(context: Context, result: Mapping[str, Any]) -> dict[str, Any] | None:
    diversity = result["output_diversity"]
    if diversity is None or diversity >= SAME_OUTPUT:
        return None
    return finding(
        "not_learning" if result["kind"] == "numbers" else "class_collapse",
        "critical",
        "The model gives the same output whatever the input",
        step=context.step,
        evidence=[
            {
                "what": "share of the outputs that differs between samples",
                "value": diversity,
                "threshold": SAME_OUTPUT,
                "step": context.step,
            }
        ],
        causes=[
            {
                "cause": "the input does not get through: dead units, or weights of zero",
                "because": f"{result['samples']} samples give one output",
            }
        ],
        next=[{"do": "count the dead units", "analysis": "dead_neurons"}],
    )


def _collapsed(context: Context, result: Mapping[str, Any]) -> dict[str, Any] | None:
    share, classes = result["majority_fraction"], result.get("labelled_classes", 0)
    if share is None or classes < 2:
        return None
    guessing = 1.0 / classes
    balanced = result["balanced_accuracy"]
    if share <= MAJORITY or balanced > guessing + GUESSING:
        return None
    labels = result["majority_label_fraction"]
    skewed = labels > min(2 * guessing, 0.75)
    return finding(
        "class_collapse",
        # A model that has not been trained says nearly the same of everything.
        "warning" if context.checkpoint is not None else "info",
        f"{share:.0%} of the predictions are class {result['majority_class']}",
        step=context.step,
        evidence=[
            {
                "what": "share of the predictions that are one class",
                "value": share,
                "threshold": MAJORITY,
                "step": context.step,
            },
            {
                "what": "balanced accuracy",
                "value": balanced,
                "threshold": guessing + GUESSING,
                "step": context.step,
            },
        ],
        causes=[
            {
                "cause": "skewed classes" if skewed else "nothing was learned",
                "because": f"the commonest class is {labels:.0%} of the labels",
            }
        ],
        next=[
            {"do": "count the classes of the training data", "analysis": "data"},
            {"do": "see whether one batch can be learned", "analysis": "overfit_one_batch"},
        ],
    )


def _modes_differ(context: Context, modes: _Modes) -> dict[str, Any] | None:
    gap = modes.gap
    if gap is None or gap > -MODE_GAP or modes.errors < MODE_ERRORS:
        return None
    kinds = {type(module).__name__ for module in context.model.modules()}
    norm = any("BatchNorm" in kind or "InstanceNorm" in kind for kind in kinds)
    cause = (
        "the running statistics of batch norm do not fit the data"
        if norm
        else "the model computes something else in evaluation mode"
    )
    do = (
        "recompute them: set momentum=None, run the training data once in training mode"
        if norm
        else "compare what forward does under self.training"
    )
    return finding(
        "train_eval_gap",
        "warning",
        f"Evaluation mode loses {-gap:.0%} accuracy against training mode",
        step=context.step,
        evidence=[
            {
                "what": "accuracy in evaluation mode less that in training mode, same samples",
                "value": gap,
                "threshold": -MODE_GAP,
                "step": context.step,
            },
            {
                "what": "the difference in standard errors",
                "value": modes.errors,
                "threshold": MODE_ERRORS,
                "step": context.step,
            },
        ],
        causes=[{"cause": cause, "because": "the same weights and samples give both"}],
        next=[{"do": do}],
    )
