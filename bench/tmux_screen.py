"""A program in a private tmux server, started on a signal and read through a control client.

One client that stays connected (tmux's control mode) reads the screen in about a millisecond; a
tmux process for each look would cost several, and load the machine that is being measured.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import processes

CONFIGURATION = """\
set -g status off
set -g remain-on-exit on
set -g default-terminal tmux-256color
set -g escape-time 0
"""
HIDDEN = ("COLORTERM", "COLUMNS", "LINES", "NO_COLOR", "TMUX", "TMUX_PANE", "VIRTUAL_ENV")
"""Variables of whoever measures that would change what is measured, as do those of Python."""


def need_tmux() -> None:
    """Leave with a sentence where there is no tmux to measure in."""
    if shutil.which("tmux") is None:
        raise SystemExit("tmux is not installed: apt-get install tmux, or brew install tmux")
    said = subprocess.run(["tmux", "-V"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"(\d+)\.(\d+)", said)
    if version is not None and (int(version[1]), int(version[2])) < (3, 2):
        raise SystemExit(f"tmux 3.2 or newer is needed, this is {said.strip()}")
    if not processes.PROC.joinpath("self/stat").exists():
        raise SystemExit("CPU time and memory are read from /proc: measure on Linux")


class Screen:
    """A terminal with one program.

    Args:
        command: The program and its arguments.
        width: Columns.
        height: Rows.
        core: The core that the program is pinned to; None: any.
        environment: Variables set for the program.
        directory: Where it is started; None: in an empty folder.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        width: int = 200,
        height: int = 50,
        core: int | None = None,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="traintop-bench-"))
        self._socket = f"traintop-bench-{uuid.uuid4().hex[:8]}"
        self._gate = self._folder / "gate"
        os.mkfifo(self._gate)
        (self._folder / "tmux.conf").write_text(CONFIGURATION)
        (self._folder / "empty").mkdir()
        variables = {
            key: value
            for key, value in os.environ.items()
            if key not in HIDDEN and not key.startswith("PYTHON")
        }
        variables["XDG_CONFIG_HOME"] = str(self._folder / "empty")
        variables["XDG_CACHE_HOME"] = str(self._folder / "cache")  # No index of an earlier start.
        variables.update(environment or {})
        server = ["tmux", "-L", self._socket, "-f", str(self._folder / "tmux.conf")]
        where = str(directory or self._folder / "empty")
        waiting = ["sh", "-c", 'read -r _ <"$0"; exec "$@"', str(self._gate), *command]
        size = ["-x", str(width), "-y", str(height)]
        subprocess.run(
            [*server, "new-session", "-d", "-s", "bench", "-c", where, *size, *waiting],
            env=variables,
            check=True,
        )
        self._client = subprocess.Popen(
            [*server, "-C", "attach", "-t", "bench", "-f", "no-output,ignore-size"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._reply()
        self.tmux("set -g window-size manual")  # in the file it would crash tmux 3.3
        self.pid = int(self.tmux("display-message -p '#{pane_pid}'"))
        """The program's process, once it has been started."""
        if core is not None:
            os.sched_setaffinity(self.pid, {core})
        self.started = 0.0
        """When it was started, on the monotonic clock."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> float:
        """Let the program begin; return when."""
        with self._gate.open("w") as gate:
            self.started = time.monotonic()
            gate.write("\n")
        return self.started

    def tmux(self, command: str) -> str:
        """Give tmux a command and return what it prints."""
        assert self._client.stdin is not None
        self._client.stdin.write(command.encode() + b"\n")
        self._client.stdin.flush()
        return self._reply()

    def _reply(self) -> str:
        """Read the next block of the control mode: %begin N, lines, %end N."""
        assert self._client.stdout is not None
        mark = b""
        lines: list[bytes] = []
        for line in self._client.stdout:
            if not mark:
                if line.startswith(b"%begin "):
                    mark = line.removeprefix(b"%begin ")
            elif line == b"%end " + mark:
                return b"".join(lines).decode(errors="replace")
            elif line == b"%error " + mark:
                raise RuntimeError(f"tmux: {b''.join(lines).decode(errors='replace').strip()}")
            else:
                lines.append(line)
        raise RuntimeError("the tmux server has ended")

    def text(self) -> str:
        """What is on the screen, a line for each row."""
        return self.tmux("capture-pane -p -t bench")

    def press(self, key: str) -> None:
        """Send a key: one character, or a name of tmux's."""
        literal = "-l " if len(key) == 1 else ""
        self.tmux(f"send-keys -t bench {literal}-- '{key}'")

    def resize(self, width: int, height: int) -> None:
        """Give the terminal another size."""
        self.tmux(f"resize-window -t bench -x {width} -y {height}")

    def exit_code(self) -> int | None:
        """The program's exit code, None while it runs; negative: the signal that ended it."""
        format_ = "#{pane_dead} #{pane_dead_status} #{pane_dead_signal}"
        dead, status, number = self.tmux(f"display-message -p -t bench '{format_}'")[:-1].split(" ")
        if status:
            return int(status)
        if number:
            return -int(number)
        # tmux may hear late, or never, how a program ended whose terminal it knows to be closed.
        return processes.unclaimed_exit_code(self.pid) if dead == "1" else None

    def wait(
        self, holds: Callable[[str], object], timeout: float = 60.0, poll: float = 0.01
    ) -> tuple[float, str]:
        """Wait until the screen has a property.

        Returns:
            When, in seconds after the start, and the screen.

        Raises:
            TimeoutError: It did not come to that, or the program has ended.
        """
        end = time.monotonic() + timeout
        while True:
            looked = time.monotonic()
            text = self.text()
            now = time.monotonic()
            if holds(text):
                return now - self.started, text
            if now > end or self.exit_code() is not None:
                raise TimeoutError(f"what was waited for did not come up; the screen:\n{text}")
            time.sleep(max(0.0, looked + poll - time.monotonic()))

    @contextlib.contextmanager
    def counted_bytes(self) -> Iterator[Callable[[], int]]:
        """Count what the program sends to its terminal; yields what tells the count so far."""
        file = self._folder / "sent"
        file.touch()
        self.tmux(f"pipe-pane -t bench 'exec cat >{file}'")
        try:
            yield lambda: file.stat().st_size
        finally:
            self.tmux("pipe-pane -t bench")

    def close(self) -> None:
        """Close the terminal, and end what does not end with it."""
        left = processes.tree(self.pid)
        subprocess.run(
            ["tmux", "-L", self._socket, "kill-server"], capture_output=True, check=False
        )
        self._client.communicate()
        for pid in left:
            processes.wait_until_gone(pid, 10.0)
        processes.end(*(pid for pid in left if processes.command_line(pid)))
        shutil.rmtree(self._folder, ignore_errors=True)
