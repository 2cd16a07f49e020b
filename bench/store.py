"""What the store costs: nanoseconds a value taken in, memory, and a frame.

    python bench/store.py                    the table of the README
    python bench/store.py series 10000000 8 prepend

Each line is measured in a process of its own, so that the peak of its memory is its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from traintop.records import Column, LayerBlock, LayerNames, Rows
from traintop.store import LayerTable, Storage, Store

BURST = 5000
COLUMNS = 400
CASES = (
    ("series", 200_000, 20, "append"),
    ("series", 1_000_000, 20, "append"),
    ("series", 1_000_000, 20, "prepend"),
    ("series", 10_000_000, 8, "append"),
    ("series", 10_000_000, 8, "prepend"),
    ("layers", 20_000, 500, "append"),
    ("layers", 20_000, 500, "prepend"),
)
STATS = 6


def peak() -> int:
    """Return the peak of the memory of this process in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def series(storage: Storage, steps: int, count: int, order: str) -> dict[str, float]:
    """Take in series in bursts, then reduce them all to a screen's width."""
    store = Store(storage)
    random = np.random.default_rng(0)
    values = random.normal(size=(count, BURST))
    blank = np.full(BURST, np.nan)
    names = [f"metric{index}" for index in range(count)]
    firsts = range(0, steps, BURST)
    taken = 0.0
    for first in reversed(firsts) if order == "prepend" else firsts:
        rows = Rows(
            table="train",
            step=np.arange(first, first + BURST, dtype=np.float64),
            epoch=blank,
            time=blank,
            columns={name: Column(values=part) for name, part in zip(names, values, strict=True)},
        )
        begin = time.perf_counter()
        if order == "prepend":
            assert store.prepend(rows)
        else:
            store.add(rows)
        taken += time.perf_counter() - begin
        storage.trim()
    table = store.runs[0].tables["train"]
    held = peak()

    def frame(first: float, last: float) -> float:
        storage.trim()
        begin = time.perf_counter()
        edges = np.linspace(first, last, COLUMNS + 1)
        for each in table.series.values():
            each.reduce(table.row_edges(edges))
        return 1000 * (time.perf_counter() - begin)

    cold, warm = frame(0, steps), frame(0, steps)
    zoomed = frame(steps / 3, steps / 3 + 50 * COLUMNS)
    begin = time.perf_counter()
    for each in table.series.values():
        each.summary()
        each.nonfinite_rows()
    summary = 1000 * (time.perf_counter() - begin)
    return {
        "ns a value": 1e9 * taken / (steps * count),
        "seconds": taken,
        "peak MB": held,
        "frame ms": warm,
        "first frame ms": cold,
        "zoomed ms": zoomed,
        "summaries ms": summary,
    }


def layers(storage: Storage, records: int, width: int, order: str) -> dict[str, float]:
    """Take in six statistics of layers in blocks, then reduce one to a heat-map."""
    table = LayerTable(LayerNames(names=tuple(f"layer{at}" for at in range(width))), storage)
    values = np.random.default_rng(0).random((200, width))
    firsts = range(0, records, 200)
    taken = 0.0
    for first in reversed(firsts) if order == "prepend" else firsts:
        block = LayerBlock(
            step=np.arange(first, first + 200, dtype=np.float64),
            train_mode=np.full(200, -1, np.int8),
            stats={f"stat{at}": values for at in range(STATS)},
        )
        begin = time.perf_counter()
        (table.prepend if order == "prepend" else table.append)(block)
        taken += time.perf_counter() - begin
        storage.trim()
    held = peak()

    def frame(first: float, last: float) -> float:
        begin = time.perf_counter()
        table.reduce("stat1", np.linspace(first, last, COLUMNS // 2 + 1))
        return 1000 * (time.perf_counter() - begin)

    cold, warm = frame(0, records), frame(0, records)
    zoomed = frame(records / 3, records / 3 + 2000)
    begin = time.perf_counter()
    table.reduce_layer("stat2", "layer7", np.linspace(0, records, COLUMNS + 1))
    one = 1000 * (time.perf_counter() - begin)
    return {
        "ns a value": 1e9 * taken / (records * width * STATS),
        "seconds": taken,
        "peak MB": held,
        "frame ms": warm,
        "first frame ms": cold,
        "zoomed ms": zoomed,
        "one layer ms": one,
    }


def main() -> None:
    """Measure one case, or all."""
    if len(sys.argv) > 1:
        what, steps, count, order = sys.argv[1:5]
        base = peak()
        with tempfile.TemporaryDirectory(dir=Path.home() / ".cache") as folder:
            storage = Storage(None if "memory" in sys.argv[5:] else Path(folder))
            measure = series if what == "series" else layers
            found = measure(storage, int(steps), int(count), order)
        found["peak MB"] -= base
        found["peak MB with frames"] = peak() - base
        print(json.dumps(found))
        return
    for case in CASES:
        command = [sys.executable, __file__, *map(str, case)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        figures = ", ".join(f"{name} {value:.4g}" for name, value in json.loads(out).items())
        print(*case, figures, sep="  ", flush=True)


if __name__ == "__main__":
    main()
