"""Other detectors on our labelled runs: published rules, and the tools on PyPI that read logs.

`RIVALS` maps a name to a function from a run directory to findings with our ids. The published
rules are in `published_rules.py`. trainproof and runmedic are called as their users call them: the
command line on the log of a finished run, in a format that both read (Hugging Face's
`trainer_state.json`). They judge it as a whole, so their findings are dated at its last step and
their delay says nothing (`OFFLINE`). To have them beside the published rules, install them in an
environment of their own and name its folder of programs:

    python -m venv /tmp/rivals && /tmp/rivals/bin/pip install trainproof runmedic
    RIVALS_PATH=/tmp/rivals/bin python bench/detection.py RUNS_DIR --rivals
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from published_rules import Alarm, Recorded, number, sagemaker, trend
from traintop.records import Finding, Severity

Rival = Callable[[Path], list[Finding]]

TRAINPROOF_IDS = {
    "TP-NAN": "nan_inf",
    "TP-NAN-GRAD": "nan_inf",
    "TP-ZERO-LOSS": "masked_nan",
    "TP-ZERO-LOSS-ONSET": "masked_nan",
    "TP-FLAT": "not_learning",
    "TP-DEAD-RUN": "not_learning",
    "TP-DIVERGE": "divergence",
    "TP-ZERO-GRAD": "frozen_params",
    "TP-GRAD-SPIKE": "exploding_gradients",
    "TP-ZERO-LR": "lr_too_low",
    "TP-ZERO-LR-PARTIAL": "lr_too_low",
    "TP-OVERFIT": "overfitting",
    "TP-STEP-CLIFF": "throughput_drop",
}
"""trainproof 0.22. Ids without one of ours (`TP-LOADER-BOUND` ...) are kept as they are."""

TRAINPROOF_SEVERITIES: dict[str, Severity] = {
    "FAIL": "critical",
    "WARN": "warning",
    "INFO": "info",
}
"""Levels that are findings; PASS and NOT-CHECKED are none."""

RUNMEDIC_IDS = {
    "non_finite": "nan_inf",
    "divergence": "divergence",
    "no_learning": "not_learning",
    "overfitting": "overfitting",
    "loss_spikes": "loss_spike",
    "grad_spikes": "exploding_gradients",
    "val_below_train": "val_leakage",
    "constant_lr_plateau": "plateau",
    "slow_steps": "throughput_drop",
    "slowdown": "throughput_drop",
    "memory_growth": "memory_leak",
}
"""runmedic 0.1. Ids without one of ours (`input_bound`, `log:...`) are kept as they are."""

OFFLINE = frozenset({"trainproof", "runmedic"})
"""Rivals that judge a finished run: no delay, and no alarm before a fault's onset."""


def finding(name: str, severity: Severity, title: str, onset: float, detected: float) -> Finding:
    """A rival's verdict as one of our findings."""
    return Finding(
        id=name,
        severity=severity,
        title=title,
        onset_step=int(onset),
        detected_step=int(detected),
    )


def by_rules(rules: Callable[[Recorded], Iterable[Alarm]], run: Path) -> list[Finding]:
    """The findings of published rules.

    A rule has no episodes: while it holds, it is said once in each tenth of the run, so that an
    early false alarm does not hide what it says of a fault that comes later.
    """
    recorded = Recorded.load(run)
    tenth = max(recorded.last_step / 10, 1.0)
    first: dict[tuple[str, int], float] = {}
    for name, step in rules(recorded):
        key = (name, int(step / tenth))
        first[key] = min(step, first.get(key, step))
    return [
        finding(name, "warning", "published rule", step, step)
        for (name, _), step in sorted(first.items(), key=lambda each: each[1])
    ]


def trainer_state(run: Recorded) -> dict[str, Any]:
    """A run as Hugging Face's Trainer would have written it at its end.

    `step_time` is the batch size over the throughput, for the rules that judge it.
    """
    history: list[dict[str, Any]] = []
    for row in run.train:
        entry = {key: number(value) for key, value in row.items() if value is not None}
        rate, batch = entry.get("samples_per_sec", 0.0), run.info.get("batch_size")
        if batch and rate > 0:
            entry["step_time"] = batch / rate
        history.append(entry)
    for row in run.val:
        entry = {f"eval_{key}": number(row[key]) for key in ("loss", "accuracy") if key in row}
        history.append({"step": row["step"], "epoch": row.get("epoch", 0), **entry})
    history.sort(key=lambda entry: entry["step"])
    return {
        "global_step": run.last_step,
        "max_steps": run.info.get("planned_steps") or run.last_step,
        "num_train_epochs": run.info.get("planned_epochs") or 1,
        "logging_steps": 1,
        "log_history": history,
    }


def report(command: list[str], run: Recorded) -> Any:
    """What a tool says of a run with `--json`; the log's folder is its last argument.

    Raises:
        RuntimeError: It printed no JSON.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "trainer_state.json"
        log.write_text(json.dumps(trainer_state(run)))
        done = subprocess.run(
            [*command, str(log)], capture_output=True, text=True, timeout=120, check=False
        )
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(
            f"{command[0]} printed no JSON (exit code {done.returncode}): {done.stderr.strip()}"
        ) from None


def trainproof(program: str, path: Path) -> list[Finding]:
    """`trainproof epoch LOG --json`."""
    run = Recorded.load(path)
    found: list[Finding] = []
    for verdict in report([program, "epoch", "--json"], run)["reports"]:
        for each in verdict["findings"]:
            severity = TRAINPROOF_SEVERITIES.get(each["level"])
            if severity is not None:
                name = TRAINPROOF_IDS.get(each["id"]) or each["id"]
                found.append(finding(name, severity, each["message"], run.last_step, run.last_step))
    return found


def runmedic(program: str, path: Path) -> list[Finding]:
    """`runmedic diagnose LOG --json`."""
    run = Recorded.load(path)
    found: list[Finding] = []
    for verdict in report([program, "diagnose", "--json"], run):
        for each in verdict["findings"]:
            name = RUNMEDIC_IDS.get(each["check"]) or each["check"]
            onset = run.last_step if each.get("step") is None else each["step"]
            found.append(finding(name, each["severity"], each["title"], onset, run.last_step))
    return found


def installed() -> dict[str, Rival]:
    """The rivals that there are; the tools that are not installed are named on stderr."""
    found: dict[str, Rival] = {
        "sagemaker": partial(by_rules, sagemaker),
        "sagemaker, per epoch": partial(by_rules, partial(sagemaker, per_epoch=True)),
        "train/val trend": partial(by_rules, trend),
    }
    for name, judge in (("trainproof", trainproof), ("runmedic", runmedic)):
        program = shutil.which(name, path=os.environ.get("RIVALS_PATH"))
        if program is None:
            print(f"{name} is left out: pip install {name}, then set RIVALS_PATH", file=sys.stderr)
        else:
            found[name] = partial(judge, program)
    return found


RIVALS: dict[str, Rival] = installed()
