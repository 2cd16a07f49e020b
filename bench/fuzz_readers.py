"""Feeds readers with damaged files for as long as one likes, guided by the code that inputs reach.

    python bench/fuzz_readers.py                       every format, ten minutes each
    python bench/fuzz_readers.py csv text --minutes 1
    python bench/fuzz_readers.py wandb --seeds FOLDER  begin with the files there, too

An input fails if a reader raises, takes more than `SLOWEST` seconds, keeps more than `MOST_MEMORY`
or hands out columns that do not fit their rows; it is then kept in `fuzz-failures/`. Needs atheris
(libFuzzer for Python), which is no part of the development environment: pip install atheris.
Prints one JSON object a format: inputs tried, inputs a second, what failed.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FAILURES = Path("fuzz-failures")
SLOWEST = 10
MOST_MEMORY = 2048
"""MiB of the whole process."""
LONGEST = 16_384
"""Bytes of an input."""

FORMATS = ("jsonl", "layers", "events", "json", "csv", "text", "tfevents", "wandb", "gz")


def main() -> int:
    """Fuzz the formats that were named, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seeds", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.child:
        _fuzz(parsed.formats[0], parsed.minutes, parsed.seeds)
    failed = False
    for name in parsed.formats or FORMATS:
        failed |= _measure(name, parsed.minutes, parsed.seeds)
    return int(failed)


def _measure(name: str, minutes: float, seeds: Path | None) -> bool:
    command = [sys.executable, __file__, name, "--minutes", str(minutes), "--child"]
    command += [] if seeds is None else ["--seeds", str(seeds)]
    before = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.monotonic() - before
    tried = max(map(int, re.findall(r"^#(\d+)\t", done.stderr, re.MULTILINE)), default=0)
    result = {
        "format": name,
        "minutes": round(seconds / 60, 1),
        "inputs": tried,
        "inputs_per_second": round(tried / seconds),
        "failed": done.returncode != 0,
    }
    if done.returncode:
        result["end"] = done.stderr[-3000:]
    print(json.dumps(result), flush=True)
    return done.returncode != 0


def _fuzz(name: str, minutes: float, seeds: Path | None) -> None:
    import atheris

    sys.path.insert(0, str(HERE.parent / "tests"))
    with atheris.instrument_imports(include=["traintop"]):
        take = _taker(name)
    FAILURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        given = [] if seeds is None else [file.read_bytes() for file in sorted(seeds.iterdir())]
        for number, seed in enumerate([*_seeds(name), *given]):
            (Path(corpus) / str(number)).write_bytes(b"\x00" + seed[: LONGEST - 1])
        atheris.Setup(
            [
                sys.argv[0],
                corpus,
                f"-max_total_time={minutes * 60:.0f}",
                f"-timeout={SLOWEST}",
                f"-rss_limit_mb={MOST_MEMORY}",
                f"-max_len={LONGEST}",
                f"-artifact_prefix={FAILURES}/{name}-",
            ],
            take,
        )
        atheris.Fuzz()


def _taker(name: str) -> Callable[[bytes], None]:
    """What takes one input: its first byte says how it is cut, the rest is the file."""
    from traintop.sources import registry
    from traintop.sources.source import FileSource

    known = {each.name: each for each in (*registry.BINARY_FORMATS, *registry.TEXT_FORMATS)}
    place = registry.Place(Path("x"), "train", "")

    def take(data: bytes) -> None:
        cut, content = (data[0] if data else 0), data[1:]
        tail: Any = _Pieces(content)
        if name == "gz":
            from traintop.sources.compressed import _MAGIC, CompressedTail

            tail = CompressedTail(tail, _MAGIC[0][1])
            source = FileSource(tail, lambda head: registry.choose(Path("x"), head, "x", True))
        else:
            source = FileSource(tail, lambda _: known[name].decoder(place))
        items = source.read(1 + cut * 7)
        for _ in range(10 * len(content) + 10):
            if not source.pending:
                break
            items += source.read(1 + cut * 7)
        _check(items + source.finish())
        source.report()

    return take


