"""Runs on disk for tests."""

from __future__ import annotations

import json
import math
from pathlib import Path


def write_run(folder: Path, steps: int = 300, *, layers: bool = True, log: bool = True) -> Path:
    """Write a healthy run of our own format that ends with a loss of NaN if `steps` is over 400."""
    folder.mkdir(parents=True, exist_ok=True)
    info = {"model": "MLP", "planned_steps": steps, "steps_per_epoch": 50, "num_classes": 10}
    (folder / "run.json").write_text(json.dumps(info))
    with (folder / "train_diagnostics.jsonl").open("w") as file:
        for step in range(steps):
            loss = 2.3 * math.exp(-step / 80) + 0.2 + 0.02 * math.sin(step * 1.7)
            record = {
                "step": step,
                "epoch": step // 50,
                "loss": loss if step < 400 else "NaN",
                "accuracy": 1 - loss / 3,
                "learning_rate": 1e-3 * min(step / 20, 1),
                "grad_norm": 1 + 0.3 * math.sin(step),
                "samples_per_sec": 900 + step % 7,
                "time": 1_800_000_000 + step * 0.5,
            }
            file.write(json.dumps(record) + "\n")
    with (folder / "val_diagnostics.jsonl").open("w") as file:
        for step in range(49, steps, 50):
            loss = 2.3 * math.exp(-step / 80) + 0.3
            file.write(json.dumps({"step": step, "loss": loss, "accuracy": 0.8}) + "\n")
    if layers:
        names = {"names": ["a.weight", "b.weight"], "act_names": ["a.relu"], "act_kinds": ["relu"]}
        with (folder / "layers.jsonl").open("w") as file:
            file.write(json.dumps(names) + "\n")
            for step in range(0, steps, 10):
                record = {
                    "step": step,
                    "grad_norm": [0.5 + step / 1000, 0.2],
                    "update_ratio": [1e-3, 2e-3],
                    "act_dead_frac": [0.1],
                }
                file.write(json.dumps(record) + "\n")
    if log:
        lines = [
            f"step {step} loss {2.3 * math.exp(-step / 80):.4f}" for step in range(0, steps, 10)
        ]
        lines += [
            "WARNING: the disk is nearly full",
            "Traceback (most recent call last):",
            '  File "train.py", line 1, in <module>',
            "ValueError: [bold]not markup[/bold] \x1b[31mnot red",
            "goes on",
        ]
        (folder / "train.log").write_text("\n".join(lines) + "\n")
    return folder
