"""Compares a run with a good one: the faults that no single curve shows, such as broken labels.

The rules are those that trainproof's `compare` publishes (version 0.22.0: loss floor and end more
than twice the baseline's, improvement under a quarter of it, median gradient norm over five times
it), here with three guards: both runs are compared over the steps that both have; a level is the
median of a tenth of these steps, never a single value; and a loss counts as worse only where it
ends higher by a visible share of what the baseline has learned, so that 2e-6 is not twice 1e-6.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from traintop.errors import PathError
from traintop.opening import read_whole
from traintop.records import (
    Cause,
    Evidence,
    Finding,
    Floats,
    NextTest,
    NotJudged,
    RunInfo,
    Severity,
)
from traintop.session import Session
from traintop.settings import Settings

ID = "worse_than_baseline"
TITLE = "Worse than the baseline run"
NEEDS = "Needs a training or validation loss in both runs, at the same steps."
HELP = (
    "The loss of the run, at the same steps, is far above that of a run that is known to be good,"
    " or improves far less. Both must have the same task, data, batch size and loss reduction."
)

FLOOR_RATIO = 2.0
"""Lowest level of the loss over the baseline's (trainproof compare)."""
END_RATIO = 2.0
"""Last level of the loss over the baseline's (trainproof compare)."""
IMPROVEMENT_SHARE = 0.25
"""Fall of the loss from its first level to its last over the baseline's (trainproof compare)."""
GRAD_NORM_RATIO = 5.0
"""Median gradient norm over the baseline's (trainproof compare)."""
LEAST_EXCESS = 0.1
"""A loss is worse where it ends higher by this share of the baseline's fall: scaled by the run."""
LEAST_IMPROVEMENT = 0.05
"""A baseline must have fallen by this share of its first level for its fall to be a yardstick."""
LR_RATIO = 2.0
"""Median learning rates that differ by this factor are named as a cause."""
SCALE_RATIO = 1.5
"""A loss whose ratio to the baseline's changes by less than this factor, from the first records to
the last level, is the baseline's on another scale."""
FIRST_RECORDS = 5
"""Records that say where a loss begins."""

LEVELS = 10
"""Parts that the common steps are cut into."""
LEAST_POINTS = {"loss/train": 10, "loss/val": 4, "grad_norm": 10, "lr": 1}
"""Finite values that each run must have in the common steps, by role."""

SCALES = ("task", "num_classes", "model", "batch_size", "grad_accumulation", "cadence")
"""Keys of run.json that change what a loss means; others than the baseline's are named."""
CHANGES = ("optimizer", "weight_decay", "grad_clip", "amp", "world_size")
"""Keys of run.json that may explain a worse run."""
INCOMPARABLE = ("task", "num_classes")
"""Keys without which equal the losses are not comparable at all: no more than advice."""


class Curve(NamedTuple):
    """The finite values of one role, each array of shape (n,), by step."""

    steps: Floats
    values: Floats


class Baseline(NamedTuple):
    """A good run, as far as it is compared."""

    path: str
    info: RunInfo
    curves: dict[str, Curve]
    flaws: tuple[str, ...] = ()
    """Ids of its own findings that are critical: it is no good run."""


class Comparison(NamedTuple):
    """What a comparison came to."""

    findings: tuple[Finding, ...] = ()
    not_judged: tuple[NotJudged, ...] = ()


class _Levels(NamedTuple):
    """Both losses in the common steps, each of shape (levels,)."""

    role: str
    steps: Floats
    """The first step of each level."""
    run: Floats
    base: Floats

    @property
    def fall(self) -> float:
        """How far the baseline's loss has fallen."""
        return float(self.base[0] - self.base[-1])

    @property
    def learned(self) -> bool:
        """Whether that is a yardstick."""
        return self.fall > LEAST_IMPROVEMENT * abs(float(self.base[0]))


def read_baseline(path: str, settings: Settings) -> Baseline:
    """Read a good run.

    Raises:
        PathError: It cannot be read, or has no loss to compare with.
    """
    session = read_whole(path, settings)
    curves = _curves(session, np.inf)
    if not any(len(curve.steps) for role, curve in curves.items() if role.startswith("loss/")):
        raise PathError(f"{path}: a baseline needs a loss, and no finite one was read; name a run")
    flaws = {each.id for each in session.findings() if each.severity == "critical"}
    return Baseline(path, session.store.info, curves, tuple(sorted(flaws)))


