"""How well overfitting is told on real curves of other people.

    python bench/overfit_curves.py DIR [--list]

`DIR/overfit` and `DIR/non_overfit` hold the curves, one JSON object a file at any depth:
`{"train_loss": [...], "val_loss": [...]}`, a value an epoch; `train_metric` and `monitor_metric`
name the lists where they are called otherwise. The 40 curves of OverfitGuard
(arXiv 2401.10359; repository asgaardlab/OverfitGuard, data/testing/real_world_data) lie like that.
Each is fed to the detectors as a run that logs once an epoch; it is called overfit if `overfitting`
is found with severity `warning` or worse. The published rules are scored beside them.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from published_rules import Alarm, Recorded, number, sagemaker, trend
from traintop.detectors.engine import Engine
from traintop.records import Row, RunInfo


@dataclass(frozen=True)
class Curve:
    """One run's losses, a value an epoch, and what is true of it."""

    name: str
    overfit: bool
    train: list[float]
    val: list[float]

    @property
    def minimum(self) -> int:
        """The epoch of the lowest validation loss."""
        finite = [value if math.isfinite(value) else math.inf for value in self.val]
        return finite.index(min(finite))


LISTS = (("train_metric", "train_loss"), ("monitor_metric", "val_loss"))
"""The keys that name the lists of a curve, and what the lists are called without them."""

Judge = Callable[[Curve], int | None]
"""The epoch at which a curve is called overfit, or None."""


def load(directory: Path) -> list[Curve]:
    """The curves below `directory`.

    Raises:
        SystemExit: A file has no losses, or there is none.
    """
    curves: list[Curve] = []
    for kind in ("overfit", "non_overfit"):
        for path in sorted((directory / kind).rglob("*.json")):
            try:
                content = json.loads(path.read_text())
                train, val = (
                    [number(value) for value in content[content.get(key, default)]]
                    for key, default in LISTS
                )
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                sys.exit(f"{path}: wants lists `train_loss` and `val_loss` ({error!r})")
            if not val:
                sys.exit(f"{path}: holds no validation loss")
            curves.append(Curve(path.stem, kind == "overfit", train, val))
    if not curves:
        sys.exit(f"{directory}: no *.json below overfit/ and non_overfit/")
    return curves


def ours(curve: Curve) -> int | None:
    """What our detectors say, fed epoch by epoch."""
    engine = Engine(RunInfo(cadence="epoch", planned_epochs=len(curve.val)))
    for epoch, (train, val) in enumerate(zip(curve.train, curve.val, strict=False)):
        for feed, role, value in (
            (engine.feed_train, "loss/train", train),
            (engine.feed_eval, "loss/val", val),
        ):
            feed(Row(step=epoch, epoch=epoch, time=None, values={role: value}))
    return min(
        (
            each.detected_step
            for each in engine.findings
            if each.id == "overfitting" and each.severity != "info"
        ),
        default=None,
    )


def by(rules: Callable[[Recorded], Iterable[Alarm]]) -> Judge:
    """What published rules say."""

    def judge(curve: Curve) -> int | None:
        def rows(values: list[float]) -> list[dict[str, float]]:
            return [
                {"step": epoch, "epoch": epoch, "loss": value} for epoch, value in enumerate(values)
            ]

        recorded = Recorded(info={}, train=rows(curve.train), val=rows(curve.val), layers=[])
        steps = [step for name, step in rules(recorded) if name == "overfitting"]
        return int(min(steps)) if steps else None

    return judge


def f1(hits: int, called: int, true: int) -> float:
    """The harmonic mean of precision and recall, from counts."""
    return 2 * hits / (called + true) if called + true else 0.0


def score(curves: list[Curve], judge: Judge) -> str:
    """One line of the table."""
    alarms = [(curve, at) for curve in curves if (at := judge(curve)) is not None]
    hits = sum(curve.overfit for curve, _ in alarms)
    true = sum(curve.overfit for curve in curves)
    silent, rejected = len(curves) - len(alarms), len(curves) - true
    right_silent = silent - (true - hits)
    macro = (f1(hits, len(alarms), true) + f1(right_silent, silent, rejected)) / 2
    delays = [at - curve.minimum for curve, at in alarms]
    return (
        f"{hits / max(1, len(alarms)):9.3f} {hits / max(1, true):6.3f} "
        f"{f1(hits, len(alarms), true):6.3f} {macro:8.3f} "
        f"{statistics.median(delays) if delays else math.nan:12g} "
        f"{sum(delay < 0 for delay in delays):13}"
    )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--list", action="store_true", help="print what is said of each curve")
    arguments = parser.parse_args()
    curves = load(arguments.directory)
    print(f"{len(curves)} curves, {sum(curve.overfit for curve in curves)} of them overfit")
    print("                 precision recall     F1 macro-F1 after minimum before minimum")
    judges: dict[str, Judge] = {
        "traintop": ours,
        "sagemaker": by(sagemaker),
        "train/val trend": by(trend),
    }
    for name, judge in judges.items():
        print(f"{name:16} {score(curves, judge)}")
    if arguments.list:
        for curve in curves:
            kind = "overfit" if curve.overfit else "not overfit"
            print(f"{curve.name}: {kind}, minimum at {curve.minimum}, said at {ours(curve)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
