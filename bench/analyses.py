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
`analysis_target.py`. The training is measured before, during and after each analysis.

Prints one JSON object a line (medians, and `each` repetition) and a table to standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import figures
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
TARGETS = ("transformer", "convolutions")
SLOW = f"{HERE / 'analysis_target.py'}:slow_transformer"
WAITING, IMPORTING = "waiting", "importing torch"
BESIDE_SECONDS = 8.0
"""How long the training is measured alone, before and after an analysis."""


@dataclasses.dataclass(frozen=True)
class Bench:
    """How it is measured: see the options."""

    core: int
    quiet: float
    tries: int
    run: Path
    """A finished run of the demo, with checkpoints."""

    def settle(self) -> None:
        """Wait until the machine is quiet."""
        if self.quiet:
            processes.wait_for_quiet(self.quiet)


class Sender:
    """Writes what an analysis sends as the worker does, and counts what it has done."""

    def __init__(self, out: Any) -> None:
        self._out = out
        self.points = 0
        self.done = 0

    def progress(self, done: int, total: int, what: str) -> None:
        """Write how far it is."""
        self.done = done
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

    module = __import__(f"traintop.analyses.{name}", fromlist=["run"])
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
    import analysis_target
    import torch

    torch.set_num_threads(1)
    built: Target = getattr(analysis_target, name)()
    return built


def trained(target: Target, steps: int) -> float:
    """CPU seconds of a plain training loop."""
    assert target.train is not None and target.optimizer is not None and target.loss is not None
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


def evaluated(target: Target) -> float:
    """CPU seconds of a plain evaluation pass."""
    import torch

    assert target.train is not None
    target.model.eval()
    start = time.process_time()
    with torch.no_grad():
        for inputs, _targets in target.train:
            target.model(inputs)
    return time.process_time() - start


def lr_find(name: str, _bench: Bench) -> Figures:
    """Compare one seed of the LR range test with plain training.

    The test makes two at least; the second is what three seeds take more than two.
    """
    seconds: dict[int, float] = {}
    steps: dict[int, int] = {}
    plain = trained(target_named(name), STEPS) / 2
    with open(os.devnull, "w", encoding="utf-8") as out:
        for seeds in (2, 4):
            sender = Sender(out)
            seconds[seeds] = analyzed(
                "lr_find", target_named(name), sender, num_it=STEPS, num_seeds=seeds
            )
            steps[seeds] = sender.points
    plain += trained(target_named(name), STEPS) / 2
    one_seed, made = seconds[4] / 4, steps[4] / 4
    return {
        "plain_step_ms": 1e3 * plain / STEPS,
        "ratio": one_seed / plain,
        "steps_made": made,
        "ratio_a_step": one_seed / made / (plain / STEPS),
    }
