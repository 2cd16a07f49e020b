"""How well the detectors detect, on labelled runs, and what they cost.

    python bench/detection.py RUNS_DIR [--only GLOB] [--list] [--rivals] [--signals loss|scalars]
    python bench/detection.py --speed [--records N]

A run is a directory in traintop's diagnostics format with a `label.json`. It is read and judged as
`traintop check` does it. `--live` judges each run again up to the step of each of its findings and
up to the step before, as somebody who watched would have seen it.

`--signals loss` leaves the detectors what most logs have: loss, learning rate and gradient norm of
each step, loss and accuracy of evaluations; `--signals scalars` everything but the layers;
`--without run.json` forgets what the run said of itself.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from scoring import Label, Scores
from traintop.detectors.engine import Engine
from traintop.detectors.registry import DETECTORS
from traintop.opening import read_whole
from traintop.records import Finding, LayerNames, LayerStats, Row, RunInfo
from traintop.settings import Settings

AXES = {"step", "epoch", "time", "num_batches"}
LOSS_KEYS = {
    "train_diagnostics.jsonl": AXES | {"loss", "learning_rate", "grad_norm"},
    "val_diagnostics.jsonl": AXES | {"loss", "accuracy"},
}

Judge = Callable[[Path], list[Finding]]


def ours(run: Path, until: int | None = None) -> list[Finding]:
    """What `traintop check` finds in a run."""
    session = read_whole(run, Settings(), until=until)
    for failed in session.failures():
        print(f"{run}: {failed.id} failed: {failed.error}", file=sys.stderr)
    return list(session.findings())


def counts(finding: Finding) -> bool:
    """Whether it is more than advice."""
    return finding.severity != "info"


def live(run: Path) -> list[Finding]:
    """The same, and that each finding was there at its step and not before.

    Raises:
        RuntimeError: Somebody who watched would have seen something else.
    """
    findings = ours(run)
    for each in filter(counts, findings):
        # Advice that becomes a warning is dated anew.
        before = {found.key for found in ours(run, each.detected_step - 1) if counts(found)}
        then = {found.key for found in ours(run, each.detected_step) if counts(found)}
        if each.key in before or each.key not in then:
            raise RuntimeError(f"{run}: {each.id} was not seen at step {each.detected_step}")
    return findings


def score(runs: list[Path], judge: Judge, jobs: int) -> tuple[Scores, dict[str, list[Finding]]]:
    """Judge runs in processes of their own, and score what was said."""
    scores = Scores()
    said: dict[str, list[Finding]] = {}
    with ProcessPoolExecutor(jobs) as pool:
        for run, findings in zip(runs, pool.map(judge, runs), strict=True):
            label = msgspec.json.decode((run / "label.json").read_bytes(), type=Label)
            scores.add(run.name, label, findings)
            said[run.name] = findings
    return scores, said


@contextmanager
def reduced(runs: list[Path], signals: str, without: list[str]) -> Iterator[list[Path]]:
    """Copies of runs with fewer signals or files; the runs themselves where nothing is left out."""
    if signals == "all" and not without:
        yield runs
        return
    with tempfile.TemporaryDirectory() as folder:
        copies = [Path(folder) / run.name for run in runs]
        for run, copy in zip(runs, copies, strict=True):
            copy.mkdir()
            for file in run.iterdir():
                if file.name in without or (signals != "all" and file.name == "layers.jsonl"):
                    continue
                kept_keys = LOSS_KEYS.get(file.name)
                if signals == "loss" and kept_keys is not None:
                    records = map(json.loads, file.read_text().splitlines())
                    kept = [
                        {key: value for key, value in record.items() if key in kept_keys}
                        for record in records
                    ]
                    (copy / file.name).write_text("".join(f"{json.dumps(each)}\n" for each in kept))
                else:
                    shutil.copy(file, copy)
        yield copies


def print_findings(name: str, findings: list[Finding]) -> None:
    """Print what was said of a run."""
    print(name)
    for each in findings:
        measured = "; ".join(
            f"{evidence.what} {evidence.value:.4g}"
            + ("" if evidence.threshold is None else f" ({evidence.threshold:.4g})")
            for evidence in each.evidence
        )
        causes = "; ".join(cause.cause for cause in each.causes)
        print(
            f"   {each.severity:8} {each.id:20} on {each.onset_step} seen {each.detected_step} "
            f"over {each.resolved_step} | {measured} | {causes}"
        )


def compare(runs: list[Path], jobs: int) -> None:
    """Print ours and the rivals' scores side by side."""
    from rivals import RIVALS

    judges: dict[str, Judge] = {"traintop": ours, **RIVALS}
    totals = {name: score(runs, judge, jobs)[0].totals() for name, judge in judges.items()}
    for measure in totals["traintop"]:
        print(f"\n{measure}")
        for name, values in totals.items():
            print(f"  {name:32} {values[measure]}")


