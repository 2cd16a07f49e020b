"""Watches a live training over a real SSH connection and measures what happens on the way.

    python bench/over_ssh.py [CHECK ...] [--reps 3] [--seconds 20] > over_ssh.jsonl

An OpenSSH server is started on loopback, with keys and a configuration of its own in a temporary
folder, and a demo is trained beside it. Inside tmux (200x50) `ssh -tt ... traintop RUN` shows it.
The checks:

bytes       what the far side sends a second, without and with compression
resize      from another size of the window until the app fills it
switch      from a key to the screen that it switches to
keys        every key of the action table on every screen, at 200x50 and at 80x24: no exception
disconnect  the client is killed while an analysis runs: app and analysis end, the training goes
            on, and who connects again sees a later step

Prints one JSON object a line and a table to standard error; exits with 1 where a check failed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from textual.keys import key_to_character

import figures
import processes
import reading
from figures import Figures
from loopback_ssh import LoopbackSsh
from tmux_screen import Screen, need_tmux
from traintop_tui.actions import ACTIONS

TRAINTOP = Path(sys.executable).with_name("traintop")
CHECKS = ("bytes", "resize", "switch", "keys", "disconnect", "stall")
PACE, STEPS = 30, 1_000_000
SIZES = ((200, 50), (80, 24))
RESIZES = ((120, 30), (80, 24), (150, 40), (200, 50))
ESCAPE_DELAY = 0.15
"""Seconds after which a program takes Escape for a key and not for the start of a sequence."""
STALL_PATIENCE = 180.0
"""Seconds after which all buffers between app and client must be full: SSH alone has 2 MB."""
STALLED = 15.0
"""Seconds that the app then cannot write; it has a queue of its own."""
QUIT_PATIENCE = 15.0
"""Seconds from q to the end of the connection."""
TMUX_NAMES = {
    "left": "Left", "right": "Right", "up": "Up", "down": "Down", "home": "Home", "end": "End",
    "pageup": "PageUp", "pagedown": "PageDown", "escape": "Escape", "enter": "Enter",
    "tab": "Tab", "space": "Space", "f1": "F1", "plus": "+", "minus": "-", "slash": "/",
}  # fmt: skip


class Far:
    """The far side: a training, and the app that looks at it through SSH."""

    def __init__(self, ssh: LoopbackSsh, run: Path, training: subprocess.Popen[bytes]) -> None:
        self.ssh = ssh
        self.run = run
        self.training = training

    def connect(self, *, compressed: bool = False, size: tuple[int, int] = (200, 50)) -> Screen:
        """Open a terminal in which the app will run on the far side."""
        settings = f"XDG_CONFIG_HOME={self.ssh.folder}"
        command = self.ssh.command(
            "env", settings, str(TRAINTOP), str(self.run), compressed=compressed
        )
        return Screen(command, width=size[0], height=size[1])

    def app(self) -> int:
        """The process of the app.

        Raises:
            RuntimeError: There is none, or more than one.
        """
        found = [
            pid
            for pid, line in processes.matching(str(self.run)).items()
            if str(TRAINTOP) in line and Path(line[0]).name.startswith("python")
        ]
        if len(found) != 1:
            raise RuntimeError(f"{len(found)} processes of the app on the far side")
        return found[0]


@contextmanager
def far_side() -> Iterator[Far]:
    """Start server and training; end them after the block."""
    with tempfile.TemporaryDirectory(prefix="traintop-bench-run-") as folder, LoopbackSsh() as ssh:
        ssh.run("true")
        run = Path(folder) / "run"
        demo = [sys.executable, "-m", "traintop.demo", str(run)]
        training = subprocess.Popen(
            [*demo, "--pace", str(PACE), "--steps", str(STEPS)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _wait_for_checkpoint(run, training)
            yield Far(ssh, run, training)
        finally:
            training.kill()
            training.wait()


def _wait_for_checkpoint(run: Path, training: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while not list(run.glob("checkpoints/*.pt")):
        if training.poll() is not None or time.monotonic() > end:
            raise SystemExit("the demo's training did not come to a checkpoint; is torch there?")
        time.sleep(0.2)


def leave(far: Far, screen: Screen) -> None:
    """Press q and see that the app and the connection end well.

    Raises:
        RuntimeError: They do not.
    """
    app = far.app()
    screen.press("q")
    end = time.monotonic() + QUIT_PATIENCE
    while (code := screen.exit_code()) is None:
        if time.monotonic() > end:
            left = [" ".join(processes.command_line(pid)) for pid in processes.tree(app)]
            raise RuntimeError(
                f"{QUIT_PATIENCE:g} s after q the connection is open; alive: {left}; "
                f"the screen:\n{screen.text()}"
            )
        time.sleep(0.05)
    if code:
        raise RuntimeError(f"the app ended with exit code {code}; the screen:\n{screen.text()}")


def sent_bytes(far: Far, seconds: float, *, compressed: bool) -> Figures:
    """Measure what the connection carries while the run goes on at its pace."""
    with far.connect(compressed=compressed) as screen:
        screen.start()
        before_first = far.ssh.relay.received
        painted, _ = screen.wait(reading.painted, 60)
        first = far.ssh.relay.received - before_first
        screen.wait(lambda text: reading.is_judged(text, 0), 60)
        time.sleep(5)
        app = far.app()
        with screen.counted_bytes() as shown:
            time.sleep(0.5)
            wire, terminal = far.ssh.relay.received, shown()
            cpu, start = processes.cpu_seconds(app), time.monotonic()
            time.sleep(seconds)
            elapsed = time.monotonic() - start
            cpu = processes.cpu_seconds(app) - cpu
            wire, terminal = far.ssh.relay.received - wire, shown() - terminal
        leave(far, screen)
    return {
        "wire_bytes_s": wire / elapsed,
        "terminal_bytes_s": terminal / elapsed,
        "app_cpu_pct": 100 * cpu / elapsed,
        "connect_to_curve_s": painted,
        "bytes_to_curve": first,
    }


def fills(text: str, width: int, height: int) -> bool:
    """Whether header and footer stand at the edges of a window of that size."""
    lines = text.splitlines()
    return (
        len(lines) == height
        and "1 Overview" in lines[-1]
        and len(lines[0].rstrip()) >= width - 2
        and all("1 Overview" not in line for line in lines[:-1])
    )


def resize(far: Far) -> Figures:
    """Measure how long each of some sizes takes until it is filled."""
    found: Figures = {}
    with far.connect() as screen:
        screen.start()
        screen.wait(partial(fills, width=200, height=50), 60)
        for width, height in RESIZES:
            time.sleep(1.0)
            changed = time.monotonic()
            screen.resize(width, height)
            seen, text = screen.wait(partial(fills, width=width, height=height), 15, 0.004)
            found[f"to_{width}x{height}_ms"] = 1e3 * (seen + screen.started - changed)
            if not reading.painted(text):
                screen.wait(reading.painted, 5)
        leave(far, screen)
    return found


def switch(far: Far, tries: int) -> Figures:
    """Measure from a key to the screen that it switches to."""
    with far.connect() as screen:
        screen.start()
        screen.wait(reading.painted, 60)
        time.sleep(5)
        found = reading.key_times(screen, tries)
        leave(far, screen)
    return found


def tmux_key(key: str) -> str:
    """The name that tmux has for one of Textual's keys."""
    *modifiers, last = key.split("+")
    prefix = "".join({"ctrl": "C-", "shift": "S-"}[modifier] for modifier in modifiers)
    name = TMUX_NAMES.get(last) or (last if len(last) == 1 else key_to_character(last))
    if name is None:
        raise ValueError(f"tmux has no name for the key {key}")
    return prefix + name