def compare(session: Session, baseline: Baseline) -> Comparison:
    """Compare a run that has been read with a good one, over the steps that both have."""
    last = session.judged_until()
    curves = _curves(session, np.inf if last is None else float(last))
    losses = [
        levels
        for role in ("loss/val", "loss/train")
        if (levels := _levels(role, curves, baseline.curves)) is not None
    ]
    if not losses or last is None:
        return Comparison(not_judged=(NotJudged(id=ID, needs=_needs(curves, baseline)),))
    broken = {levels.role: _broken_rules(levels) for levels in losses}
    gradients = _gradient_rule(curves, baseline.curves)
    worst = next((levels for levels in losses if broken[levels.role]), None)
    evidence = [each for found in broken.values() for each in found] + gradients
    if not evidence:
        return Comparison()
    series = [levels.role for levels in losses if broken[levels.role]]
    info = session.store.info
    scale = _scale(curves, baseline.curves)
    comparable = scale is None and not any(_differ(info, baseline.info, k) for k in INCOMPARABLE)
    finding = Finding(
        id=ID,
        # Evaluations come first, so they decide where there are any: two series beat one.
        severity=_severity(broken[losses[0].role]) if comparable else "info",
        title=f"{TITLE} {baseline.path}",
        onset_step=int(losses[0].steps[0]) if worst is None else _onset(worst),
        detected_step=last,
        series=(*series, *(["grad_norm"] if gradients else [])),
        evidence=tuple(evidence),
        causes=(*_differences(info, baseline.info), *_measured(curves, baseline, scale)),
        next=_next(info, baseline),
    )
    return Comparison(findings=(finding,))


def _curves(session: Session, until: float) -> dict[str, Curve]:
    curves: dict[str, Curve] = {}
    run = session.run()
    for role in LEAST_POINTS:
        ref = None if run is None else session.catalogue.by_role(run, role)
        if run is None or ref is None:
            continue
        table = run.tables[ref.table]
        steps, values = table.points(ref.name)
        known = np.isfinite(values) & (steps <= until)
        curves[role] = Curve(steps[known], values[known])
    return curves


def _common(role: str, run: dict[str, Curve], base: dict[str, Curve]) -> list[Curve] | None:
    """Cut both curves of a role to the steps that both span; None where too little is left."""
    if role not in run or role not in base:
        return None
    curves = [run[role], base[role]]
    if not all(len(curve.steps) for curve in curves):
        return None
    first = max(float(curve.steps[0]) for curve in curves)
    last = min(float(curve.steps[-1]) for curve in curves)
    cut: list[Curve] = []
    for curve in curves:
        inside = slice(*np.searchsorted(curve.steps, [first, np.nextafter(last, np.inf)]).tolist())
        cut.append(Curve(curve.steps[inside], curve.values[inside]))
    enough = all(len(curve.steps) >= LEAST_POINTS[role] for curve in cut)
    return cut if enough else None


