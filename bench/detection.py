"""How well the detectors detect, on labelled runs, and how fast.

    python bench/detection.py RUNS_DIR [--until STEP] [--list]
    python bench/detection.py --speed [--records N]

A run is a directory in traintop's diagnostics format with a `label.json`. Its records are fed in
the order of their steps, as somebody who watches the run would see them. Only findings of severity
`warning` or worse count, at their `detected_step`, and only ids that are built: a run whose
expected findings are all of other ids is not scored for recall.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from traintop.detectors.engine import Engine
from traintop.detectors.registry import DETECTORS, IDS
from traintop.records import Event, Finding, LayerNames, LayerStats, Row, RunInfo

TRAIN_ROLES = {
    "loss": "loss/train",
    "accuracy": "accuracy/train",
    "learning_rate": "lr",
    "weight_update": "update_ratio",
    "samples_per_sec": "throughput",
    "gpu_memory_mb": "gpu_memory",
}
VAL_ROLES = {"loss": "loss/val", "accuracy": "accuracy/val"}
ORDER = {"train": 0, "layers": 1, "val": 2, "event": 3}


def load_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file; one that is torn is left out."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                yield found


def number(value: Any) -> float | None:
    """A number however it was written, `"NaN"` and `"Infinity"` included; None for all else."""
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return None


def row(record: dict[str, Any], roles: dict[str, str]) -> Row:
    """A record as detectors see it."""
    values = {
        roles.get(key, key): found
        for key, value in record.items()
        if key not in ("step", "epoch", "time") and (found := number(value)) is not None
    }
    return Row(
        step=int(record["step"]),
        epoch=number(record.get("epoch")),
        time=number(record.get("time")),
        values=values,
    )


def layer_stats(record: dict[str, Any]) -> LayerStats:
    """A line of `layers.jsonl` after the first."""
    stats = {
        key: np.array([math.nan if (found := number(each)) is None else found for each in value])
        for key, value in record.items()
        if isinstance(value, list)
    }
    return LayerStats(step=int(record["step"]), train_mode=record.get("train_mode"), stats=stats)


def load_info(path: Path) -> RunInfo:
    """`run.json`, without the keys that `RunInfo` does not know."""
    known = RunInfo.__struct_fields__
    return RunInfo(
        **{key: value for key, value in json.loads(path.read_text()).items() if key in known}
    )


def judge(run: Path, until: int | None = None, engine: Engine | None = None) -> Engine:
    """Feed a run to an engine, all its tables merged by step."""
    engine = engine or Engine(load_info(run / "run.json"))
    records: list[tuple[int, int, str, dict[str, Any]]] = []
    for table, name in (
        ("train", "train_diagnostics.jsonl"),
        ("layers", "layers.jsonl"),
        ("val", "val_diagnostics.jsonl"),
        ("event", "events.jsonl"),
    ):
        for record in load_lines(run / name):
            if "names" in record:
                names = {key: tuple(record.get(key, ())) for key in LayerNames.__struct_fields__}
                engine.feed_layer_names(LayerNames(**names))
            elif "step" in record and (until is None or record["step"] <= until):
                records.append((int(record["step"]), ORDER[table], table, record))
    for step, _, table, record in sorted(records, key=lambda each: each[:2]):
        if table == "train":
            engine.feed_train(row(record, TRAIN_ROLES))
        elif table == "val":
            engine.feed_eval(row(record, VAL_ROLES))
        elif table == "layers":
            engine.feed_layers(layer_stats(record))
        else:
            fields = {
                key: value for key, value in record.items() if key not in ("step", "time", "event")
            }
            engine.feed_event(Event(event=record["event"], step=step, fields=fields))
    return engine


@dataclass
class Scores:
    """What the bench prints."""

    runs: int = 0
    healthy: int = 0
    false_alarms: list[str] = field(default_factory=list)
    expected: int = 0
    detected: int = 0
    faulty: int = 0
    wrong: list[str] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    by_fault: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    by_id: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0, 0]))
    """Id -> expected, neutral and wrong findings."""

    def add(self, name: str, label: dict[str, Any], findings: list[Finding]) -> None:
        """Score one run."""
        self.runs += 1
        onset = label.get("onset_step") or 0
        expected, neutral = set(label["expected_findings"]), set(label["acceptable_findings"])
        forbidden = set(label["forbidden_findings"])
        healthy = label["fault"] == "healthy"
        for finding in findings:
            ok = finding.id in expected and finding.detected_step >= onset
            is_wrong = finding.id in forbidden or ("*" in forbidden and finding.id not in neutral)
            self.by_id[finding.id][0 if ok else 2 if is_wrong else 1] += 1
        alarms = {
            f"{name}: {each.id} at {each.detected_step}"
            for each in findings
            if each.id not in neutral and (healthy or each.detected_step < onset)
        }
        self.false_alarms.extend(sorted(alarms)[:1])
        if healthy:
            self.healthy += 1
            return
        self.faulty += 1
        wrong = {
            f"{name}: {each.id} at {each.detected_step}"
            for each in findings
            if each.id in forbidden
        }
        self.wrong.extend(sorted(wrong)[:1])
        if not expected & set(IDS):
            return
        hits = [each for each in findings if each.id in expected and each.detected_step >= onset]
        self.expected += 1
        self.by_fault[label["fault"]][1] += 1
        if not hits:
            self.missed.append(name)
            return
        self.detected += 1
        self.by_fault[label["fault"]][0] += 1
        visible = label.get("visible_step")
        first = min(each.detected_step for each in hits)
        self.delays.append(max(0, first - (onset if visible is None else visible)))


def score(directory: Path, until: int | None, listing: bool) -> Scores:
    """Judge every labelled run below `directory`."""
    scores = Scores()
    for label_path in sorted(directory.glob("*/label.json")):
        run = label_path.parent
        engine = judge(run, until)
        found = [each for each in engine.findings if each.severity != "info"]
        scores.add(run.name, json.loads(label_path.read_text()), found)
        scores.failures.extend(f"{run.name}: {each.id}: {each.error}" for each in engine.failures)
        if listing:
            print(run.name)
            for each in engine.findings:
                measured = "; ".join(
                    f"{e.what} {e.value:.4g} ({e.threshold})" for e in each.evidence
                )
                print(
                    f"   {each.severity:8} {each.id:20} on {each.onset_step} "
                    f"seen {each.detected_step} over {each.resolved_step} | {each.title} | "
                    f"{measured}"
                )
    return scores


def table(scores: Scores) -> str:
    """The scores in words."""
    delays = sorted(scores.delays)
    tenth = delays[math.ceil(0.9 * len(delays)) - 1] if delays else math.nan
    middle = statistics.median(delays) if delays else math.nan
    recall = scores.detected / max(1, scores.expected)
    lines = [
        f"runs                {scores.runs} ({scores.healthy} healthy, {scores.faulty} faulty)",
        f"recall              {recall:.3f} = {scores.detected}/{scores.expected} runs in reach",
        f"false alarms        {len(scores.false_alarms)} runs",
        f"wrong findings      {len(scores.wrong)}/{scores.faulty} faulty runs",
        f"delay               median {middle:g}, p90 {tenth:g} steps",
        "",
        "id                     expected  neutral  wrong",
        *(f"{name:22} {a:8} {b:8} {c:6}" for name, (a, b, c) in sorted(scores.by_id.items())),
        "",
        "fault                  detected",
        *(f"{fault:22} {a:3}/{b}" for fault, (a, b) in sorted(scores.by_fault.items())),
    ]
    for heading, names in (
        ("false alarms", scores.false_alarms),
        ("wrong", scores.wrong),
        ("missed", scores.missed),
        ("failures", scores.failures),
    ):
        if names:
            lines += ["", f"{heading}:", *(f"  {name}" for name in names)]
    return "\n".join(lines)


def healthy_rows(count: int) -> list[Row]:
    """A healthy run as long as one likes: a noisy power law, warm-up and cosine."""
    noise = random.Random(0)  # noqa: S311 - a series, not a secret
    rows: list[Row] = []
    for step in range(count):
        done = step / count
        lr = 3e-4 * min(1.0, (step + 1) / (0.01 * count)) * 0.5 * (1 + math.cos(math.pi * done))
        values = {
            "loss/train": (1.8 + 8.0 * (step + 10) ** -0.25) * math.exp(0.05 * noise.gauss(0, 1)),
            "lr": lr,
            "grad_norm": 0.4 * math.exp(0.3 * noise.gauss(0, 1)),
            "update_ratio": 1e-3,
            "throughput": 1000.0,
            "gpu_memory": 8000.0,
        }
        rows.append(Row(step=step, epoch=None, time=None, values=values))
    return rows


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
        f"all detectors  {total:.2f} s for {count} records = {1e6 * total / count:.2f} us a "
        f"record, {raised} findings"
    )
    nothing, _ = price(())
    print(f"engine alone   {1e6 * nothing / count:.2f} us a record")
    for detector in DETECTORS:
        seconds, _ = price((detector,))
        print(f"{detector.id:22} {1e6 * (seconds - nothing) / count:.2f}")


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="?", type=Path, help="directory of labelled runs")
    parser.add_argument("--until", type=int, help="stop at this step, as somebody watching would")
    parser.add_argument("--list", action="store_true", help="print every finding")
    parser.add_argument("--speed", action="store_true", help="measure the price of a record")
    parser.add_argument("--records", type=int, default=200_000)
    arguments = parser.parse_args()
    if arguments.speed:
        speed(arguments.records)
    if arguments.runs:
        print(table(score(arguments.runs, arguments.until, arguments.list)))
    if not (arguments.speed or arguments.runs):
        parser.print_usage(sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