def press_all(far: Far, size: tuple[int, int]) -> Figures:
    """Press every key of the action table on every screen.

    Raises:
        RuntimeError: The app has ended, or it says that something went wrong.
    """
    pressed = 0
    with far.connect(size=size) as screen:
        screen.start()
        screen.wait(lambda text: reading.shown_step(text) > 0, 60)
        app = far.app()
        for place in "12345":
            for action in ACTIONS:
                if action.id == "quit":
                    continue
                for key in action.keys.split(","):
                    screen.press(tmux_key(key))
                    time.sleep(0.05)
                    _see_that_it_lives(screen, f"{key} ({action.id}) on screen {place}")
                    screen.press("Escape")
                    time.sleep(ESCAPE_DELAY)
                    screen.press(place)
                    pressed += 1
            time.sleep(0.3)
            _see_that_it_lives(screen, f"the last key on screen {place}")
        screen.press("Escape")
        time.sleep(ESCAPE_DELAY)
        screen.press("1")
        step = reading.shown_step(screen.text())
        screen.wait(lambda text: reading.shown_step(text) > step, 30)
        peak = processes.peak_mib(app)
        leave(far, screen)
    return {"pressed": pressed, "exceptions": 0, "app_peak_mib": peak}


def _see_that_it_lives(screen: Screen, after: str) -> None:
    text = screen.text()
    wrong = [said for said in ("Traceback", "Reading has stopped") if said in text]
    if wrong or screen.exit_code() is not None:
        raise RuntimeError(f"after {after}: {', '.join(wrong) or 'ended'}; the screen:\n{text}")


