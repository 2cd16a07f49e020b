"""Measures the app in a real terminal, from outside, beside the smallest Textual app there is.

    python bench/terminal.py [MEASURE ...] [--core 1] [--reps 5] [--quiet 10] > figures.jsonl

Each program runs in a private tmux server of 200x50 characters. The measures:

startup  from the launch to the loss curve, to the whole history, and until all of it is judged;
         CPU time and peak memory of the process tree on the way
idle     CPU and bytes to the terminal where nothing happens
follow   the same while 10 and 100 records a second are appended; how far the screen is behind
latency  from the append of a record to its value on the screen, at irregular times
keys     from a key to the screen that it switches to, at irregular times
demo     from `traintop demo` to a moving curve: the step in the header has changed twice
clone    the same from `make demo` in a clean clone, with a warm package cache (only on request)

Prints one JSON object a line (medians, and `each` repetition) and a table to standard error.
With --core the program has that core to itself and everything else here the others.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import figures
import make_runs
import processes
import reading
from figures import Figures, quantile
from tmux_screen import Screen, need_tmux

HERE = Path(__file__).parent
TRAINTOP = Path(sys.executable).with_name("traintop")
MEASURES = ("startup", "idle", "follow", "latency", "keys", "demo", "clone")
LAYER_COUNT = 48
RATES = (10, 100)
FLOOR_FRAMES = 5
"""Frames a second of the floor of following: as many as traintop draws under a steady stream."""


@dataclasses.dataclass(frozen=True)
class Program:
    """What is measured, and the step in its header when it has shown everything."""

    name: str
    command: tuple[str, ...]
    last_step: int


@dataclasses.dataclass(frozen=True)
class Bench:
    """How it is measured: see the options."""

    core: int | None
    quiet: float
    seconds: float
    tries: int
    runs: Path

    def screen(
        self, command: Sequence[str], directory: Path | None = None, cache: Path | None = None
    ) -> Screen:
        """Open a terminal for a program, once the machine is quiet."""
        if self.quiet:
            processes.wait_for_quiet(self.quiet)
        kept = {} if cache is None else {"XDG_CACHE_HOME": str(cache)}
        return Screen(command, core=self.core, directory=directory, environment=kept)

    def run_file(self, steps: int) -> Path:
        """A run of so many steps; made once."""
        path = self.runs / f"run-{steps}.jsonl"
        if not path.exists():
            make_runs.write_jsonl(path, steps)
        return path

    def layers_folder(self, steps: int) -> Path:
        """A run with per-layer statistics; made once."""
        path = self.runs / f"layers-{steps}"
        if not (path / "train_diagnostics.jsonl").exists():
            make_runs.write_folder(path, steps, LAYER_COUNT)
        return path

    def live_copy(self, steps: int) -> Path:
        """A copy of a run that may grow."""
        path = self.runs / "live" / "run.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.run_file(steps), path)
        return path


def traintop(run: Path, steps: int) -> Program:
    """The app on a run."""
    return Program(f"traintop, {steps} steps", (str(TRAINTOP), str(run)), steps - 1)


def floor(frames: float = 0) -> Program:
    """The smallest Textual app, with so many changes a second of its one line."""
    name = "floor: a Static" + (f" that changes {frames:g} times a second" if frames else "")
    command = (sys.executable, str(HERE / "floor_app.py"), "--rate", str(frames))
    return Program(name, command, 0)


@dataclasses.dataclass(frozen=True)
class Usage:
    """CPU time of a program, and of whoever else used its core, from a moment on."""

    screen: Screen
    core: int | None
    began: float
    own: float
    busy: float

    @classmethod
    def begin(cls, screen: Screen, core: int | None) -> Usage:
        """Count from now on."""
        own, busy = processes.cpu_seconds(screen.pid), processes.busy_seconds(core)
        return cls(screen, core, time.monotonic(), own, busy)

    def figures(self) -> Figures:
        """Percents of a core since then; of others only where there is a core to look at."""
        elapsed = time.monotonic() - self.began
        own = processes.cpu_seconds(self.screen.pid) - self.own
        found: Figures = {"cpu_pct": 100 * own / elapsed}
        if self.core is not None:
            others = processes.busy_seconds(self.core) - self.busy - own
            found["others_pct"] = 100 * others / elapsed
        return found


def settle(screen: Screen, program: Program) -> None:
    """Start a program and wait until everything is shown and judged, and a little longer."""
    screen.start()
    screen.wait(lambda text: reading.is_judged(text, program.last_step), 300, 0.05)
    time.sleep(5)


def startup(bench: Bench, program: Program) -> Figures:
    """Measure one start."""
    last = program.last_step
    with bench.screen(program.command) as screen:
        usage = Usage.begin(screen, bench.core)
        screen.start()
        paint, _ = screen.wait(reading.painted, 120)
        full, _ = screen.wait(lambda text: reading.is_full(text, last), 300)
        full_cpu = processes.cpu_seconds(screen.pid)
        judged, _ = screen.wait(lambda text: reading.is_judged(text, last), 300)
        judged_cpu = processes.cpu_seconds(screen.pid)
        others = usage.figures().get("others_pct")
        time.sleep(2)
        return {
            "paint_s": paint,
            "full_s": full,
            "judged_s": judged,
            "cpu_full_s": full_cpu,
            "cpu_judged_s": judged_cpu,
            "peak_mib": processes.peak_mib(*processes.tree(screen.pid)),
            "others_pct": others,
        }


def watch(bench: Bench, screen: Screen) -> Figures:
    """CPU and bytes to the terminal for some seconds in which nobody looks at the screen."""
    with screen.counted_bytes() as sent:
        time.sleep(0.5)
        before, usage = sent(), Usage.begin(screen, bench.core)
        time.sleep(bench.seconds)
        used = usage.figures()
        rate = (sent() - before) / (time.monotonic() - usage.began)
    return {**used, "bytes_s": rate, "peak_mib": processes.peak_mib(*processes.tree(screen.pid))}


def idle(bench: Bench, program: Program) -> Figures:
    """Measure an app to which nothing happens."""
    with bench.screen(program.command) as screen:
        settle(screen, program)
        return watch(bench, screen)


class Stream(threading.Thread):
    """Appends records at a steady rate until it is stopped."""

    def __init__(self, appender: make_runs.Appender, rate: float) -> None:
        super().__init__(daemon=True)
        self._appender = appender
        self._rate = rate
        self._stopped = threading.Event()
        self.times: dict[int, float] = {}
        """When each step was appended, on the monotonic clock."""

    def run(self) -> None:
        """Append on an absolute schedule."""
        start = time.monotonic()
        count = 0
        while not self._stopped.wait(max(0.0, start + count / self._rate - time.monotonic())):
            now = time.monotonic()
            self.times[self._appender.append()] = now
            count += 1

    def stop(self) -> None:
        """Append nothing more."""
        self._stopped.set()
        self.join()


def follow(bench: Bench, steps: int, rate: float) -> Figures:
    """Measure an app while its run grows, and after that how far the screen is behind."""
    path = bench.live_copy(steps)
    program = traintop(path, steps)
    with bench.screen(program.command) as screen:
        settle(screen, program)
        with make_runs.Appender(path, steps) as appender:
            stream = Stream(appender, rate)
            stream.start()
            time.sleep(2)
            measured = watch(bench, screen)
            behind = [1e3 * _behind(screen, stream) for _ in range(bench.tries)]
            stream.stop()
    return {
        **measured,
        "behind_p50_ms": quantile(behind, 0.5),
        "behind_p95_ms": quantile(behind, 0.95),
    }


def _behind(screen: Screen, stream: Stream) -> float:
    """The age in seconds, at an irregular time, of the oldest record that is not shown."""
    time.sleep(random.uniform(0.02, 0.3))  # noqa: S311 - a time, not a secret
    appended = stream.times.get(reading.shown_step(screen.text()) + 1)
    return 0.0 if appended is None else time.monotonic() - appended


def latency(bench: Bench, steps: int) -> Figures:
    """Measure from the append of a record to its value on the screen."""
    path = bench.live_copy(steps)
    program = traintop(path, steps)
    times: list[float] = []
    with bench.screen(program.command) as screen:
        settle(screen, program)
        with make_runs.Appender(path, steps) as appender:
            for attempt in range(bench.tries):
                time.sleep(random.uniform(0.35, 1.25))  # noqa: S311 - a time, not a secret
                value = f"1.{1001 + 10 * attempt}"
                appended = time.monotonic()
                step = appender.append(**{"train/loss": float(value)})
                shown = partial(reading.shows_value, step=step, value=value)
                seen, _ = screen.wait(shown, timeout=15, poll=0.004)
                times.append(1e3 * (seen + screen.started - appended))
    return reading.times_of(times)


def keys(bench: Bench, program: Program) -> Figures:
    """Measure from a key to the screen that it switches to."""
    with bench.screen(program.command) as screen:
        settle(screen, program)
        return reading.key_times(screen, bench.tries)


def demo(bench: Bench) -> Figures:
    """Measure from the launch of the demo to a curve that moves."""
    with tempfile.TemporaryDirectory(prefix="traintop-bench-demo-") as folder:
        run = Path(folder) / "run"
        return _until_moving(bench, (str(TRAINTOP), "demo", "--directory", str(run)), run)


def clone(bench: Bench) -> Figures:
    """Measure from `make demo` in a clean clone to a curve that moves."""
    with _fresh_clone() as folder:
        run = Path(folder) / "run"
        return _until_moving(bench, ("make", "demo", f"ARGS=--directory {run}"), run, Path(folder))


def fill_package_cache() -> None:
    """Install a clone that is thrown away, so that the next one has nothing to download."""
    with _fresh_clone() as folder:
        print("filling the package cache ...", file=sys.stderr)
        subprocess.run(["make", "--silent", "install"], cwd=folder, check=True, stdout=sys.stderr)


def _fresh_clone() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="traintop-bench-clone-")
    clean = ["git", "clone", "--quiet", "--no-hardlinks", str(HERE.parent), folder.name]
    subprocess.run(clean, check=True)
    return folder


def _until_moving(
    bench: Bench, command: Sequence[str], run: Path, directory: Path | None = None
) -> Figures:
    """Launch a demo that is written to `run`; measure until its step has changed twice."""
    unpinned = dataclasses.replace(bench, core=None)  # training and app go side by side
    times: list[float] = []
    try:
        with unpinned.screen(command, directory) as screen:
            screen.start()
            began = time.time()
            last = -1
            while len(times) < 3:
                when, text = screen.wait(partial(_moved, last=last), 900)
                last = reading.shown_step(text)
                times.append(when)
            found: Figures = {"first_step_s": times[0], "moving_s": times[2]}
            if directory is not None:
                installed = directory / ".venv" / "installed"
                found["installed_s"] = installed.stat().st_mtime - began
            screen.press("q")
            return found
    finally:
        processes.end(*processes.matching(str(run)))


def _moved(text: str, last: int) -> bool:
    return reading.painted(text) and reading.shown_step(text) > last


def measure(chosen: Sequence[str], bench: Bench, reps: int, steps: Sequence[int]) -> None:
    """Make the chosen measures one after the other and print them."""
    rows: list[dict[str, Any]] = []

    def repeat(name: str, subject: str, once: Callable[[], Figures]) -> None:
        if name in chosen:
            rows.append(figures.repeat(name, subject, reps, once))
            figures.print_row(rows[-1])

    figures.print_row(figures.machine())
    runs = [traintop(bench.run_file(count), count) for count in steps]
    for program in (floor(), runs[0]):
        startup(bench, program)  # Python compiles once what has never been started
    for program in (floor(), *runs):
        repeat("startup", program.name, partial(startup, bench, program))
    for program in (floor(), *runs):
        repeat("idle", program.name, partial(idle, bench, program))
    changing = floor(FLOOR_FRAMES)
    repeat("follow", changing.name, partial(idle, bench, changing))
    for program, count in zip(runs, steps, strict=True):
        for rate in RATES:
            subject = f"{program.name}, {rate} records a second"
            repeat("follow", subject, partial(follow, bench, count, rate))
        repeat("latency", program.name, partial(latency, bench, count))
    layers = traintop(bench.layers_folder(steps[0]), steps[0])
    layers = dataclasses.replace(layers, name=f"{layers.name}, {LAYER_COUNT} layers")
    for program in (floor(), *runs, layers):
        repeat("keys", program.name, partial(keys, bench, program))
    repeat("demo", "traintop demo", partial(demo, bench))
    if "clone" in chosen:
        fill_package_cache()
    repeat("clone", "make demo in a clean clone", partial(clone, bench))
    print(figures.table(rows), file=sys.stderr)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option = parser.add_argument
    option("measures", nargs="*", metavar="MEASURE", help="default: all but clone")
    option("--core", type=int, help="pin the program to this core")
    option("--reps", type=int, default=5, help="repetitions (%(default)s)")
    option("--steps", type=int, nargs="+", default=[10_000, 200_000], help="of the runs")
    option("--seconds", type=float, default=15, help="that idle and follow take (%(default)s)")
    option("--tries", type=int, default=40, help="of latency and keys (%(default)s)")
    quiet = "before each repetition wait until the machine is less busy than so many percent"
    option("--quiet", type=float, default=0, metavar="PERCENT", help=quiet)
    runs = Path(tempfile.gettempdir()) / "traintop-bench-runs"
    option("--runs", type=Path, default=runs, help="where the runs are made (%(default)s)")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.measures) - set(MEASURES))
    if unknown:
        parser.error(f"there is no measure {unknown[0]!r}: {', '.join(MEASURES)}")
    need_tmux()
    if not TRAINTOP.exists():
        parser.error(f"{TRAINTOP} does not exist: use the Python that traintop is installed for")
    if arguments.core is not None:
        others = os.sched_getaffinity(0) - {arguments.core}
        if not others or arguments.core not in os.sched_getaffinity(0):
            parser.error(f"there is no core {arguments.core}, or no other core beside it")
        os.sched_setaffinity(0, others)
    bench = Bench(
        core=arguments.core,
        quiet=arguments.quiet,
        seconds=arguments.seconds,
        tries=arguments.tries,
        runs=arguments.runs,
    )
    measure(arguments.measures or MEASURES[:-1], bench, arguments.reps, arguments.steps)


if __name__ == "__main__":
    main()
