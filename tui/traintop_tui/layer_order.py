"""The layers as the layers screen lists them: a statistic, an order, one of them selected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from traintop.records import Floats
from traintop.store import LayerTable

Sort = Literal["depth", "value", "change"]
SORTS: tuple[Sort, ...] = ("depth", "value", "change")

STATISTICS = {
    "grad_norm": "gradient norm",
    "update_ratio": "update ratio",
    "act_dead_frac": "dead share",
    "act_zero_frac": "zero share",
    "act_sat_frac": "saturated share",
    "grad_zero_frac": "zero gradient share",
    "weight_norm": "weight norm",
    "grad_mean": "gradient mean",
    "grad_std": "gradient std",
    "grad_min": "gradient min",
    "grad_max": "gradient max",
    "grad_nan": "NaN gradients",
    "act_mean": "activation mean",
    "act_std": "activation std",
}
"""The per-layer statistics, in the order in which the screen goes through them."""


def is_share(stat: str) -> bool:
    """Tell whether a statistic lies between 0 and 1 and wants a linear scale."""
    return stat.endswith("_frac")


@dataclass
class LayerChoice:
    """What the layers screen is about."""

    stat: str = "grad_norm"
    sort: Sort = "depth"
    index: int = 0
    """Position of the selected layer in the list as it is sorted."""
    open: bool = False
    """Whether the one layer is shown instead of all."""

    def stats(self, layers: LayerTable) -> list[str]:
        """Return the statistics that were recorded, in the order of the screen."""
        have = layers.stats
        return [stat for stat in STATISTICS if stat in have] + [
            stat for stat in have if stat not in STATISTICS
        ]

    def cycle_stat(self, layers: LayerTable) -> None:
        """Go to the next statistic, staying on the same layer where it has that statistic too."""
        stats = self.stats(layers)
        if stats:
            at = stats.index(self.stat) if self.stat in stats else -1
            self.stat = stats[(at + 1) % len(stats)]

    def cycle_sort(self) -> None:
        """Go to the next order."""
        self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]

    def order(self, layers: LayerTable, step: float) -> list[int]:
        """Return the layers' indices in the order of the list, judged by the values at a step."""
        count = len(layers.layer_names(self.stat))
        if self.sort == "depth" or not len(layers):
            return list(range(count))
        now, before = self.values(layers, step)
        key = now if self.sort == "value" else relative_change(now, before)
        order: list[int] = np.argsort(-np.nan_to_num(key, nan=-np.inf), kind="stable").tolist()
        return order

    def values(self, layers: LayerTable, step: float) -> tuple[Floats, Floats]:
        """Return the values at a step and at the record half-way back, each of shape (layers,)."""
        matrix = layers.matrix(self.stat)
        row = int(np.searchsorted(layers.step[: len(matrix)], step, side="right")) - 1
        if row < 0:
            empty = np.full(matrix.shape[1], np.nan)
            return empty, empty
        return matrix[row], matrix[row // 2]

    def select(self, layers: LayerTable, stat: str, layer: str, step: float) -> bool:
        """Select a layer by its name, with a statistic; return whether there is such a one."""
        names = layers.layer_names(stat)
        if stat not in layers.stats or layer not in names:
            return False
        self.stat = stat
        self.index = self.order(layers, step).index(names.index(layer))
        return True

    def selected(self, layers: LayerTable, step: float) -> str | None:
        """Return the name of the selected layer."""
        order = self.order(layers, step)
        names = layers.layer_names(self.stat)
        if not order:
            return None
        self.index = min(max(self.index, 0), len(order) - 1)
        return names[order[self.index]]


def relative_change(now: Floats, before: Floats) -> Floats:
    """Return by what share values have changed, without sign; NaN where that is not defined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.abs(now - before) / np.abs(before)