def disconnect(far: Far) -> Figures:
    """Kill the client while an analysis runs, and connect again.

    Raises:
        RuntimeError: Something goes on that should have ended, or the other way about.
    """
    with far.connect() as screen:
        screen.start()
        screen.wait(reading.painted, 60)
        app = far.app()
        screen.press("L")
        end = time.monotonic() + 15
        while len(left := processes.tree(app)) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        analyses = len(left) - 1
        step = reading.shown_step(screen.text())
        os.kill(screen.pid, signal.SIGKILL)
        cut = time.monotonic()
        if processes.wait_until_gone(app, 30) is None:
            raise RuntimeError("the app did not end within 30 s of the loss of the connection")
        app_ended = time.monotonic() - cut
        if any(processes.wait_until_gone(pid, 30) is None for pid in left):
            raise RuntimeError("an analysis did not end within 30 s of the app")
        all_ended = time.monotonic() - cut
    time.sleep(1)
    if far.training.poll() is not None:
        raise RuntimeError("the training has ended with the connection")
    with far.connect() as screen:
        screen.start()
        back, text = screen.wait(lambda text: reading.shown_step(text) > step, 60)
        again = reading.shown_step(text)
        screen.wait(lambda text: reading.shown_step(text) > again, 10)
        leave(far, screen)
    return {
        "app_ended_s": app_ended,
        "all_ended_s": all_ended,
        "analyses_ended": analyses,
        "step_before": step,
        "step_after": again,
        "reconnect_s": back,
    }


def stall(far: Far) -> Figures:
    """Carry nothing more until the app cannot write, as a bad network does; then cut the line.

    Raises:
        RuntimeError: The app stays behind.
    """
    relay = far.ssh.relay
    with far.connect() as screen:
        screen.start()
        screen.wait(reading.painted, 60)
        app = far.app()
        relay.stop()
        stopped = time.monotonic()
        while _still_draws(screen, app):
            if time.monotonic() - stopped > STALL_PATIENCE:
                raise RuntimeError(f"the app still draws {STALL_PATIENCE:g} s after the stop")
        filled = time.monotonic() - stopped
        time.sleep(STALLED)
        relay.cut()
        ended = processes.wait_until_gone(app, 15)
    if ended is None:
        processes.end(app)
        raise RuntimeError("15 s after a line that had stalled was cut, the app is alive")
    return {"filled_s": filled, "app_ended_s": ended}


def _still_draws(screen: Screen, app: int) -> bool:
    """Whether keys cost the app CPU time: it sleeps while nobody takes what it draws."""
    before = processes.cpu_seconds(app)
    for _ in range(20):
        screen.press("1")
        screen.press("t")
        time.sleep(0.1)
    return processes.cpu_seconds(app) - before > 0.2


def main() -> int:
    """Make the chosen checks; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option = parser.add_argument
    option("checks", nargs="*", metavar="CHECK", help="default: all")
    option(
        "--reps", type=int, default=3, help="repetitions, of all but keys and stall (%(default)s)"
    )
    option("--seconds", type=float, default=20, help="that bytes takes (%(default)s)")
    option("--tries", type=int, default=30, help="of switch (%(default)s)")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.checks) - set(CHECKS))
    if unknown:
        parser.error(f"there is no check {unknown[0]!r}: {', '.join(CHECKS)}")
    need_tmux()
    chosen: Sequence[str] = arguments.checks or CHECKS
    rows: list[dict[str, Any]] = []

    def repeat(name: str, subject: str, once: Callable[[], Figures], reps: int) -> None:
        if name in chosen:
            rows.append(figures.repeat(name, subject, reps, once))
            figures.print_row(rows[-1])

    figures.print_row(figures.machine())
    reps, seconds = arguments.reps, arguments.seconds
    with far_side() as far:
        for compressed in (False, True):
            subject = f"{PACE} steps a second, {'with' if compressed else 'without'} compression"
            once = partial(sent_bytes, far, seconds, compressed=compressed)
            repeat("bytes", subject, once, reps)
        repeat("resize", "until the app fills the window", partial(resize, far), reps)
        repeat("switch", "between the screens 1 and 2", partial(switch, far, arguments.tries), reps)
        for size in SIZES:
            repeat("keys", "{}x{}".format(*size), partial(press_all, far, size), 1)
        repeat("disconnect", "the client is killed", partial(disconnect, far), reps)
        repeat("stall", "the connection stalls, then is cut", partial(stall, far), 1)
    print(figures.table(rows), file=sys.stderr)
    return int(any(row["failed"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
