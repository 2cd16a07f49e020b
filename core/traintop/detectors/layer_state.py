"""What the layer records have said so far, as several detectors judge by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from traintop.records import Floats, LayerNames, LayerStats

Counts = NDArray[np.int64]


class LayerState:
    """The layers' first and latest statistics, and how long each has stood still.

    Arrays are of shape (layers,), those of `act_...` statistics of shape (activations,).

    Attributes:
        names: The names, sizes and kinds of the layers, empty before they are known.
        records: Layer records so far.
        first: Statistic -> its values in the first record that had a finite one.
        last: The statistics of the latest record.
        still: Per layer, how many of the last records in a row had an update of exactly 0 while
            another layer was updated: in a record where nothing moved (gradient accumulation, a
            skipped step) nobody is to blame.
        without_gradient: Per layer, how many of the last records in a row had no gradient at all
            (null), while another layer had one.
        all_still: How many of the last records in a row had updates of exactly 0 everywhere.
        eval_mode: How many of the last records in a row were taken in evaluation mode.
    """

    def __init__(self) -> None:
        self.names = LayerNames(names=())
        self.records = 0
        self.first: dict[str, Floats] = {}
        self.last: dict[str, Floats] = {}
        self.still: Counts = np.zeros(0, np.int64)
        self.without_gradient: Counts = np.zeros(0, np.int64)
        self.all_still = 0
        self.eval_mode = 0

    def rename(self, names: LayerNames) -> None:
        """Take the names of the layers: what was counted before is of others."""
        self.__init__()  # type: ignore[misc] # everything begins anew, and __init__ says how
        self.names = names

    def add(self, stats: LayerStats) -> None:
        """Take a layer record."""
        self.records += 1
        self.last = stats.stats
        for name, values in stats.stats.items():
            if name not in self.first and np.isfinite(values).any():
                self.first[name] = values
        if stats.train_mode is not None:
            self.eval_mode = 0 if stats.train_mode else self.eval_mode + 1
        updates = stats.stats.get("update_ratio")
        if updates is not None and self.still.shape != updates.shape:
            self.still = np.zeros(updates.shape, np.int64)
        if updates is not None and np.isfinite(updates).any():
            moved = bool((updates > 0).any())
            self.all_still = 0 if moved else self.all_still + 1
            if moved:
                self.still = np.where(updates == 0, self.still + 1, 0)
        norms = stats.stats.get("grad_norm")
        if norms is not None and self.without_gradient.shape != norms.shape:
            self.without_gradient = np.zeros(norms.shape, np.int64)
        if norms is not None and np.isfinite(norms).any():
            self.without_gradient = np.where(np.isnan(norms), self.without_gradient + 1, 0)

    def trainable(self, count: int) -> NDArray[np.bool_]:
        """Which of `count` layers are trained on purpose; all where the run does not say."""
        known = self.names.requires_grad
        return np.array(known, bool) if len(known) == count else np.ones(count, bool)