def healthy_rows(count: int) -> list[Row]:
    """A healthy run as long as one likes: a noisy power law, warm-up and cosine."""
    noise = random.Random(0)  # noqa: S311 - a series, not a secret
    rows: list[Row] = []
    for step in range(count):
        done = step / count
        lr = 3e-4 * min(1.0, (step + 1) / (0.01 * count)) * 0.5 * (1 + math.cos(math.pi * done))
        values = {
            "loss/train": (1.8 + 8.0 * (step + 10) ** -0.25) * math.exp(0.05 * noise.gauss(0, 1)),
            "accuracy/train": 0.5 + 0.05 * noise.gauss(0, 1),
            "lr": lr,
            "grad_norm": 0.4 * math.exp(0.3 * noise.gauss(0, 1)),
            "grad_cos": 0.1 * noise.gauss(0, 1),
            "update_ratio": 1e-3 * math.exp(0.1 * noise.gauss(0, 1)),
            "throughput": 1000.0 + 20 * noise.gauss(0, 1),
            "gpu_memory": 8000.0 + 5 * noise.gauss(0, 1),
            "loss_scale": 65536.0,
            "skipped_step": 0.0,
        } | {f"custom_{index}": 1.0 for index in range(10)}
        rows.append(Row(step=step, epoch=None, time=float(step), values=values))
    return rows


def healthy_layers(count: int, layers: int = 500, stats: int = 15) -> list[LayerStats]:
    """Layer records of a healthy run."""
    import numpy as np

    generator = np.random.default_rng(0)
    names = [
        *("grad_norm", "grad_mean", "grad_std", "grad_min", "grad_max", "grad_zero_frac"),
        *("weight_norm", "update_ratio", "act_mean", "act_std", "act_zero_frac"),
        *("act_dead_frac", "act_sat_frac", "grad_nan"),
    ]
    names += [f"custom_{index}" for index in range(stats - len(names))]
    scale = {"grad_nan": 0.0, "act_dead_frac": 0.01, "act_sat_frac": 0.01, "update_ratio": 1e-3}
    return [
        LayerStats(
            step=10 * index,
            train_mode=True,
            stats={
                name: scale.get(name, 1.0) * np.exp(0.1 * generator.normal(size=layers))
                for name in names
            },
        )
        for index in range(count)
    ]


def speed(count: int) -> None:
    """Print the price of a record, for all detectors together and for each alone."""
    rows = healthy_rows(count)
    info = RunInfo(planned_steps=count, batch_size=64)

    def price(detectors: Any) -> tuple[float, int]:
        best = math.inf
        raised = 0
        for _ in range(3):
            engine = Engine(info, detectors=detectors)
            feed = engine.feed_train
            start = time.process_time()
            for each in rows:
                feed(each)
            best = min(best, time.process_time() - start)
            raised = len(engine.findings)
        return best, raised

    total, raised = price(DETECTORS)
    print(
        f"all detectors  {1e6 * total / count:.2f} us a record of 20 metrics = "
        f"{count / total:,.0f} records/s, {total / count * 1e6:.1f} s a million; {raised} findings"
    )
    nothing, _ = price(())
    print(f"engine alone   {1e6 * nothing / count:.2f} us a record")
    for detector in DETECTORS:
        seconds, _ = price((detector,))
        print(f"{detector.id:28} {1e6 * (seconds - nothing) / count:.2f}")
    records = healthy_layers(200)
    engine = Engine(info)
    layers = tuple(f"layer{index}.weight" for index in range(500))
    kinds = ("relu",) * 500
    engine.feed_layer_names(
        LayerNames(names=layers, numel=(1000,) * 500, act_names=layers, act_kinds=kinds)
    )
    start = time.process_time()
    for record in records:
        engine.feed_layers(record)
    spent = time.process_time() - start
    print(f"layer records of 500 layers x 15 statistics: {1e3 * spent / len(records):.2f} ms each")


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="?", type=Path, help="directory of labelled runs")
    parser.add_argument("--only", default="*", help="runs whose name matches")
    parser.add_argument("--list", action="store_true", help="print every finding")
    parser.add_argument("--live", action="store_true", help="judge up to each finding again")
    parser.add_argument("--signals", choices=("all", "scalars", "loss"), default="all")
    parser.add_argument("--without", action="append", default=[], metavar="FILE")
    parser.add_argument("--rivals", action="store_true", help="score rivals on the same runs")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--speed", action="store_true", help="measure the price of a record")
    parser.add_argument("--records", type=int, default=200_000)
    arguments = parser.parse_args()
    if arguments.speed:
        speed(arguments.records)
    elif arguments.runs is None:
        parser.print_usage(sys.stderr)
        return 2
    else:
        runs = sorted(label.parent for label in arguments.runs.glob(f"{arguments.only}/label.json"))
        if not runs:
            print(f"{arguments.runs}: no label.json in any directory there", file=sys.stderr)
            return 2
        with reduced(runs, arguments.signals, arguments.without) as chosen:
            if arguments.rivals:
                compare(chosen, arguments.jobs)
                return 0
            judge: Judge = live if arguments.live else partial(ours, until=None)
            scores, said = score(chosen, judge, arguments.jobs)
        if arguments.list:
            for name, findings in said.items():
                print_findings(name, findings)
        print(scores.text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
