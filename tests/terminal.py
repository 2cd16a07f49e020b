"""A real pseudo-terminal for tests: a private tmux server with one session."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


class Terminal:
    """Runs a command in tmux, sends keys and reads the screen back."""

    def __init__(self, socket: str, folder: Path) -> None:
        self._socket = socket
        self._folder = folder

    def start(self, *command: str, width: int = 200, height: int = 50, **env: str) -> None:
        """Start a command; its exit code is written to the screen when it ends."""
        # Test runners may set these two, and they win over the size of the terminal.
        settings = "-u COLUMNS -u LINES "
        settings += " ".join(f"{key}={shlex.quote(value)}" for key, value in env.items())
        line = f"env {settings} {shlex.join(command)}; echo exit code $?; exec cat"
        self._tmux(
            *("-f", os.devnull, "new-session", "-d", "-s", "t", "-c", str(self._folder)),
            *("-x", str(width), "-y", str(height), line),
        )

    def press(self, *keys: str) -> None:
        """Send keys by their tmux names."""
        self._tmux("send-keys", "-t", "t", *keys)

    def resize(self, width: int, height: int) -> None:
        """Give the terminal another size."""
        self._tmux("resize-window", "-t", "t", "-x", str(width), "-y", str(height))

    def screen(self) -> str:
        """Return what is on the screen."""
        return self._tmux("capture-pane", "-p", "-t", "t")

    def wait_for(self, pattern: str, timeout: float = 30.0) -> str:
        """Wait until the screen shows a pattern and return the screen."""
        end = time.monotonic() + timeout
        while True:
            screen = self.screen()
            if re.search(pattern, screen):
                return screen
            if time.monotonic() > end:
                pytest.fail(f"{pattern!r} did not come up in {timeout:g} s; the screen:\n{screen}")
            time.sleep(0.05)

    def pids(self, name: str) -> list[int]:
        """Return the processes below the terminal whose command line holds a text."""
        root = int(self._tmux("display-message", "-p", "-t", "t", "#{pane_pid}"))
        return [pid for pid, line in descendants(root) if name in line]

    def close(self) -> None:
        """Close the terminal, as when a connection is lost."""
        subprocess.run(
            ["tmux", "-L", self._socket, "kill-server"], capture_output=True, check=False
        )

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-L", self._socket, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def descendants(root: int) -> Iterator[tuple[int, str]]:
    """Yield the children of a process, and theirs, with their command lines."""
    listed = subprocess.run(
        ["ps", "-e", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    children: dict[int, list[tuple[int, str]]] = {}
    for line in listed.splitlines():
        pid, parent, command = line.split(None, 2)
        children.setdefault(int(parent), []).append((int(pid), command))
    pending = [root]
    while pending:
        for pid, command in children.get(pending.pop(), []):
            yield pid, command
            pending.append(pid)


def command_line(pid: int) -> str:
    """Return the command line of a process; empty if it is gone."""
    done = subprocess.run(
        ["ps", "-p", str(pid), "-o", "args="], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def wait_until_gone(pid: int, timeout: float = 10.0) -> bool:
    """Wait until a process has ended."""
    end = time.monotonic() + timeout
    while command_line(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not command_line(pid)
