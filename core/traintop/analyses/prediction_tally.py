"""What was predicted, summed up batch by batch: for classes, for tags, and for numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traintop.analyses.confusion import Confusion, Ints
from traintop.analyses.context import AnalysisFailedError

if TYPE_CHECKING:
    from traintop.analyses.outputs import Scored

Floats = NDArray[np.float64]


class Tally:
    """The predictions so far.

    Attributes:
        kind: See `Scored`; tags of which every sample has exactly one are classes.
        samples: How many labels were compared.
        right: How many predictions were right; of numbers none.
    """

    def __init__(self) -> None:
        self.samples = 0
        self.right = 0
        self._kind: str | None = None
        self._columns = 0
        self._one_hot = True
        self._classes: Confusion | None = None
        self._tags: Ints = np.zeros((0, 2, 2), dtype=np.int64)
        self._moments: Floats = np.zeros(6)
        self._spread = Spread()
        self._losses: list[float] = []

    @property
    def kind(self) -> str:
        """What is predicted."""
        return "classes" if self._kind == "tags" and self._one_hot else self._kind or "classes"

    def add(self, scored: Scored) -> NDArray[np.bool_]:
        """Count a batch; return which of its predictions were right.

        Raises:
            AnalysisFailedError: It is of another kind, or of other classes, than those before.
        """
        scores, labels = scored.scores.numpy(), scored.labels.numpy()
        columns = scores.shape[1] if scores.ndim > 1 else 1
        if self._kind not in (None, scored.kind) or self._columns not in (0, columns):
            raise AnalysisFailedError(
                f"a batch has {scored.kind} in {columns} columns, earlier ones "
                f"{self._kind} in {self._columns}: give batches of one kind"
            )
        self._kind, self._columns = scored.kind, columns
        self.samples += len(labels)
        if scored.loss is not None:
            self._losses.append(scored.loss)
        self._spread.add(scores.reshape(len(scores), -1))
        predictions = scored.predictions().numpy()
        if scored.kind == "numbers":
            self._add_numbers(predictions.astype(np.float64), labels.astype(np.float64))
            return np.zeros(0, dtype=np.bool_)
        if scored.kind == "tags":
            self._add_tags(predictions, labels)
            if self._one_hot and bool((labels.sum(1) == 1).all()):
                self._add_classes(columns, scores.argmax(1), labels.argmax(1))
            else:
                self._one_hot = False
        else:
            self._add_classes(columns, predictions, labels)
        hit: NDArray[np.bool_] = (predictions == labels).reshape(len(labels), -1).all(1)
        self.right += int(hit.sum())
        return hit

    def _add_classes(self, columns: int, predictions: Any, labels: Any) -> None:
        bad = labels[(labels < 0) | (labels >= columns)]
        if len(bad):
            raise AnalysisFailedError(
                f"a label is {int(bad[0])}, the output has {columns} classes: run the analysis "
                "loss_function"
            )
        self._classes = self._classes or Confusion(columns)
        self._classes.add(labels.astype(np.int64), predictions.astype(np.int64))

    def _add_tags(self, predictions: Any, labels: Any) -> None:
        if not len(self._tags):
            self._tags = np.zeros((self._columns, 2, 2), dtype=np.int64)
        for label in (0, 1):
            for prediction in (0, 1):
                both = (labels == label) & (predictions == prediction)
                self._tags[:, label, prediction] += both.sum(0)

    def _add_numbers(self, s: Floats, y: Floats) -> None:
        error = s - y
        sums = (len(y), y.sum(), (y * y).sum(), s.sum(), (s * s).sum(), (error * error).sum())
        self._moments += np.array([float(each) for each in sums])

    @property
    def diversity(self) -> float | None:
        """The share of the outputs that differs from sample to sample; 0: always the same."""
        return self._spread.share

    @property
    def loss(self) -> float | None:
        """The mean loss of the batches."""
        return float(np.mean(self._losses)) if self._losses else None

    def confusion(self) -> Confusion | None:
        """The counts of classes; None for tags and numbers."""
        return self._classes if self.kind == "classes" else None

    def tags(self) -> Ints:
        """Shape (tags, 2, 2): counts by label and prediction."""
        return self._tags

    def r2(self) -> float | None:
        """The share of the labels' variance that is explained, of numbers."""
        n, y, yy, _, _, errors = self._moments.tolist()
        total = yy - y * y / n if n else 0.0
        return 1.0 - errors / total if total > 0 else None


class Spread:
    """How much of the outputs is different from sample to sample.

    Rows of scores are taken less their mean, which a softmax does not see. Sums are taken of
    differences from the first row, so that equal rows give exactly 0.
    """

    def __init__(self) -> None:
        self._count = 0
        self._first: Floats | None = None
        self._sum: Floats = np.zeros(0)
        self._squares: Floats = np.zeros(0)
        self._size = 0.0

    def add(self, rows: NDArray[Any]) -> None:
        """Take scores, shape (N, C)."""
        rows = rows.astype(np.float64)
        rows = rows[np.isfinite(rows).all(1)]
        if not len(rows):
            return
        if rows.shape[1] > 1:
            rows = rows - rows.mean(1, keepdims=True)
        if self._first is None:
            self._first = rows[0].copy()
            self._sum, self._squares = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
        self._size += float((rows * rows).sum())
        moved = rows - self._first
        self._count += len(rows)
        self._sum += moved.sum(0)
        self._squares += (moved * moved).sum(0)

    @property
    def share(self) -> float | None:
        """Variance between samples over the mean square of all outputs; None with nothing seen."""
        if self._count < 2:
            return None
        between = float((self._squares - self._sum**2 / self._count).sum())
        return max(between, 0.0) / self._size if self._size > 0 else 0.0
