"""What the curves of a run say, topic by topic, before any verdict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np

from traintop.catalogue import Catalogue
from traintop.records import Floats, RunInfo
from traintop.store import Run
from traintop.units import factor_of

CONSTANT = 0.01
"""Relative spread below which a learning rate is constant."""

JUMP = 2.0
"""Factor between neighbours that is a step of the schedule."""

WARM_UP_RECORDS = 3
"""The first steps of a warm-up from next to nothing are no jumps."""

LISTED_JUMPS = 4
"""Jumps of the learning rate that are told one by one."""

FLAT, SLOW = 0.005, 0.02
"""Relative changes within the last third of a loss below which it is flat, or moves slowly."""

SHARE = 0.1
"""Share of a series, at its end or beginning, that a level is the median of."""


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """What the curves say about one topic."""

    name: str
    lines: tuple[str, ...]


class _Curve(NamedTuple):
    """The finite values of a series, and their steps."""

    steps: Floats
    values: Floats
    nonfinite: int
    unit: str | None
    """As its name gives it."""
    lost: float | None
    """Since which step no value is finite any more."""

    @property
    def first(self) -> float:
        return float(np.median(self.values[: self._part]))

    @property
    def last(self) -> float:
        return float(np.median(self.values[-self._part :]))

    @property
    def _part(self) -> int:
        return max(1, min(100, round(SHARE * len(self.values))))

    def at(self, index: int) -> str:
        return f"{self.values[index]:.4g} at step {self.steps[index]:.0f}"


class _Curves:
    """The series of a run by role."""

    def __init__(self, run: Run, catalogue: Catalogue, until: float) -> None:
        self._run = run
        self._catalogue = catalogue
        self._until = until

    def get(self, role: str) -> _Curve | None:
        ref = self._catalogue.by_role(self._run, role)
        if ref is None:
            return None
        table = self._run.tables[ref.table]
        steps, values = table.points(ref.name)
        values = values * factor_of(ref, table.series[ref.name])
        values, steps = values[steps <= self._until], steps[steps <= self._until]
        finite = np.isfinite(values)
        if not finite.any():
            return None
        end = int(np.flatnonzero(finite)[-1]) + 1
        lost = float(steps[end]) if end < len(steps) - 1 else None  # One alone may be skipped.
        bad = int(len(values) - finite.sum())
        return _Curve(steps[finite], values[finite], bad, ref.unit, lost)


def summarise(
    run: Run, catalogue: Catalogue, info: RunInfo, until: int | None = None
) -> tuple[Topic, ...]:
    """Say what the curves say; topics of which nothing was logged are left out.

    Args:
        run: What was read.
        catalogue: The roles of its series.
        info: `run.json`.
        until: The last step that counts.
    """
    curves = _Curves(run, catalogue, np.inf if until is None else float(until))
    topics = {
        "Learning rate": _learning_rate(curves),
        "Loss": _loss(curves),
        "Accuracy": _accuracy(curves),
        "Gradients": _gradients(curves, info),
        "Weight updates": _updates(curves),
        "Resources": _resources(curves),
    }
    found = [Topic(name=name, lines=tuple(lines)) for name, lines in topics.items()]
    return tuple(topic for topic in found if topic.lines)


def _learning_rate(curves: _Curves) -> Iterator[str]:
    curve = curves.get("lr")
    if curve is None:
        return
    values, steps = curve.values, curve.steps
    peak = int(values.argmax())
    high = float(values[peak])
    if values.max() - values.min() <= CONSTANT * abs(high):
        yield f"{high:.3g}, constant over {len(values)} records"
        return
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        factor = values[1:] / values[:-1]
    jumps = np.flatnonzero((factor >= JUMP) | (factor <= 1 / JUMP))
    jumps = jumps[jumps >= WARM_UP_RECORDS]
    parts: list[str] = []
    if peak and values[0] < high / 1.05 and (peak - 1) not in jumps:
        parts.append(f"rises from {values[0]:.3g} to {high:.3g} until step {steps[peak]:.0f}")
    else:
        parts.append(f"begins at {values[0]:.3g}")
    parts += [
        f"jumps from {values[jump]:.3g} to {values[jump + 1]:.3g} at step {steps[jump + 1]:.0f}"
        for jump in jumps[:LISTED_JUMPS].tolist()
    ]
    if len(jumps) > LISTED_JUMPS:
        parts.append(f"jumps {len(jumps) - LISTED_JUMPS} times more")
    if values[-1] < high / 1.05:
        parts.append(f"is {values[-1]:.3g} now ({values[-1] / high:.2g} of its peak)")
    yield ", ".join(parts)


def _loss(curves: _Curves) -> Iterator[str]:
    train, evaluation = curves.get("loss/train"), curves.get("loss/val")
    if train is not None:
        yield f"training {train.values[0]:.4g} -> {train.last:.4g}{_trend(train)}{_bad(train)}"
    if evaluation is not None:
        best = int(evaluation.values.argmin())
        last = float(evaluation.values[-1])
        text = f"validation {evaluation.values[0]:.4g} -> {last:.4g}"
        if best < len(evaluation.values) - 1:
            text += f", best {evaluation.at(best)}"
        yield text + _bad(evaluation)
        if train is not None:
            yield f"gap between validation and training: {last - train.last:+.4g}"


def _trend(curve: _Curve) -> str:
    """Whether the last third still falls, by the medians of its halves."""
    if curve.lost is not None:
        return ""  # What came before the end is no trend at the end.
    third = curve.values[-max(6, len(curve.values) // 3) :]
    if len(third) < 6:
        return ""
    half = len(third) // 2
    before, after = float(np.median(third[:half])), float(np.median(third[half:]))
    if before == 0:
        return ""
    change = (after - before) / abs(before)
    words = "still falling" if change < 0 else "rising"
    if abs(change) < SLOW:
        words = "flat" if abs(change) < FLAT else f"{words} slowly"
    size = f"{change:+.1%}" if abs(change) < 10 else f"{after / before:.3g} times"
    return f", {words} at the end ({size} within the last third)"


def _bad(curve: _Curve) -> str:
    if curve.lost is not None:
        return f", not finite since step {curve.lost:.0f} ({curve.nonfinite} values)"
    return f", {curve.nonfinite} values not finite" if curve.nonfinite else ""


def _accuracy(curves: _Curves) -> Iterator[str]:
    names = {
        "accuracy/train": "training",
        "accuracy/val": "validation",
        "balanced_accuracy": "balanced validation",
    }
    for role, name in names.items():
        curve = curves.get(role)
        if curve is not None:
            best = curve.at(int(curve.values.argmax()))
            last = curve.last if role == "accuracy/train" else float(curve.values[-1])
            yield f"{name} {last:.4g}, best {best}"


def _gradients(curves: _Curves, info: RunInfo) -> Iterator[str]:
    curve = curves.get("grad_norm")
    if curve is None:
        return
    median, high = np.quantile(curve.values, (0.5, 0.99)).tolist()
    top = int(curve.values.argmax())
    yield (
        f"norm {curve.first:.3g} -> {curve.last:.3g}, median {median:.3g}, 99 % below {high:.3g}, "
        f"largest {curve.at(top)}{_bad(curve)}"
    )
    if info.grad_clip:
        share = float((curve.values > info.grad_clip).mean())
        yield f"{share:.0%} of the steps are clipped at {info.grad_clip:g}"


def _updates(curves: _Curves) -> Iterator[str]:
    curve = curves.get("update_ratio")
    if curve is None:
        return
    still = float((curve.values == 0).mean())
    moved = curve.values[curve.values > 0]
    if len(moved):
        yield f"update over weights: median {np.median(moved):.2g} a step (about 1e-3 is usual)"
    if still:
        yield f"{still:.0%} of the steps did not change the weights"


def _resources(curves: _Curves) -> Iterator[str]:
    throughput = curves.get("throughput")
    if throughput is not None:
        unit = throughput.unit or "a second"
        yield f"throughput {_size(throughput.first)} -> {_size(throughput.last)} {unit}"
    memory = curves.get("gpu_memory")
    if memory is not None:
        yield (
            f"GPU memory {_size(memory.first)} -> {_size(memory.last)} MB, "
            f"at most {_size(memory.values.max())} MB"
        )


def _size(value: float) -> str:
    """Four digits; large ones whole, for 1.015e+04 samples are hard to read."""
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e9 else f"{value:.4g}"
