"""What analyses cost: themselves, the app, and a training beside them.

    python bench/analyses.py [MEASURE ...] [--reps 5] [--core 1] [--quiet 10] > figures.jsonl

The measures:

lr_find       one seed of the LR range test of 100 steps, its pass at rest included, against 100
              steps of a plain training loop on the same model and loader
dead_neurons  the dead-neuron scan against a plain evaluation pass over the same data
start         from the key `L` in the app to the job on the screen, to the first progress that its
              process sends, and to the first step that it has done; beside it what it takes to
              start Python and import torch there
keys          from a key to the screen that it switches to, without an analysis and during one
training      steps a second of a training that is pinned to a core, alone and beside an analysis
              that is started as a user does, on two cores

The first two are timed in CPU time, with one thread, in one process, in turns, past the import of
torch; progress and points are written as the worker writes them. `a_step` compares the steps that
were really made: the test stops where the loss diverges. The models are those of
`analysis_target.py`. The training is measured before, during and after each analysis; `others_pct`
is what other programs took of a core meanwhile: with more than a few percent, none was spare.

Prints one JSON object a line (medians, and `each` repetition) and a table to standard error.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import IO, TYPE_CHECKING, Any

import figures
import make_runs
import processes
import reading
from figures import Figures
from tmux_screen import Screen, need_tmux

if TYPE_CHECKING:
    from traintop import Target

HERE = Path(__file__).parent
TRAINTOP = Path(sys.executable).with_name("traintop")
MEASURES = ("lr_find", "dead_neurons", "start", "keys", "training")
STEPS = 100
SCANNED, PAIRS = 512, 5
"""Samples of a scan, and scans of a repetition."""
TARGETS = ("transformer", "convolutions")
TARGET_FILE = HERE / "analysis_target.py"
RUN_STEPS, LAYER_COUNT = 10_000, 48
SHOWN = re.compile("LR range test on ")
SENT = re.compile("running: (?!waiting)")
WORKING = re.compile(r"running: \d+/\d+")
ALONE_SECONDS = 8.0
"""How long the training is measured alone, before and after an analysis."""


@dataclasses.dataclass(frozen=True)
class Bench:
    """How it is measured: see the options."""

    core: int
    """The training's."""
    quiet: float
    tries: int
    folder: Path
    """Where runs are made."""

    def settle(self) -> None:
        """Wait until the machine is quiet."""
        if self.quiet:
            processes.wait_for_quiet(self.quiet)

    def demo_run(self) -> Path:
        """A finished run of the demo, with checkpoints; made once."""
        path = self.folder / "demo"
        if not (path / "run.json").exists():
            command = [sys.executable, "-m", "traintop.demo", str(path), "--steps", "200"]
            subprocess.run([*command, "--pace", "0"], check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(path / "analyses", ignore_errors=True)
        return path

    def layers_run(self) -> Path:
        """A run with per-layer statistics and no checkpoint; made once."""
        path = self.folder / "layers"
        if not (path / "train_diagnostics.jsonl").exists():
            make_runs.write_folder(path, RUN_STEPS, LAYER_COUNT)
        shutil.rmtree(path / "analyses", ignore_errors=True)
        return path


class Sender:
    """Writes what an analysis sends as the worker does, and counts what it has done."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self.points = 0

    def progress(self, done: int, total: int, what: str) -> None:
        """Write how far it is."""
        self._send({"event": "progress", "done": done, "total": total, "what": what})

    def point(self, x: float, y: float, series: str) -> None:
        """Write a point."""
        self.points += 1
        self._send({"event": "point", "x": x, "y": y, "series": series})

    def _send(self, event: dict[str, Any]) -> None:
        self._out.write(json.dumps(event, allow_nan=False) + "\n")
        self._out.flush()


def analyzed(name: str, target: Target, sender: Sender, **options: float) -> float:
    """CPU seconds of an analysis on a target, in this process."""
    import torch

    from traintop.analyses import ANALYSES
    from traintop.analyses.context import Context

    module = import_module(f"traintop.analyses.{name}")
    defaults = {option.name: option.default for option in ANALYSES[name].options}
    context = Context(
        target=target,
        model=target.model,
        device=torch.device("cpu"),
        seed=0,
        options={**defaults, **options},
        progress=sender.progress,
        point=sender.point,
        log=lambda _text: None,
    )
    start = time.process_time()
    module.run(context)
    return time.process_time() - start


def target_named(name: str) -> Target:
    """A target of `analysis_target.py`, with torch kept to one thread."""
    import torch

    import analysis_target

    torch.set_num_threads(1)
    built: Target = getattr(analysis_target, name)()
    return built


def trained(target: Target, steps: int) -> float:
    """CPU seconds of a plain training loop."""
    assert target.train is not None
    assert target.optimizer is not None
    assert target.loss is not None
    optimizer = target.optimizer(target.model.parameters())
    target.model.train()
    start, left = time.process_time(), steps
    while True:
        for inputs, targets in target.train:
            loss = target.loss(target.model(inputs), targets)
            loss.item()  # what a plain loop logs
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
            optimizer.step()
            left -= 1
            if not left:
                return time.process_time() - start


def evaluated(target: Target, samples: int) -> float:
    """CPU seconds of a plain evaluation pass over so many samples."""
    import torch

    assert target.train is not None
    target.model.eval()
    start = time.process_time()
    with torch.no_grad():
        for inputs, _targets in target.train:
            target.model(inputs)
            samples -= len(inputs)
            if samples <= 0:
                break
    return time.process_time() - start


def lr_find(name: str) -> Figures:
    """Compare one seed of the LR range test with as many steps of plain training."""
    trained(target_named(name), STEPS // 10)  # what torch does once
    plain = trained(target_named(name), STEPS) / 2
    seeds = 2
    with Path(os.devnull).open("w", encoding="utf-8") as out:
        sender = Sender(out)
        target = target_named(name)
        one_seed = analyzed("lr_find", target, sender, num_it=STEPS, num_seeds=seeds) / seeds
    plain += trained(target_named(name), STEPS) / 2
    made = sender.points / seeds
    return {
        "plain_step_ms": 1e3 * plain / STEPS,
        "ratio": one_seed / plain,
        "steps_made": made,
        "ratio_a_step": one_seed / made / (plain / STEPS),
    }


def dead_neurons(name: str) -> Figures:
    """Compare the scan with a plain evaluation pass over as many samples, in turns."""
    target = target_named(name)
    evaluated(target, SCANNED)  # what torch does once
    plain: list[float] = []
    ratios: list[float] = []
    with Path(os.devnull).open("w", encoding="utf-8") as out:
        for _ in range(PAIRS):
            plain.append(evaluated(target, SCANNED))
            scan = analyzed("dead_neurons", target, Sender(out), samples=SCANNED)
            ratios.append(scan / plain[-1])
    return {"plain_pass_s": median(plain), "ratio": median(ratios)}


def start(bench: Bench) -> Figures:
    """Measure from the key to progress, in the app on a run of the demo."""
    run = bench.demo_run()
    bench.settle()
    began = time.monotonic()
    subprocess.run(["nice", "-n", "10", sys.executable, "-c", "import torch"], check=True)
    importing = time.monotonic() - began
    with Screen((str(TRAINTOP), str(run))) as screen:
        _open_analyses(screen)
        pressed = time.monotonic() - screen.started
        screen.press("L")
        times = [screen.wait(sign.search, poll=0.003)[0] for sign in (SHOWN, SENT, WORKING)]
        shown, sent, working = (1e3 * (each - pressed) for each in times)
    return {
        "shown_ms": shown,
        "progress_ms": sent,
        "working_ms": working,
        "torch_ms": 1e3 * importing,
    }


def keys(bench: Bench, *, during: bool) -> Figures:
    """Measure from a key to the screen that it switches to."""
    target = f"{TARGET_FILE}:slow_transformer"
    run = bench.layers_run()
    bench.settle()
    with Screen((str(TRAINTOP), str(run), "--target", target)) as screen:
        _open_analyses(screen)
        if during:
            screen.press("L")
            screen.wait(WORKING.search)
        screen.press("1")
        screen.wait(reading.OVERVIEW.search)
        time.sleep(1)
        measured = reading.key_times(screen, bench.tries)
        if during:
            screen.press("5")
            screen.wait(WORKING.search, timeout=5)  # else it has ended meanwhile
        return measured


def _open_analyses(screen: Screen) -> None:
    """Start the app and go to screen 5 when the run has been read and judged."""
    screen.start()
    screen.wait(reading.painted, 120)
    time.sleep(4)
    screen.press("5")
    screen.wait(re.compile("Checkpoints  ").search)
    time.sleep(1)


def training(bench: Bench) -> Figures:
    """Measure a training's throughput before, during and after an analysis."""
    both = ",".join(map(str, _two_cores(bench.core)))
    analysis = [str(TRAINTOP), "analyze", "lr_find", "--target", f"{TARGET_FILE}:transformer"]
    bench.settle()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            ["taskset", "-c", str(bench.core), sys.executable, str(TARGET_FILE)], stdout=said
        )
        try:
            time.sleep(2 * ALONE_SECONDS)  # it imports torch, and warms up
            marks = [time.monotonic()]
            time.sleep(ALONE_SECONDS)
            marks.append(time.monotonic())
            own, busy = processes.cpu_seconds(os.getpid()), processes.busy_seconds()
            subprocess.run(
                ["taskset", "-c", both, *analysis], check=True, stdout=subprocess.DEVNULL
            )
            marks.append(time.monotonic())
            own = processes.cpu_seconds(os.getpid()) - own
            others = processes.busy_seconds() - busy - own
            time.sleep(ALONE_SECONDS)
            marks.append(time.monotonic())
        finally:
            processes.end(process.pid)
            process.wait()
        said.seek(0)
        steps = [float(line) for line in said]
    before, during, after = (_rate(steps, *marks[i : i + 2]) for i in range(3))
    alone = (before + after) / 2
    return {
        "alone_steps_s": alone,
        "beside_steps_s": during,
        "kept_pct": 100 * during / alone,
        "others_pct": 100 * others / (marks[2] - marks[1]),
    }


