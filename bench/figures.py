"""What a measure gives: figures of each repetition, their medians, a JSON line and a table."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

Figures = dict[str, float | None]
"""One repetition: name with its unit at the end -> value; None: it did not come to that."""


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of the values does not pass."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def median_row(measure: str, name: str, repetitions: Sequence[Figures]) -> dict[str, Any]:
    """The medians of repetitions, with every single value beside them."""
    names = dict.fromkeys(figure for each in repetitions for figure in each)
    every = {
        figure: [
            None if (value := each.get(figure)) is None else round(value, 3) for each in repetitions
        ]
        for figure in names
    }
    known = {figure: [v for v in values if v is not None] for figure, values in every.items()}
    medians = {
        figure: round(statistics.median(values), 3) if values else None
        for figure, values in known.items()
    }
    return {
        "measure": measure,
        "name": name,
        "repetitions": len(repetitions),
        **medians,
        "each": every,
    }


def repeat(measure: str, name: str, times: int, once: Callable[[], Figures]) -> dict[str, Any]:
    """Measure some times; a repetition that fails is told, counted and left out."""
    done: list[Figures] = []
    for _ in range(times):
        try:
            done.append(once())
        except (TimeoutError, RuntimeError) as error:
            print(f"{measure}, {name}: {error}", file=sys.stderr)
    return {**median_row(measure, name, done), "failed": times - len(done)}


def machine() -> dict[str, Any]:
    """What it is measured on and with."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    tmux = subprocess.run(["tmux", "-V"], capture_output=True, text=True, check=True).stdout
    describe = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    commit = subprocess.run(describe, capture_output=True, text=True, check=False).stdout
    return {
        "measure": "machine",
        "commit": commit.strip() or None,
        "cpu": model,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "textual": version("textual"),
        "traintop": version("traintop"),
        "tmux": tmux.split()[-1],
    }


def print_row(row: dict[str, Any]) -> None:
    """Print a JSON object on a line of its own."""
    print(json.dumps(row), flush=True)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The medians, and in brackets the least and the greatest of each, for people."""
    lines: list[str] = []
    for row in rows:
        lines.append(f"{row['measure']}: {row['name']}")
        for figure, values in row["each"].items():
            known = [value for value in values if value is not None]
            if known:
                spread = f"({min(known):.3f} to {max(known):.3f})"
                lines.append(f"    {figure:<16}{row[figure]:>12.3f}  {spread}")
    return "\n".join(lines)
