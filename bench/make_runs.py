"""Makes runs to measure with: JSON lines with 20 metrics a step, and per-layer statistics.

    python bench/make_runs.py RUN.jsonl --steps 200000
    python bench/make_runs.py RUN_FOLDER --steps 10000 --layers 48
    python bench/make_runs.py RUN_FOLDER --steps 10000000 --metrics 6 --layers 500 --every 500

The curves are those of a run that goes well: power laws with noise, a warm-up and a cosine for the
learning rate, and now and then a gradient of a single step that is 10 to 50 times too large. They
are the same each time. A record takes about 700 bytes, as floats of full precision do.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

METRICS = (
    "train/loss", "val/loss", "train/accuracy", "val/accuracy", "grad_norm", "lr", "throughput",
    "memory", "weight_norm", "update_ratio", "step_time", "data_time", "perplexity", "entropy",
    "utilization", "power", "temperature", "attention_norm", "mlp_norm", "head_norm",
)  # fmt: skip
STEP_SECONDS = 0.2
BLOCK = 1000
SPIKES = 1 / 1500
"""Share of steps whose gradient is far too large."""


def values(block: int) -> npt.NDArray[np.float64]:
    """The metrics of the steps `block * BLOCK` and following; shape (BLOCK, 20)."""
    random = np.random.default_rng(block)
    step = np.arange(block * BLOCK, (block + 1) * BLOCK, dtype=float)
    noise = random.standard_normal((len(METRICS), BLOCK))
    level = 1.7 + 6.5 * (1 + step / 300) ** -0.5
    accuracy = 0.85 - 0.75 * (1 + step / 2000) ** -0.7
    norm = 0.6 * np.exp(0.25 * noise[4]) + 2 * (1 + step / 100) ** -1.0
    spiked = random.random(BLOCK) < SPIKES
    norm[spiked] *= random.uniform(10, 50, spiked.sum())
    loss = level + 0.04 * noise[0]
    columns = {
        "train/loss": loss,
        "val/loss": level + 0.12 + 0.01 * noise[1],
        "train/accuracy": accuracy + 0.01 * noise[2],
        "val/accuracy": accuracy - 0.02 + 0.005 * noise[3],
        "grad_norm": norm,
        "lr": 6e-4 * np.minimum(1, (step + 1) / 2000) * (0.55 + 0.45 * np.cos(step * 3e-6)),
        "throughput": 8.4e4 + 900 * noise[6],
        "memory": 31_000 + 40 * noise[7],
        "weight_norm": 60 + np.sqrt(step) / 20 + 0.05 * noise[8],
        "update_ratio": 1.2e-3 * np.exp(0.15 * noise[9]),
        "step_time": STEP_SECONDS + 0.004 * np.abs(noise[10]),
        "data_time": 0.01 + 0.002 * np.abs(noise[11]),
        "perplexity": np.exp(loss),
        "entropy": 0.9 * level + 0.05 * noise[13],
        "utilization": 97 - np.abs(noise[14]),
        "power": 610 + 12 * noise[15],
        "temperature": 64 + 0.8 * noise[16],
        "attention_norm": 0.5 * norm * np.exp(0.1 * noise[17]),
        "mlp_norm": 0.7 * norm * np.exp(0.1 * noise[18]),
        "head_norm": 0.3 * norm * np.exp(0.1 * noise[19]),
    }
    return np.column_stack([columns[name] for name in METRICS])


def records(first: int, began: float, metrics: int = len(METRICS)) -> Iterator[dict[str, float]]:
    """Yield the records from a step on, without end; `began` is the time of step 0."""
    for block in range(first // BLOCK, sys.maxsize):
        rows = values(block).tolist()
        for step, row in enumerate(rows, start=block * BLOCK):
            if step >= first:
                times = {"step": step, "time": round(began + STEP_SECONDS * step, 3)}
                yield {**times, **dict(zip(METRICS[:metrics], row[:metrics], strict=True))}


def write_jsonl(path: Path, steps: int, metrics: int = len(METRICS)) -> None:
    """Write a run whose last record has just been made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8") as file:
        for record in islice(records(0, time.time() - STEP_SECONDS * steps, metrics), steps):
            file.write(json.dumps(record) + "\n")
    part.replace(path)


def write_folder(
    folder: Path, steps: int, layers: int, every: int = 10, metrics: int = len(METRICS)
) -> None:
    """Write a run of the format of traintop's recorder, with the statistics of some layers."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    scale = np.geomspace(1, 0.02, layers)
    names = {
        "names": [f"blocks.{index}.mlp.weight" for index in range(layers)],
        "act_names": [f"blocks.{index}.mlp.act" for index in range(layers)],
        "act_kinds": ["relu"] * layers,
    }
    with (folder / "layers.jsonl").open("w", encoding="utf-8") as file:
        file.write(json.dumps(names) + "\n")
        for step in range(0, steps, every):
            record = {
                "step": step,
                "grad_norm": (scale * np.exp(0.2 * random.standard_normal(layers))).tolist(),
                "update_ratio": (1e-3 * np.exp(0.2 * random.standard_normal(layers))).tolist(),
                "act_dead_frac": random.uniform(0, 0.1, layers).tolist(),
            }
            file.write(json.dumps(record) + "\n")
    (folder / "run.json").write_text(json.dumps({"format": "traintop/1", "planned_steps": steps}))
    write_jsonl(folder / "train_diagnostics.jsonl", steps, metrics)


class Appender:
    """Appends records to a run, each in one write.

    Args:
        path: A run of `write_jsonl`.
        first: The step to go on with.
    """

    def __init__(self, path: Path, first: int) -> None:
        self._records = records(first, time.time() - STEP_SECONDS * first)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)

    def append(self, **replaced: float) -> int:
        """Append the next record with some metrics replaced; return its step."""
        record = {**next(self._records), **replaced}
        os.write(self._file, (json.dumps(record) + "\n").encode())
        return int(record["step"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)


def main() -> None:
    """Write one run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="a file, or with --layers a folder")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--layers", type=int, default=0, help="write a folder with so many layers")
    parser.add_argument("--every", type=int, default=10, help="steps between those of layers")
    parser.add_argument("--metrics", type=int, default=len(METRICS), help="at most 20")
    arguments = parser.parse_args()
    if arguments.layers:
        write_folder(
            arguments.path, arguments.steps, arguments.layers, arguments.every, arguments.metrics
        )
    else:
        write_jsonl(arguments.path, arguments.steps, arguments.metrics)
    files = [arguments.path] if arguments.path.is_file() else list(arguments.path.iterdir())
    print(f"{arguments.path}: {sum(file.stat().st_size for file in files) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
