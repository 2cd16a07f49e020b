"""Measures the app on long runs, in a real terminal and from outside: see `terminal.py`.

    python bench/long_runs.py --core 1

A run of 1 M steps x 20 metrics, and a folder with 10 M steps x 6 and 20 k records of 500 layers:
the first paint, the whole history, the peak of the memory of all its processes; opened again, by
the index that the first time has left; and from a key to its screen while history fills in. The
runs are made first, which takes some minutes and 3 GB. Each start has a cache of its own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from functools import partial
from pathlib import Path

import figures
import make_runs
import processes
import reading
import terminal
from figures import Figures
from terminal import Bench, Program

LONG, LONGEST = 1_000_000, 10_000_000
KEYS = 8
"""Keys pressed while history fills in: with more of them it would be over."""


def loading(bench: Bench, program: Program, cache: Path | None = None) -> Figures:
    """Measure one start up to the whole history, which nobody waits to be judged."""
    peak = 0.0
    with bench.screen(program.command, cache=cache) as screen:

        def is_full(text: str) -> bool:
            nonlocal peak  # That of a process is gone with it.
            peak = max(peak, processes.peak_mib(*processes.tree(screen.pid)))
            return reading.is_full(text, program.last_step)

        screen.start()
        paint, _ = screen.wait(reading.painted, 120)
        full, _ = screen.wait(is_full, 300)
        return {"paint_s": paint, "full_s": full, "peak_mib": peak}


def reopening(bench: Bench, program: Program) -> Figures:
    """Measure the start of a run whose index an earlier start has left."""
    with tempfile.TemporaryDirectory(prefix="traintop-bench-cache-") as folder:
        cache = Path(folder)
        with bench.screen(program.command, cache=cache) as screen:
            screen.start()
            screen.wait(lambda text: reading.is_judged(text, program.last_step), 1200, 0.1)
        return loading(bench, program, cache)


def keys_meanwhile(bench: Bench, program: Program) -> Figures:
    """Measure from a key to its screen while history fills in."""
    with bench.screen(program.command) as screen:
        screen.start()
        screen.wait(reading.painted, 120)
        found = reading.key_times(screen, KEYS)
        return found | {"still_loading": float("loading" in reading.header(screen.text()))}


def longest_folder(runs: Path) -> Path:
    """The longest run; made once."""
    path = runs / "longest"
    if not (path / "train_diagnostics.jsonl").exists():
        make_runs.write_folder(path, LONGEST, layers=500, every=500, metrics=6)
    return path


def main() -> None:
    """Measure all of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option = parser.add_argument
    option("--core", type=int, help="pin the program to this core")
    option("--reps", type=int, default=5, help="repetitions (%(default)s)")
    option("--quiet", type=float, default=0, metavar="PERCENT", help="wait for so quiet a machine")
    runs = Path(tempfile.gettempdir()) / "traintop-bench-runs"
    option("--runs", type=Path, default=runs, help="where the runs are made (%(default)s)")
    arguments = parser.parse_args()
    terminal.need_tmux()
    if arguments.core is not None:
        os.sched_setaffinity(0, os.sched_getaffinity(0) - {arguments.core})
    bench = Bench(
        core=arguments.core, quiet=arguments.quiet, seconds=0, tries=KEYS, runs=arguments.runs
    )
    long = terminal.traintop(bench.run_file(LONG), LONG)
    longest = terminal.traintop(longest_folder(bench.runs), LONGEST)
    figures.print_row(figures.machine())
    for name, once in (
        ("history", partial(loading, bench, long)),
        ("history of the longest", partial(loading, bench, longest)),
        ("opened again", partial(reopening, bench, long)),
        ("keys while the longest fills in", partial(keys_meanwhile, bench, longest)),
    ):
        figures.print_row(figures.repeat(name, "traintop", arguments.reps, once))


if __name__ == "__main__":
    main()