class _Pieces:
    """Bytes in memory with the interface of a tail."""

    path, error, polled, held_open = Path("x"), None, False, False

    def __init__(self, content: bytes) -> None:
        self._content, self.bytes_read = content, 0
        self.bytes_total = len(content)
        self.head = b""

    @property
    def pending(self) -> bool:
        return self.bytes_read < self.bytes_total

    def read(self, max_bytes: int) -> Any:
        from traintop.sources.tail import HEAD, Chunk

        data = self._content[self.bytes_read : self.bytes_read + max_bytes]
        self.bytes_read += len(data)
        self.head = self._content[: min(self.bytes_read, HEAD)]
        return Chunk(data)

    def close(self) -> None:
        """There is nothing to let go of."""


def _check(items: list[Any]) -> None:
    from traintop.records import LogLines, Rows

    for item in items:
        if isinstance(item, LogLines):
            assert len(item.lines) == len(item.steps)
        if not isinstance(item, Rows):
            continue
        count = len(item.step)
        assert len(item.epoch) == len(item.time) == count
        for column in item.columns.values():
            if column.rows is None:
                assert len(column.values) == count
            else:
                assert len(column.rows) == len(column.values)
                assert not len(column.rows) or 0 <= column.rows[0] <= column.rows[-1] < count


def _seeds(name: str) -> list[bytes]:
    """A few whole files of a format, small."""
    import gzip

    if name in ("tfevents", "wandb"):
        import event_files as files

        if name == "tfevents":
            steps = [
                files.event(step, files.simple("loss", 1 / (step + 1)), files.simple("lr", 0.1))
                for step in range(20)
            ]
            tensors = [files.event(7, files.tensor("acc", 1, b"\0\0\x80\x3f"))]
            return [files.event_file([files.version(), *steps, *tensors])]
        rows = [files.row(step, {"_step": step, "loss": 1 / (step + 1)}) for step in range(20)]
        more = [files.output(21, "epoch 1 loss 0.5\n"), files.stats(22, 5, {"gpu.0.memory": 3})]
        return [files.wandb_file([*rows, *more, files.ending(23, 0)])]
    if name == "text":
        from console_logs import boosting_rl_speech, language, own, progress_bars, vision
        from console_logs.log import LOGS

        assert [language, vision, progress_bars, boosting_rl_speech, own]
        return ["\n".join(make()[0]).encode() for make in LOGS.values()]
    lines = [{"step": step, "loss": 1 / (step + 1), "lr": 1e-3} for step in range(20)]
    written = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
    layers = b'{"names":["a","b"],"numel":[2,3]}\n{"step":1,"grad_norm":[0.5,null]}\n'
    table = b"epoch,step,loss,val_loss\n" + b"".join(
        b"0,%d,%.3f,\n" % (step, 2 / (step + 1)) for step in range(20)
    )
    return {
        "jsonl": [written, b'{"a": {"b": "1.5"}, "step": 1}\n{"loss": NaN, "mode": "val"}\n'],
        "layers": [layers],
        "events": [b'{"step":1,"event":"checkpoint","path":"a.pt"}\n'],
        "json": [
            json.dumps({"log_history": lines, "best": None}, indent=2).encode(),
            json.dumps({"loss": [3, 2, 1], "val_loss": [3, 2.5, None]}).encode(),
            json.dumps(lines, indent=1).encode(),
        ],
        "csv": [
            table,
            table.replace(b",", b";").replace(b".", b","),
            b'#{"t_start": 1.0}\nr,l,t\n1.0,20,0.5\n2.0,21,0.9\n',
            b'epoch\tloss\n0\t"[1, 2]"\n1\tNA\n',
        ],
        "gz": [gzip.compress(written), gzip.compress(written) + gzip.compress(table)],
    }[name]


if __name__ == "__main__":
    sys.exit(main())
