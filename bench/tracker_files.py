"""How fast the whole history of TensorBoard and W&B files is read, start of the process included.

    python bench/tracker_files.py --steps 200000 --core 1

The run of `make_runs.py`, 20 metrics a step, is written as PyTorch's `SummaryWriter` writes it (an
event a scalar) and as W&B's client does (a summary and a row a step, the items in ever another
order). A fresh process then reads each file through a session, without judging, to its end. Prints
one JSON object a file: seconds by the clock and of CPU, MB a second, peak memory; medians.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

from make_runs import METRICS, records
from traintop.sources.tfevents.crc32c import checksum, mask, position_table

STARTED = 1_760_000_000
BLOCK = 1 << 15


def main() -> None:
    """Write the files, and read each in processes of their own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--core", type=int, help="the core that reads")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.read is not None:
        _read(parsed.read)
        return
    with tempfile.TemporaryDirectory() as folder:
        for write in (_write_events, _write_wandb):
            path = write(Path(folder), parsed.steps)
            pin = [] if parsed.core is None else ["taskset", "-c", str(parsed.core)]
            runs = [_measure([*pin, sys.executable, __file__, "--read", str(path)])
                    for _ in range(parsed.reps)]  # fmt: skip
            assert all(run["points"] == parsed.steps * len(METRICS) for run in runs)
            result = {"file": path.name, "MB": path.stat().st_size / 1e6}
            result |= {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            print(json.dumps(result | {"MB/s": result["MB"] / result["seconds"]}), flush=True)


def _measure(command: list[str]) -> dict[str, float]:
    began = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return {"seconds": time.perf_counter() - began, **found}


def _read(path: Path) -> None:
    """Read a file to its end, and say what that took."""
    from traintop.session import Session
    from traintop.settings import Settings

    session = Session(path, Settings(), judge=False)
    while session.pump(time.time()).more:
        pass
    session.finish()
    tables = [table for run in session.store.runs for table in run.tables.values()]
    points = sum(len(one) for table in tables for one in table.series.values())
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime
    print(json.dumps({"cpu_seconds": cpu, "peak_MB": used.ru_maxrss / 1024, "points": points}))


def _steps(count: int) -> Iterator[dict[str, float]]:
    return islice(records(0, STARTED), count)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes((*out, number))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


# --- TensorBoard ------------------------------------------------------------------------------


def _write_events(folder: Path, steps: int) -> Path:
    path = folder / f"events.out.tfevents.{STARTED}.host.1.0"
    tags = [_field(1, name.encode()) + b"\x15" for name in METRICS]
    with path.open("wb", buffering=1 << 20) as file:
        file.write(_record(b"\x09" + struct.pack("<d", STARTED) + _field(3, b"brain.Event:2")))
        for values in _steps(steps):
            step = int(values["step"])
            head = b"\x09" + struct.pack("<d", values["time"]) + b"\x10" + _varint(step)
            for name, tag in zip(METRICS, tags, strict=True):
                value = tag + struct.pack("<f", values[name])
                file.write(_record(head + _field(5, _field(1, value))))
    return path


def _record(data: bytes) -> bytes:
    return _length(len(data)) + data + struct.pack("<I", mask(_crc(data)))


@cache
def _length(size: int) -> bytes:
    head = struct.pack("<Q", size)
    return head + struct.pack("<I", mask(checksum(head)))


_TABLE: list[int] = position_table()[0].tolist()


def _crc(data: bytes) -> int:
    """A byte at a time: numpy is slower for so few."""
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


# --- W&B --------------------------------------------------------------------------------------


def _write_wandb(folder: Path, steps: int) -> Path:
    path = folder / "run-bench.wandb"
    shuffle = random.Random(0).shuffle  # noqa: S311
    with path.open("wb", buffering=1 << 20) as file:
        file.write(b":W&B\xe1\xbe\0")
        at = 7
        for number, values in enumerate(_steps(steps)):
            row = {"_step": values["step"], "_timestamp": values["time"]}
            row |= {name: values[name] for name in METRICS}
            items = [
                _field(1, _field(2, key.encode()) + _field(16, json.dumps(value).encode()))
                for key, value in row.items()
            ]
            for kind in (3, 2):  # a summary, and the row
                shuffle(items)
                record = b"\x08" + _varint(2 * number + kind) + _field(kind, b"".join(items))
                pieces = _pieces(record, at)
                file.write(pieces)
                at += len(pieces)
    return path


def _pieces(data: bytes, at: int) -> bytes:
    """A record as it lies in the blocks of the file, from a place on."""
    out = bytearray()
    first = True
    while True:
        room = BLOCK - (at + len(out)) % BLOCK
        if room < 7:
            out += bytes(room)
            continue
        piece, data = data[: room - 7], data[room - 7 :]
        kind = (1 if first else 4) if not data else (2 if first else 3)
        first = False
        out += struct.pack("<IHB", zlib.crc32(bytes([kind]) + piece), len(piece), kind) + piece
        if not data:
            return bytes(out)


if __name__ == "__main__":
    # Where this was started from, the package need not be installed.
    os.environ.setdefault("PYTHONPATH", os.pathsep.join(sys.path))
    main()
