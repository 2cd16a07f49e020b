"""Per-layer statistics over the steps of a run."""

from __future__ import annotations

import numpy as np

from traintop.records import Floats, LayerNames, LayerStats
from traintop.store.growing import Growing
from traintop.store.series import Reduced, reduce_values


class LayerTable:
    """A matrix (records x layers) a statistic, growing by records."""

    def __init__(self, names: LayerNames) -> None:
        self.names = names
        self._step = Growing()
        self._train_mode: list[bool | None] = []
        self._stats: dict[str, Growing] = {}

    def __len__(self) -> int:
        return len(self._step)

    @property
    def step(self) -> Floats:
        """Shape (records,), never falling."""
        return self._step.view()

    @property
    def stats(self) -> list[str]:
        """The statistics that have been recorded."""
        return list(self._stats)

    def layer_names(self, stat: str) -> tuple[str, ...]:
        """Return what the columns of a statistic's matrix are: layers, or activations."""
        return self.names.act_names if stat.startswith("act_") else self.names.names

    def append(self, record: LayerStats) -> None:
        """Append one record; a statistic whose length does not fit the names is left out."""
        size = len(self._step)
        for stat, values in record.stats.items():
            width = len(self.layer_names(stat))
            if len(values) != width or not width:
                continue
            column = self._stats.get(stat)
            if column is None:
                column = Growing()
                column.extend(np.full(size * width, np.nan))
            column.extend(values)
            self._stats[stat] = column
        self._train_mode.append(record.train_mode)
        self._step.extend([record.step])
        for stat, column in self._stats.items():
            missing = (size + 1) * len(self.layer_names(stat)) - len(column)
            if missing:
                column.extend(np.full(missing, np.nan))

    def rewind(self, step: float) -> None:
        """Forget the records from `step` on."""
        row = int(np.searchsorted(self.step, step))
        self._step.truncate(row)
        del self._train_mode[row:]
        for stat, column in self._stats.items():
            column.truncate(row * len(self.layer_names(stat)))

    def until(self, step: float) -> LayerTable:
        """Return the records up to a step, without a copy and for reading only."""
        row = int(np.searchsorted(self.step, step, side="right"))
        past = LayerTable(self.names)
        past._step = self._step.first(row)
        past._train_mode = self._train_mode
        past._stats = {
            stat: column.first(row * len(self.layer_names(stat)))
            for stat, column in list(self._stats.items())
        }
        return past

    def matrix(self, stat: str) -> Floats:
        """Return a statistic, shape (records, layers), NaN where it was not measured."""
        width = len(self.layer_names(stat))
        size = len(self._step)
        if stat not in self._stats:
            return np.full((size, width), np.nan)
        return self._stats[stat].view()[: size * width].reshape(-1, width)

    def record(self, row: int) -> LayerStats:
        """Return one record as it was read."""
        return LayerStats(
            step=int(self.step[row]),
            train_mode=self._train_mode[row],
            stats={stat: self.matrix(stat)[row] for stat in self._stats},
        )

    def reduce_layer(self, stat: str, layer: str, step_edges: Floats) -> Reduced | None:
        """Reduce a statistic of one layer to columns of steps; None where it has none."""
        names = self.layer_names(stat)
        if layer not in names or stat not in self._stats:
            return None
        values = self.matrix(stat)[:, names.index(layer)]
        return reduce_values(values, np.searchsorted(self.step[: len(values)], step_edges))

    def value_at(self, stat: str, layer: str, step: float) -> tuple[float, float] | None:
        """Return (step, value) of the last record at or before a step."""
        names = self.layer_names(stat)
        row = int(np.searchsorted(self.step, step, side="right")) - 1
        if row < 0 or layer not in names or stat not in self._stats:
            return None
        value = self._stats[stat].at(row * len(names) + names.index(layer))
        return float(self._step.at(row)), float(value)

    def reduce(self, stat: str, step_edges: Floats) -> Floats:
        """Reduce a statistic to columns of steps by its maximum, so that no extreme is lost.

        Args:
            stat: The statistic.
            step_edges: Shape (columns + 1,), rising.

        Returns:
            Shape (layers, columns); NaN where nothing was measured.
        """
        matrix = self.matrix(stat)
        bounds = np.searchsorted(self.step[: len(matrix)], step_edges)
        result = np.full((matrix.shape[1], len(bounds) - 1), np.nan)
        filled = np.flatnonzero(bounds[1:] > bounds[:-1])
        if len(filled):
            joined = np.fmax.reduceat(matrix[: bounds[-1]], bounds[:-1][filled], axis=0)
            result[:, filled] = joined.T
        return result
