"""Counts of what was predicted for what: the statistics of a classifier, from pairs of classes.

Definitions are scikit-learn's: precision, recall and F1 are 0 where they are not defined, balanced
accuracy is the mean recall of the classes that have labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

MOST_CLASSES = 100
"""Rows of a confusion matrix that is listed; of more classes, those that come up most."""


class Confusion:
    """Pairs of label and prediction, counted; of many classes only pairs that occur take room."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._counts: dict[int, int] = {}

    def add(self, labels: Ints, predictions: Ints) -> None:
        """Count pairs; both of shape (N,), in 0 ... classes - 1."""
        pairs, counts = np.unique(labels * self.classes + predictions, return_counts=True)
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
            self._counts[pair] = self._counts.get(pair, 0) + count

    @property
    def total(self) -> int:
        """The number of pairs."""
        return sum(self._counts.values())

    def labels(self) -> Ints:
        """Shape (classes,): how often each class is the label."""
        return self._sums(0)

    def predictions(self) -> Ints:
        """Shape (classes,): how often each class is predicted."""
        return self._sums(1)

    def right(self) -> Ints:
        """Shape (classes,): how often each class is the label and predicted."""
        right = np.zeros(self.classes, dtype=np.int64)
        for pair, count in self._counts.items():
            label, prediction = divmod(pair, self.classes)
            if label == prediction:
                right[label] += count
        return right

    def accuracy(self) -> float:
        """The share of right predictions."""
        return float(self.right().sum() / max(self.total, 1))

    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that have labels."""
        labels = self.labels()
        known = labels > 0
        return float((self.right()[known] / labels[known]).mean()) if known.any() else 0.0

    def majority_fraction(self) -> float:
        """The share of the predictions that are the class predicted most often."""
        return float(self.predictions().max(initial=0) / max(self.total, 1))

    def entropy(self) -> float:
        """Entropy of the predicted classes over that of a uniform choice, 0 to 1."""
        share = self.predictions() / max(self.total, 1)
        share = share[share > 0]
        return float(-(share * np.log(share)).sum() / np.log(max(self.classes, 2)))

    def listed(self) -> list[int]:
        """The classes that are listed, in their order."""
        weight = self.labels() + self.predictions()
        order = np.argsort(-weight, kind="stable")[:MOST_CLASSES]
        return sorted(order.tolist())

    def matrix(self, classes: list[int]) -> list[list[int]]:
        """Rows of labels, columns of predictions, for the classes named."""
        count = self._counts.get
        return [[count(a * self.classes + b, 0) for b in classes] for a in classes]

    def per_class(self, classes: list[int]) -> list[dict[str, Any]]:
        """Support, precision, recall and F1 of the classes named."""
        labels, predictions, right = self.labels(), self.predictions(), self.right()
        table: list[dict[str, Any]] = []
        for at in classes:
            hits = int(right[at])
            precision = hits / max(int(predictions[at]), 1)
            recall = hits / max(int(labels[at]), 1)
            both = int(labels[at]) + int(predictions[at])
            table.append(
                {
                    "class": at,
                    "support": int(labels[at]),
                    "predicted": int(predictions[at]),
                    "precision": precision,
                    "recall": recall,
                    "f1": 2 * hits / max(both, 1),
                }
            )
        return table

    def worst_pairs(self, most: int) -> list[dict[str, int]]:
        """The confusions that are commonest."""
        wrong = [
            (count, *divmod(pair, self.classes))
            for pair, count in self._counts.items()
            if pair // self.classes != pair % self.classes
        ]
        wrong.sort(key=lambda each: (-each[0], each[1:]))
        return [
            {"label": label, "predicted": prediction, "count": count}
            for count, label, prediction in wrong[:most]
        ]

    def _sums(self, axis: int) -> Ints:
        sums = np.zeros(self.classes, dtype=np.int64)
        for pair, count in self._counts.items():
            sums[divmod(pair, self.classes)[axis]] += count
        return sums
