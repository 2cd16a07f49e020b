"""Charts and what is in them: series of the run, statistics of a layer, memory of a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from traintop.catalogue import SeriesRef
from traintop.records import Finding
from traintop_tui.charts.frame import Level
from traintop_tui.layer_order import STATISTICS


class LayerRef(NamedTuple):
    """A statistic of one layer, drawn as a curve."""

    stat: str
    layer: str

    @property
    def label(self) -> str:
        """What a chart calls it."""
        return f"{self.layer} {STATISTICS.get(self.stat, self.stat)}"


class GpuRef(NamedTuple):
    """The memory of a device of this machine, drawn as a curve."""

    name: str

    @property
    def label(self) -> str:
        """What a chart calls it."""
        return self.name


CurveRef = SeriesRef | LayerRef | GpuRef


@dataclass
class Panel:
    """One chart: a title and the curves in it."""

    title: str
    refs: list[CurveRef] = field(default_factory=list[CurveRef])


FINDING_STATISTICS = {
    "frozen_params": "update_ratio",
    "disconnected_params": "grad_norm",
    "update_ratio_off": "update_ratio",
    "dead_units": "act_dead_frac",
    "vanishing_gradients": "grad_norm",
    "exploding_gradients": "grad_norm",
    "saturated_units": "act_sat_frac",
}
"""By finding id: the statistic that shows it layer by layer."""

LAYER_STATISTICS = FINDING_STATISTICS | {"nan_inf": "grad_norm"}
"""By finding id: the statistic that `l` leads to, also where a loss is the better evidence."""


def same_unit(refs: Sequence[SeriesRef]) -> list[SeriesRef]:
    """Return those of some series that one axis can carry: of the kind of the first."""
    kinds = [(ref.role or ref.label).partition("/")[0] for ref in refs]
    return [ref for ref, kind in zip(refs, kinds, strict=True) if kind == kinds[0]]


LEVELS = {
    "divergence": ("smoothed loss",),
    "exploding_gradients": ("highest gradient norm", "norm of the first gradients"),
    "dead_units": ("share of units in ",),
}
"""By finding id: how evidence begins whose threshold is in the unit of the curve that is drawn.

Those of other evidence are ratios, counts or scores, and have no place on that axis.
"""


def levels_of(finding: Finding) -> tuple[Level, ...]:
    """Return the thresholds of a finding that can be drawn with its curves."""
    begins = LEVELS.get(finding.id, ())
    return tuple(
        Level(evidence.threshold)
        for evidence in finding.evidence
        if evidence.threshold is not None and begins and evidence.what.startswith(begins)
    )


PANELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("loss", ("loss/train", "loss/val")),
    ("reward", ("reward",)),
    ("gradient norm", ("grad_norm", "grad_norm_clipped")),
    ("learning rate", ("lr",)),
    ("accuracy", ("accuracy/train", "accuracy/val")),
    ("GPU memory", ("gpu_memory",)),
    ("throughput", ("throughput",)),
    ("update ratio", ("update_ratio",)),
    ("step time", ("step_time",)),
    ("loss scale", ("loss_scale",)),
)
"""The charts of the overview by role, the most telling first."""


LOOKED_AT = 1000
"""Series without a role that are looked at for whether they ever change."""


def panels_by_role(
    refs: Sequence[SeriesRef], gpus: Iterable[str], is_flat: Callable[[SeriesRef], bool]
) -> list[Panel]:
    """Return the charts of a run: by role, the most telling first, then all other series.

    Args:
        refs: The series of the run.
        gpus: Names of the GPU series of this machine, which come before what the run recorded.
        is_flat: Whether a series has never changed; such a one comes last. Only so many are asked
            about as somebody may look at.
    """
    panels: list[Panel] = []
    devices = [GpuRef(name) for name in gpus]
    for title, roles in PANELS:
        found: list[CurveRef] = [ref for role in roles for ref in refs if ref.role == role]
        if title == "GPU memory" and devices:
            found = [*devices]
        if found:
            panels.append(Panel(title, found))
    taken = {ref for panel in panels for ref in panel.refs}
    others = [ref for ref in refs if ref not in taken]
    flat = {ref for ref in others[:LOOKED_AT] if is_flat(ref)}
    others = [ref for ref in others if ref not in flat] + [ref for ref in others if ref in flat]
    return panels + [Panel(ref.label, [ref]) for ref in others]
