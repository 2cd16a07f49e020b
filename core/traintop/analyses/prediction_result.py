"""The result of the analysis `predictions`, from what was counted."""

from __future__ import annotations

from typing import Any

import numpy as np

from traintop.analyses.confusion import Ints
from traintop.analyses.prediction_tally import Tally

WORST = 10
"""Confusions that are listed."""


def result_of(tally: Tally, training: Tally, gap: float | None) -> dict[str, Any]:
    """Put the counts together.

    Args:
        tally: Predictions in evaluation mode.
        training: Predictions of the same samples in training mode.
        gap: Accuracy in the former less that in the latter.
    """
    result: dict[str, Any] = {
        "kind": tally.kind,
        "confusion": None,
        "classes": [],
        "per_class": [],
        "accuracy": None,
        "balanced_accuracy": None,
        "majority_fraction": None,
        "majority_class": None,
        "majority_label_fraction": None,
        "worst_pairs": [],
        "prediction_entropy": None,
        "output_diversity": tally.diversity,
        "train_eval_gap": gap,
        "train_mode_accuracy": None,
        "loss": tally.loss,
        "train_mode_loss": training.loss,
        "r2": tally.r2(),
    }
    counts = tally.confusion()
    if tally.kind == "numbers":
        r2, other = tally.r2(), training.r2()
        result["train_eval_gap"] = r2 - other if r2 is not None and other is not None else None
    elif counts is not None:
        classes = counts.listed()
        labels, total = counts.labels(), max(counts.total, 1)
        result |= {
            "confusion": counts.matrix(classes),
            "classes": classes,
            "per_class": counts.per_class(classes),
            "accuracy": counts.accuracy(),
            "balanced_accuracy": counts.balanced_accuracy(),
            "majority_fraction": counts.majority_fraction(),
            "majority_class": int(counts.predictions().argmax()),
            "majority_label_fraction": float(labels.max() / total),
            "labelled_classes": int((labels > 0).sum()),
            "worst_pairs": counts.worst_pairs(WORST),
            "prediction_entropy": counts.entropy(),
        }
    else:
        result |= _tags(tally.tags())
        result["accuracy"] = tally.right / tally.samples
    other_counts = training.confusion()
    if other_counts is not None and training.samples:
        result["train_mode_accuracy"] = other_counts.accuracy()
    return result


def _tags(tags: Ints) -> dict[str, Any]:
    """Each tag is a matrix of its own: [[true negative, false positive], [false negative, ...]]."""
    right = np.diagonal(tags, axis1=1, axis2=2)
    labels = tags.sum(2)
    recall = right / np.maximum(labels, 1)
    per_class = [
        {
            "class": at,
            "support": int(labels[at, 1]),
            "predicted": int(tags[at, :, 1].sum()),
            "precision": int(right[at, 1]) / max(int(tags[at, :, 1].sum()), 1),
            "recall": float(recall[at, 1]),
            "f1": 2 * int(right[at, 1]) / max(int(tags[at, :, 1].sum() + labels[at, 1]), 1),
        }
        for at in range(len(tags))
    ]
    known = (labels > 0).all(1)
    predicted = tags.sum((0, 1))
    return {
        "confusion": tags.tolist(),
        "classes": list(range(len(tags))),
        "per_class": per_class,
        "balanced_accuracy": float(recall[known].mean()) if known.any() else None,
        "majority_fraction": float(predicted.max() / max(int(predicted.sum()), 1)),
    }