def _levels(role: str, run: dict[str, Curve], base: dict[str, Curve]) -> _Levels | None:
    """Return the medians of both curves in equal parts of the sparser one's points."""
    curves = _common(role, run, base)
    if curves is None:
        return None
    sparse = min(curves, key=lambda curve: len(curve.steps))
    parts = min(LEVELS, len(sparse.steps) // 2)
    starts = sparse.steps[np.linspace(0, len(sparse.steps), parts, endpoint=False).astype(int)]
    medians = [
        [
            float(np.median(part)) if len(part) else np.nan
            for part in np.split(curve.values, np.searchsorted(curve.steps, starts[1:]))
        ]
        for curve in curves
    ]
    run_levels, base_levels = np.array(medians[0]), np.array(medians[1])
    known = np.isfinite(run_levels) & np.isfinite(base_levels)
    if known.sum() < 2:
        return None
    return _Levels(role, starts[known], run_levels[known], base_levels[known])


def _broken_rules(levels: _Levels) -> list[Evidence]:
    """Hold a loss against the baseline's; empty where it is no worse in the end."""
    end, base_end = float(levels.run[-1]), float(levels.base[-1])
    if end - base_end <= LEAST_EXCESS * max(levels.fall, 0.0):
        return []
    at = int(levels.steps[-1])
    broken: list[Evidence] = []
    for words, over, value, base, limit in (
        ("last level", levels.role, end, base_end, END_RATIO),
        ("lowest level", levels.role, _lowest(levels.run), _lowest(levels.base), FLOOR_RATIO),
    ):
        if base > 0 and value / base > limit:
            what = f"{words} of {over} over the baseline's ({value:.4g} over {base:.4g})"
            broken.append(Evidence(what=what, value=value / base, threshold=limit, step=at))
    if levels.learned:
        share = float(levels.run[0] - levels.run[-1]) / levels.fall
        if share < IMPROVEMENT_SHARE:
            what = f"fall of {levels.role} over the baseline's ({levels.fall:.4g})"
            broken.append(
                Evidence(what=what, value=share, threshold=IMPROVEMENT_SHARE, step=at),
            )
    return broken


def _gradient_rule(run: dict[str, Curve], base: dict[str, Curve]) -> list[Evidence]:
    curves = _common("grad_norm", run, base)
    if curves is None:
        return []
    norm, base_norm = (float(np.median(curve.values)) for curve in curves)
    if base_norm <= 0 or norm / base_norm <= GRAD_NORM_RATIO:
        return []
    what = f"median gradient norm over the baseline's ({norm:.4g} over {base_norm:.4g})"
    return [Evidence(what=what, value=norm / base_norm, threshold=GRAD_NORM_RATIO)]


def _severity(broken: Sequence[Evidence]) -> Severity:
    """Grade what the loss that decides has broken.

    Critical where it did not learn what the baseline did, a warning where it ends higher; advice
    where the loss is as good as the baseline's, so that only another series or the gradient norm
    is worse.
    """
    if not broken:
        return "info"
    unlearned = any(each.threshold == IMPROVEMENT_SHARE for each in broken)
    return "critical" if unlearned else "warning"


def _scale(curves: dict[str, Curve], base: dict[str, Curve]) -> tuple[float, float] | None:
    """Return the least and the greatest factor between the training losses, if it is a scale.

    Another reduction multiplies the loss by the same from the first record to the last; a run that
    does not learn begins where the baseline did.
    """
    levels, common = _levels("loss/train", curves, base), _common("loss/train", curves, base)
    if levels is None or common is None or not levels.learned:
        return None
    first = [float(np.median(curve.values[:FIRST_RECORDS])) for curve in common]
    run, other = np.array([first[0], *levels.run]), np.array([first[1], *levels.base])
    if min(run.min(), other.min()) <= 0:
        return None
    least, greatest = float((run / other).min()), float((run / other).max())
    return (least, greatest) if least > END_RATIO and greatest < SCALE_RATIO * least else None


def _onset(levels: _Levels) -> int:
    """Return the step from which on the loss was worse to the end."""
    worse = levels.run - levels.base > LEAST_EXCESS * max(levels.fall, 0.0)
    better = np.flatnonzero(~worse)
    return int(levels.steps[better[-1] + 1 if len(better) else 0])


def _differ(info: RunInfo, base: RunInfo, key: str) -> bool:
    ours, theirs = getattr(info, key), getattr(base, key)
    return ours is not None and theirs is not None and ours != theirs


def _differences(info: RunInfo, base: RunInfo) -> list[Cause]:
    """Name what the two runs were told to do otherwise."""
    causes: list[Cause] = []
    for keys, words in (
        (SCALES, "not the same task or batch: the losses may not be comparable"),
        (CHANGES, "another set-up than the baseline's"),
    ):
        other = [
            f"{key} {getattr(info, key)} instead of {getattr(base, key)}"
            for key in keys
            if _differ(info, base, key)
        ]
        causes += [Cause(cause=words, because=", ".join(other))] * bool(other)
    return causes


def _measured(
    curves: dict[str, Curve], baseline: Baseline, scale: tuple[float, float] | None
) -> list[Cause]:
    """Name what was measured otherwise in the two runs."""
    causes: list[Cause] = []
    if scale is not None:
        because = f"the training loss is {scale[0]:.3g} to {scale[1]:.3g} times the baseline's"
        causes.append(
            Cause(
                cause="loss on another scale (reduction, accumulation)",
                because=f"{because} from the first records on",
            )
        )
    rates = _common("lr", curves, baseline.curves)
    if rates is not None:
        rate, base_rate = (float(np.median(curve.values)) for curve in rates)
        if min(rate, base_rate) > 0 and not 1 / LR_RATIO < rate / base_rate < LR_RATIO:
            words = "high" if rate > base_rate else "low"
            because = f"median lr {rate:.3g} against the baseline's {base_rate:.3g}"
            causes.append(Cause(cause=f"learning rate too {words}", because=because))
    return causes


def _next(info: RunInfo, baseline: Baseline) -> tuple[NextTest, ...]:
    unknown = [key for key in SCALES if None in (getattr(info, key), getattr(baseline.info, key))]
    ask = f"make sure that {', '.join(unknown)} are those of the baseline: run.json does not say so"
    asked = [NextTest(do=ask)] * bool(unknown)
    return (*asked, NextTest(do="compare data and labels with those of the baseline"))


def _needs(curves: dict[str, Curve], baseline: Baseline) -> str:
    both = [
        role for role in ("loss/train", "loss/val") if role in curves and role in baseline.curves
    ]
    if not both:
        return f"a loss/train or loss/val in the run and in {baseline.path} alike"
    least = LEAST_POINTS[both[0]]
    return f"{least} finite values of {both[0]} at steps that the run and {baseline.path} share"


def _lowest(levels: Floats) -> float:
    return float(levels.min())