def _two_cores(core: int) -> Sequence[int]:
    """A core and one beside it."""
    others = sorted(os.sched_getaffinity(0) - {core})
    return core, others[0]


def _rate(times: Sequence[float], begin: float, end: float) -> float:
    """Events a second between two times."""
    return sum(begin <= each < end for each in times) / (end - begin)


def measure(chosen: Sequence[str], bench: Bench, reps: int) -> None:
    """Make the chosen measures one after the other and print them."""
    rows: list[dict[str, Any]] = []

    def repeat(name: str, subject: str, once: Callable[[], Figures]) -> None:
        if name in chosen:
            rows.append(figures.repeat(name, subject, reps, once))
            figures.print_row(rows[-1])

    figures.print_row(figures.machine())
    for name in TARGETS:
        repeat("lr_find", name, partial(lr_find, name))
        repeat("dead_neurons", name, partial(dead_neurons, name))
    repeat("start", "L on a run of the demo", partial(start, bench))
    repeat("keys", "no analysis", partial(keys, bench, during=False))
    repeat("keys", "during lr_find", partial(keys, bench, during=True))
    repeat("training", "beside lr_find", partial(training, bench))
    print(figures.table(rows), file=sys.stderr)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option = parser.add_argument
    option("measures", nargs="*", metavar="MEASURE", help="default: all")
    option("--core", type=int, default=1, help="of the training (%(default)s)")
    option("--reps", type=int, default=5, help="repetitions (%(default)s)")
    option("--tries", type=int, default=40, help="of keys (%(default)s)")
    quiet = "before each repetition wait until the machine is less busy than so many percent"
    option("--quiet", type=float, default=0, metavar="PERCENT", help=quiet)
    runs = Path(tempfile.gettempdir()) / "traintop-bench-analyses"
    option("--runs", type=Path, default=runs, help="where the runs are made (%(default)s)")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.measures) - set(MEASURES))
    if unknown:
        parser.error(f"there is no measure {unknown[0]!r}: {', '.join(MEASURES)}")
    need_tmux()
    cores = os.sched_getaffinity(0)
    if arguments.core not in cores or len(cores) < 2:
        parser.error(f"there is no core {arguments.core}, or no other core beside it")
    bench = Bench(arguments.core, arguments.quiet, arguments.tries, arguments.runs)
    measure(arguments.measures or MEASURES, bench, arguments.reps)


if __name__ == "__main__":
    main()
